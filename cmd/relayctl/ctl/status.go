package ctl

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/thinrelay/thinrelay/relay/control"
)

func (a *app) statusCommand() *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the group as one member sees it now",
		Long: `Show the group as one member sees it now: who leads, the last block that left,
each member with its replicas (* marks the active one), and what is wrong.

Ahead of our round the mark moves to the block of another producer that our next
one has to follow: MARK reserved on it. Nothing was forwarded at that height.

In the table, ~ stands before what is too old to count on. Replica names carry
! when the replica is behind, … while it syncs, and stand in brackets when it
only observes.

Exit code: 0 all well, 1 degraded or DOWN for another reason than the quorum (no
upstream, no replica, every slot of ours missed), 2 no quorum, no leader or no
answer.`,
		Example: `  relayctl status
  relayctl status --watch
  relayctl status --json | jq .forwarded.num`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if watch {
				return a.watch(cmd.Context())
			}
			st, err := a.status(cmd.Context())
			if err != nil {
				return err
			}
			if a.asJSON {
				err = a.printJSON(st)
			} else {
				_, err = fmt.Fprint(a.out, renderStatus(st, a.colours))
			}
			if err != nil {
				return err
			}
			return exitWith(healthExit(st))
		},
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "redraw until interrupted")
	return cmd
}

// exitWith ends the command with a code when everything has been said.
func exitWith(code int) error {
	if code == exitOK {
		return nil
	}
	return &exitError{code: code}
}

// status asks the members of --addr in order until one answers.
func (a *app) status(ctx context.Context) (control.Status, error) {
	clients, err := a.clients()
	if err != nil {
		return control.Status{}, err
	}
	var st control.Status
	for _, c := range clients {
		if st, err = statusOf(ctx, c); err == nil {
			return st, nil
		}
	}
	return st, err
}

func statusOf(ctx context.Context, c *control.Client) (control.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	st, err := c.Status(ctx)
	return st, unheard(err)
}

// pause waits, or returns why it need not.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
