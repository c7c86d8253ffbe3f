package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
)

// checkCommand is `relayd check`: what is wrong with a configuration, before it
// matters.
func checkCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:     "check",
		Short:   "Check a configuration, its files, keys and certificates",
		Long:    "check reads the configuration as run would, with the same RELAY_ variables, and looks at\nevery file it names. It opens no connection and changes nothing.",
		Example: "  relayd check --config relay.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			failed := false
			for _, f := range Check(path, os.Environ(), time.Now()) {
				fmt.Fprintf(cmd.OutOrStdout(), "%-4s  %s: %s\n", f.Level, f.What, f.Text)
				failed = failed || f.Level == Fail
			}
			if failed {
				return exitCode(1)
			}
			return nil
		},
	}
	configFlag(cmd, &path)
	return cmd
}

// configFlag adds --config.
func configFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVarP(path, "config", "c", "relay.yaml", "configuration file")
}
