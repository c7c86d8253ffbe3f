package ctl

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/thinrelay/thinrelay/cluster/transport"
)

// The names of the files in the folder of certs.
const (
	caCertFile    = "ca.pem"
	caKeyFile     = "ca-key.pem"
	gossipKeyFile = "gossip.key"
)

// maxDays is how long a CA of certs init lasts.
const maxDays = 3650

func (a *app) certsCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "certs",
		Short: "Make the certificates and the gossip key of a group",
		Long: `Make the certificates and the gossip key of a group: once certs init, then certs
issue for each member. Nothing is ever overwritten.

ca-key.pem can make members: keep it off the relays' hosts. A member needs
ca.pem, NAME.pem, NAME-key.pem and gossip.key.`,
		Example: `  relayctl certs init
  relayctl certs issue eu-1 us-1 ap-1
  relayctl certs issue eu-1 --host relay-eu.example --host 10.0.0.5`,
	}
	cmd.PersistentFlags().StringVar(&dir, "dir", ".", "folder of the files")
	cmd.AddCommand(a.certsInitCommand(&dir), a.certsIssueCommand(&dir), a.certsEnsureCommand(&dir))
	return cmd
}

func (a *app) certsInitCommand(dir *string) *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:     "init",
		Short:   "Make the group's CA (ten years) and its gossip key",
		Example: "  relayctl certs init --dir certs",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := os.MkdirAll(*dir, 0o700); err != nil {
				return fail(exitDegraded, "%w\n  next: give --dir a folder you may write to", err)
			}
			// Nothing is written unless everything can be.
			for _, file := range []string{caCertFile, caKeyFile, gossipKeyFile} {
				if _, err := os.Lstat(filepath.Join(*dir, file)); err == nil {
					return existing(filepath.Join(*dir, file))
				}
			}
			ca, err := transport.NewCA(name)
			if err != nil {
				return err
			}
			pair, err := ca.Pair()
			if err != nil {
				return err
			}
			cert, key, gossip := filepath.Join(*dir, caCertFile), filepath.Join(*dir, caKeyFile), filepath.Join(*dir, gossipKeyFile)
			if err := writeOnce(pair, cert, key); err != nil {
				return err
			}
			if err := writeGossipKey(gossip); err != nil {
				return err
			}
			return a.wrote([]string{cert, key, gossip}, "next: relayctl certs issue NAME for each member, then keep "+caKeyFile+" somewhere safe")
		},
	}
	cmd.Flags().StringVar(&name, "name", "thinrelay", "name of the CA, for people")
	return cmd
}

func (a *app) certsIssueCommand(dir *string) *cobra.Command {
	var hosts []string
	var days int
	cmd := &cobra.Command{
		Use:   "issue NAME…",
		Short: "Make a certificate for each member named",
		Long: `Make a certificate for each member named. The name is the node: of its
configuration. To rotate one, issue it into another folder and move the files
over the old ones: relayd reads them again without a restart.`,
		Example: `  relayctl certs issue eu-1 us-1 ap-1 --dir certs
  relayctl certs issue eu-1 --days 90`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, names []string) error {
			if days < 1 || days > maxDays {
				return fail(exitDegraded, "--days %d\n  next: give a number of days, at most %d: no CA lasts longer", days, maxDays)
			}
			ca, err := transport.LoadCA(filepath.Join(*dir, caCertFile), filepath.Join(*dir, caKeyFile))
			if err != nil {
				return fail(exitDegraded, "%w\n  next: give --dir the folder of relayctl certs init", err)
			}
			// Nothing is written unless everything can be.
			for i, name := range names {
				if err := transport.ValidName(name); err != nil {
					return fail(exitDegraded, "%w\n  next: name the member as node: does in its configuration", err)
				}
				if slices.Contains(names[:i], name) {
					return fail(exitDegraded, "%s is named twice\n  next: name each member once", name)
				}
				files := transport.FilesOf(*dir, name)
				for _, file := range []string{files.Cert, files.Key} {
					if !missing(file) {
						return existing(file)
					}
				}
			}
			var wrote []string
			for _, name := range names {
				pair, err := ca.Issue(transport.Issue{Node: name, Hosts: hosts, Life: time.Duration(days) * 24 * time.Hour})
				if err != nil {
					return err
				}
				files := transport.FilesOf(*dir, name)
				if err := writeOnce(pair, files.Cert, files.Key); err != nil {
					return err
				}
				wrote = append(wrote, files.Cert, files.Key)
			}
			return a.wrote(wrote, "next: copy "+caCertFile+", "+gossipKeyFile+" and the member's two files to its host")
		},
	}
	cmd.Flags().StringArrayVar(&hosts, "host", nil, "further DNS name or IP in the certificate, for https (repeatable)")
	cmd.Flags().IntVar(&days, "days", 365, "how long it is valid")
	return cmd
}

func writeOnce(pair transport.Pair, cert, key string) error {
	err := pair.Write(cert, key)
	if errors.Is(err, os.ErrExist) {
		return existing(cert + " or its key")
	}
	return err
}

func existing(file string) error {
	return fail(exitDegraded, "%s is there already; nothing is overwritten\n  next: give --dir another folder, or move the old file away", file)
}

// writeGossipKey writes the key all members encrypt their gossip with: 32
// random bytes in base64, one key per line, the first being the one in use.
func writeGossipKey(path string) error {
	var key [32]byte
	if _, err := rand.Read(key[:]); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(base64.StdEncoding.EncodeToString(key[:]) + "\n")
	return errors.Join(err, f.Close())
}

func (a *app) wrote(files []string, next string) error {
	if a.asJSON {
		return a.printJSON(map[string][]string{"wrote": files})
	}
	for _, f := range files {
		fmt.Fprintln(a.out, "wrote", f)
	}
	_, err := fmt.Fprintln(a.out, next)
	return err
}
