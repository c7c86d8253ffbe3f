package ctl

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/thinrelay/thinrelay/relay/control"
)

// quietWait is how long a relay may wait for a moment outside our round, with a margin.
const quietWait = 30 * time.Second

func (a *app) stepDownCommand() *cobra.Command {
	var to string
	var now bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "step-down",
		Short: "Hand leadership to another member, and measure what it costs",
		Long: `Hand leadership to another member, and measure what it costs.

The relay waits for a moment outside our round, unless --now is given; a
hand-over inside the round delays a block at most, it does not lose one. Any
member can be asked: it passes the request to the leader, and to the next one if
leadership has moved meanwhile.`,
		Example: `  relayctl step-down
  relayctl step-down --to us-1 --now
  relayctl --addr http://eu-1:9870 --token-file token step-down`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			a.tellWait(cmd.Context(), c, now)
			result, err := stepDown(cmd.Context(), c, to, timeout, now)
			if err != nil {
				return err
			}
			if a.asJSON {
				return a.printJSON(result)
			}
			_, err = fmt.Fprint(a.out, renderStepDown(result))
			return err
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "member to lead next (default: the one best able to)")
	cmd.Flags().BoolVar(&now, "now", false, "do not wait for a moment outside our round")
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Second, "for the hand-over itself")
	return cmd
}

// tellWait says on a terminal why nothing happens yet.
func (a *app) tellWait(ctx context.Context, c *control.Client, now bool) {
	if now || a.asJSON || !a.terminal {
		return
	}
	if st, err := statusOf(ctx, c); err == nil && st.Round != nil && st.Round.Live {
		fmt.Fprintln(a.errs, "our round is under way; waiting for its end (--now does not)")
	}
}

func stepDown(ctx context.Context, c *control.Client, to string, timeout time.Duration, now bool) (control.StepDown, error) {
	if timeout <= 0 {
		return control.StepDown{}, fail(exitDegraded, "--timeout %s\n  next: give a positive duration, as 5s", timeout)
	}
	ctx, cancel := context.WithTimeout(ctx, quietWait+timeout+readTimeout)
	defer cancel()
	return c.StepDown(ctx, control.StepDownRequest{To: to, Timeout: timeout.String(), Now: now})
}

func renderStepDown(r control.StepDown) string {
	waited := ""
	if r.WaitedMS >= 100 {
		waited = fmt.Sprintf(", after waiting %s for our round to end", ageText(r.WaitedMS))
	}
	followed := ""
	if r.Followed > 0 {
		followed = fmt.Sprintf("the leader changed before it was asked; %s led by then\n", clean(r.From))
	}
	return followed + fmt.Sprintf("%s -> %s in %s%s\ngap %s, %s lost\n", clean(r.From), clean(r.To), ageText(r.TookMS), waited, gapText(r.GapMS), blocksText(r.Lost))
}

func gapText(ms *int64) string {
	if ms == nil {
		return "not measured"
	}
	return ageText(*ms)
}

func blocksText(n int) string {
	if n == 1 {
		return "1 block"
	}
	return fmt.Sprintf("%d blocks", n)
}
