package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
)

// demoCommand is `relayd demo`: the whole thing on one machine, without files.
func demoCommand() *cobra.Command {
	var opt demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Watch three relays in front of three replicas, on a simulated network",
		Long: `demo runs, in this process, a group of three relays (Raft over mutual TLS on the loopback
interface), three replicas of one producer with the same key, its finalizer host, and a simulated
network of two more producers with transactions. It needs no files and leaves none.

With --drill it also kills the active replica, steps the leader down and kills the leader, each in
the middle of a round of ours, and says what that cost.`,
		Example: "  relayd demo\n  relayd demo --for 2m --drill\n  relayd demo --for 40s --json | tail -n 1 | jq .missed",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if opt.drill && !cmd.Flags().Changed("for") {
				opt.length = demoDrill
			}
			view := newDemoView(cmd.OutOrStdout(), opt.json)
			result, err := runDemo(cmd.Context(), opt, view)
			view.close()
			if err != nil {
				return err
			}
			if opt.json {
				err = json.NewEncoder(cmd.OutOrStdout()).Encode(result)
			} else {
				result.print(cmd.OutOrStdout())
			}
			return errors.Join(err, result.verdict())
		},
	}
	cmd.Flags().DurationVar(&opt.length, "for", time.Minute, "how long to run; with --drill 80s by default")
	cmd.Flags().BoolVar(&opt.drill, "drill", false, "kill the active replica, step down, and kill the leader, each mid-round")
	cmd.Flags().BoolVar(&opt.json, "json", false, "events as JSON lines, then one JSON object with the result")
	return cmd
}

type demoOptions struct {
	length time.Duration
	drill  bool
	json   bool
}

// demoWarmUp is how long the group and the vote gate take to settle: replicas
// stop signing six seconds after they last heard votes.
const demoWarmUp = 8 * time.Second

// demoDrill is how long the drills take: three rounds of ours, and one more.
const demoDrill = 80 * time.Second

// runDemo runs the demonstration and returns the oracle's verdict.
func runDemo(ctx context.Context, opt demoOptions, view *demoView) (demoResult, error) {
	dir, err := os.MkdirTemp("", "thinrelay-demo-")
	if err != nil {
		return demoResult{}, err
	}
	defer os.RemoveAll(dir)
	w, err := newDemoWorld(ctx, dir, view)
	if err != nil {
		return demoResult{}, fmt.Errorf("set up the demo: %w", err)
	}
	defer w.close()
	if !pause(ctx, demoWarmUp) {
		return w.result(), nil
	}
	w.begin()
	ctx, cancel := context.WithTimeout(ctx, max(opt.length-demoWarmUp, time.Second))
	defer cancel()
	if opt.drill {
		w.drill(ctx)
	}
	<-ctx.Done()
	if errors.Is(context.Cause(ctx), context.Canceled) {
		view.line("interrupted", "")
	}
	w.settle()
	return w.result(), nil
}

// pause waits; false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
