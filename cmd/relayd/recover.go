package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/thinrelay/thinrelay/cluster"
)

// errAtLeast is returned for a recovery without the one thing that keeps it from lowering the mark: a member whose log is behind looks like
// any other.
var errAtLeast = errors.New("--yes without --at-least: give the height of your last block on the chain, 0 if there is none")

// recoverCommand is `relayd recover`: the way out of a lost majority.
func recoverCommand() *cobra.Command {
	var (
		path    string
		atLeast uint32
		yes     bool
	)
	cmd := &cobra.Command{
		Use:   "recover",
		Short: "Make this member a group of its own after the majority is lost for good",
		Long: `recover is for the day when a majority of the members is gone and will never come back. Run it
on the member with the highest mark, with relayd stopped there and on every other member. This
member then leads alone; the others join again with empty data directories.

It cannot lower the mark that this member knows. Whether another one knew a higher one only you
can tell: --at-least takes the height of the last block of yours on the chain, and recover
refuses to go below it. Without --yes it only says what it would do, and shows the mark; with it
--at-least has to be given, 0 where no block of yours is on the chain.`,
		Example: "  relayd recover --config relay.yaml --at-least 381223044\n  relayd recover --config relay.yaml --at-least 381223044 --yes",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if yes && !cmd.Flags().Changed("at-least") {
				return errAtLeast
			}
			cfg, err := LoadConfig(path, os.Environ())
			if err != nil {
				return err
			}
			advertise := loneAddr
			if !cfg.Alone() {
				if advertise, err = cfg.AdvertiseAddr(cmd.Context()); err != nil {
					return err
				}
			}
			out, err := cluster.Recover(cluster.Recovery{
				Node: cfg.Node, DataDir: cfg.DataDir, Advertise: advertise, AtLeast: atLeast, DryRun: !yes,
				Logger: newLogger(cfg, cmd.ErrOrStderr()),
			})
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			fmt.Fprintf(w, "mark    %s\n", out.Before.Mark)
			for _, s := range out.Former {
				fmt.Fprintf(w, "former  %s at %s\n", s.ID, s.Address)
			}
			if !yes {
				fmt.Fprintln(w, "nothing changed; repeat with --yes once every other member is stopped for good")
				return nil
			}
			fmt.Fprintf(w, "after   %s\nthis member is a group of its own now: start it, then let the others join with empty data_dir\n", out.After.Mark)
			return nil
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().Uint32Var(&atLeast, "at-least", 0, "height of your last block on the chain: refuse a lower mark")
	cmd.Flags().BoolVar(&yes, "yes", false, "do it")
	return cmd
}
