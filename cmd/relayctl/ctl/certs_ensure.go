package ctl

import (
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/thinrelay/thinrelay/cluster/transport"
)

// certsEnsureCommand is init and issue for what is missing: for one-shot services that run at every start.
func (a *app) certsEnsureCommand(dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "ensure NAME…",
		Short: "Make what is missing of a group's CA, gossip key and certificates",
		Long: `Make what is missing: the CA and the gossip key where the folder has none, and a
certificate for each member named that has none. What is there is kept, so it can
run at every start of a test deployment.

It needs ca-key.pem beside the members' files, which a real deployment keeps
apart: use certs init and certs issue there.`,
		Example: "  relayctl certs ensure eu-1 us-1 ap-1 --dir certs",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			gossip := filepath.Join(*dir, gossipKeyFile)
			switch {
			case missing(filepath.Join(*dir, caCertFile)):
				if err := a.certsInitCommand(dir).RunE(cmd, nil); err != nil {
					return err
				}
			case missing(gossip): // lost, or init was cut short before its last file
				if err := writeGossipKey(gossip); err != nil {
					return err
				}
				if err := a.wrote([]string{gossip}, "next: give it to every member: those with another one do not hear each other"); err != nil {
					return err
				}
			}
			var issue []string
			for _, name := range names {
				if files := transport.FilesOf(*dir, name); missing(files.Cert) || missing(files.Key) {
					issue = append(issue, name)
				}
			}
			if len(issue) == 0 {
				return nil
			}
			return a.certsIssueCommand(dir).RunE(cmd, issue)
		},
	}
}

func missing(path string) bool {
	_, err := os.Lstat(path)
	return os.IsNotExist(err)
}
