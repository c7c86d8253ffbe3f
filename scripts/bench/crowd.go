//go:build benchpeers

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// replicaCost is what a relay costs with that many replicas on a chain that goes on.
type replicaCost struct {
	Replicas int     `json:"replicas"`
	Size     int     `json:"block_bytes"`
	CPU      float64 `json:"cpu_us_per_block"`
	PSS      int64   `json:"pss_bytes"`
	Peak     int64   `json:"peak_rss_bytes"`
	P50      float64 `json:"last_replica_p50_us"`
	P99      float64 `json:"last_replica_p99_us"`
}

// crowd measures relayd with few and many replicas under blocks of the network's at a pace; what it costs is linear, and the
// slope is the cost of one more.
func (rep *report) crowd(ctx context.Context, s *settings, progress io.Writer) error {
	r, err := makeRow(ctx, "thinrelay", s, progress)
	if err != nil {
		return err
	}
	for _, n := range s.Crowd {
		if err := rep.crowdOf(ctx, s, r, n); err != nil {
			return fmt.Errorf("%d: %w", n, err)
		}
	}
	return nil
}

func (rep *report) crowdOf(ctx context.Context, s *settings, r *row, n int) (err error) {
	g, err := newRig(ctx, r, n, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	if !r.shared {
		return errors.New("this row has an upstream for each replica")
	}
	f := newFeed(newChain(make([]byte, maxBlock)), theirs, g.ups[0], n)
	for _, p := range g.replicas {
		g.receive(p, f, true)
	}
	g.receive(g.ups[0], newFeed(f.chain, ours, nil, 1), false)
	for _, size := range s.Sizes {
		watch := g.watch(warmTime + s.cell())
		if err := f.flood(size, 64, warmTime, g.failed); err != nil {
			return err
		}
		f.begin()
		cpu := g.cpu()
		if err := f.pace(ctx, size, crowdPace, s.cell(), g.failed); err != nil {
			return err
		}
		cpu = g.cpu() - cpu
		latency := f.end()
		slices.Sort(latency)
		c := replicaCost{
			Replicas: n, Size: size, CPU: cpu.Seconds() * 1e6 / float64(max(1, len(latency))),
			P50: micros(percentile(latency, 0.5)), P99: micros(percentile(latency, 0.99)),
		}
		c.PSS, c.Peak = g.proc.memory()
		rep.Replicas = append(rep.Replicas, c)
		watch.Stop()
	}
	return nil
}

// crowdPace leaves 200 replicas the time to read a block.
const crowdPace = 250 * time.Millisecond

func (rep *report) crowdTable(w io.Writer) {
	if len(rep.Replicas) == 0 {
		return
	}
	fmt.Fprintf(w, "\nrelayd by the number of replicas, a block of the network's each %v; time until the last replica has it\n", crowdPace)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "block\treplicas\tCPU µs/block\tMiB\tp50 µs\tp99 µs\teach more: CPU µs/block\tKiB\t")
	for _, size := range rep.Settings.Sizes {
		var first *replicaCost
		for i := range rep.Replicas {
			c := &rep.Replicas[i]
			if c.Size != size {
				continue
			}
			cpu, memory := "-", "-"
			if first == nil {
				first = c
			} else if more := float64(c.Replicas - first.Replicas); more > 0 {
				cpu = fmt.Sprintf("%.1f", (c.CPU-first.CPU)/more)
				memory = fmt.Sprintf("%.0f", float64(c.PSS-first.PSS)/more/1024)
			}
			fmt.Fprintf(t, "%s\t%d\t%.0f\t%.0f\t%.0f\t%.0f\t%s\t%s\t\n", sizeText(size), c.Replicas, c.CPU, float64(c.PSS)/(1<<20), c.P50, c.P99, cpu, memory)
		}
	}
	t.Flush()
}
