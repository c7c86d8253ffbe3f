package ctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/thinrelay/thinrelay/relay/control"
)

// settleWait bounds the wait for the group to be whole again between two runs.
const settleWait = time.Minute

// drill is a series of hand-overs.
type drill struct {
	app      *app
	count    int
	now      bool
	timeout  time.Duration
	progress progress
}

func (a *app) drillCommand() *cobra.Command {
	d := drill{app: a}
	var killHint bool
	cmd := &cobra.Command{
		Use:   "drill",
		Short: "Hand leadership around, again and again, and report what it costs",
		Long: `Hand leadership around, again and again, and report gaps and lost blocks.

Each run is a step-down, and the next begins when all members are well again.
When leadership moves between two runs by itself, the next run hands it on from
where it is, and the report says so.

With --kill-hint nothing is handed over: for each run the drill says which
process to kill, watches through another member, and measures the takeover. Give
--addr several members for that. TOOK is then from the last look at which that
member still took the old leader for the leader, to the first at which another
led; what it took to notice that the old one was gone comes before that. Of a
hand-over TOOK is from stopping to the successor's readiness.

Exit code: 0 nothing lost, 1 blocks lost or the drill cut short, 2 no quorum.`,
		Example: `  relayctl drill --count 10
  relayctl drill --count 100 --now --json > drill.json
  relayctl --addr eu-1:9870,us-1:9870,ap-1:9870 drill --kill-hint --count 3`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if d.count < 1 {
				return fail(exitDegraded, "--count %d\n  next: give a number of runs", d.count)
			}
			d.progress = progress{out: a.errs, bar: a.terminal && isTerminal(a.errs), quiet: a.asJSON, total: d.count}
			one := d.handOver
			if killHint {
				one = d.kill
			}
			report, err := d.run(cmd.Context(), one)
			return a.reportDrill(report, err)
		},
	}
	cmd.Flags().IntVar(&d.count, "count", 5, "how many runs")
	cmd.Flags().BoolVar(&d.now, "now", false, "inside our round too: do not wait for its end")
	cmd.Flags().DurationVar(&d.timeout, "timeout", 5*time.Second, "for each hand-over")
	cmd.Flags().BoolVar(&killHint, "kill-hint", false, "tell what to kill, and measure the takeover")
	return cmd
}

// run makes the runs one after another; what was measured before an error is
// reported with it.
func (d *drill) run(ctx context.Context, one func(context.Context) (control.StepDown, error)) (drillReport, error) {
	var report drillReport
	defer func() { d.progress.end() }()
	for i := range d.count {
		result, err := one(ctx)
		if err != nil {
			return report.summed(), err
		}
		report.Runs = append(report.Runs, result)
		d.progress.step(i+1, result)
		if i+1 < d.count {
			if err := d.settle(ctx, result); err != nil {
				return report.summed(), err
			}
		}
	}
	return report.summed(), nil
}

func (d *drill) handOver(ctx context.Context) (control.StepDown, error) {
	c, err := d.app.client(ctx)
	if err != nil {
		return control.StepDown{}, err
	}
	return stepDown(ctx, c, "", d.timeout, d.now)
}

// settle waits until every voter is heard and the new leader stands, also in the eyes of the member asked: for a while after the
// hand-over that may still take the old one for the leader.
func (d *drill) settle(ctx context.Context, last control.StepDown) error {
	ctx, cancel := context.WithTimeoutCause(ctx, settleWait,
		fail(exitDegraded, "the group is not whole again %s after the hand-over to %s\n  next: see relayctl status", settleWait, clean(last.To)))
	defer cancel()
	var silence error // of the last look
	for {
		st, looked := d.app.status(ctx)
		if looked == nil && st.Term >= last.Term && leads(st) && st.Quorum.OK && st.Quorum.Have == st.Quorum.Total {
			return nil
		}
		if ctx.Err() == nil { // a look that was cut off says nothing
			silence = looked
		}
		if err := pause(ctx, d.app.pollEvery); err != nil {
			if silence != nil && !errors.Is(err, context.Canceled) {
				return fail(exitCode(silence), "nobody answers %s after the hand-over to %s: %w", settleWait, clean(last.To), silence)
			}
			return err
		}
	}
}

// leads says that the leader has begun to lead, by its own word: only a leader is connected to upstreams.
func leads(st control.Status) bool {
	return slices.ContainsFunc(st.Upstreams, func(u control.Upstream) bool {
		return u.Node == st.Leader && u.State == control.UpstreamConnected
	})
}

// reportDrill prints the report, also that of a drill cut short.
func (a *app) reportDrill(report drillReport, failure error) error {
	if a.asJSON {
		if failure != nil {
			report.Error = failure.Error()
		}
		if err := a.printJSON(report); err != nil {
			return err
		}
	} else if len(report.Runs) > 0 {
		if _, err := fmt.Fprint(a.out, report.render(a.colours)); err != nil {
			return err
		}
	}
	switch {
	case failure != nil && errors.Is(failure, context.Canceled):
		return failure
	case failure != nil:
		return fail(exitCode(failure), "cut short after %s: %w", runsText(len(report.Runs)), failure)
	case report.Lost > 0:
		return exitWith(exitDegraded)
	}
	return nil
}

// progress tells how far a drill is: a bar on a terminal, a line per run elsewhere.
type progress struct {
	out        io.Writer
	bar, quiet bool
	total      int
}

const barWidth = 30

func (p progress) step(done int, r control.StepDown) {
	switch {
	case p.quiet, !p.bar && done == p.total: // the report that follows has it
	case p.bar:
		full := barWidth * done / p.total
		fmt.Fprintf(p.out, "\r[%s%s] %d/%d  %s -> %s  gap %s, %s lost\x1b[K", strings.Repeat("=", full), strings.Repeat(" ", barWidth-full),
			done, p.total, clean(r.From), clean(r.To), gapText(r.GapMS), blocksText(r.Lost))
	default:
		fmt.Fprintf(p.out, "%d/%d  %s -> %s  gap %s, %s lost\n", done, p.total, clean(r.From), clean(r.To), gapText(r.GapMS), blocksText(r.Lost))
	}
}

// say writes a line of its own, above the bar.
func (p progress) say(format string, args ...any) {
	if p.bar {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
	fmt.Fprintf(p.out, format+"\n", args...)
}

func (p progress) end() {
	if p.bar && !p.quiet {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}
