//go:build benchpeers

package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/thinrelay/thinrelay/relay/director"
)

// trialFigures is one group's emission delays; in microseconds.
type trialFigures struct {
	Name  string    `json:"group"`
	RTT   float64   `json:"rtt_ms"`
	Lost  int       `json:"blocks_lost"`
	Index []indexed `json:"blocks_of_a_round"`
	Rest  delays    `json:"second_to_last_block"`
	Slow  int       `json:"second_to_last_over_half_rtt"`
	Idle  []load    `json:"idle"` // the leader first
	Busy  []load    `json:"with_a_chain"`
}

// indexed is the delays of the n-th block of a round.
type indexed struct {
	N int `json:"n"`
	delays
}

type delays struct {
	Blocks int     `json:"blocks"`
	P50    float64 `json:"p50_us"`
	P99    float64 `json:"p99_us"`
	Max    float64 `json:"max_us"`
}

func delaysOf(ns []int64) delays {
	slices.Sort(ns)
	return delays{len(ns), micros(percentile(ns, 0.5)), micros(percentile(ns, 0.99)), micros(percentile(ns, 1))}
}

func (rep *report) addTrial(t *trial, idle, busy []load) {
	f := trialFigures{Name: t.name, RTT: float64(t.rtt) / float64(time.Millisecond), Idle: idle, Busy: busy}
	byIndex := make([][]int64, director.RoundSlots+1)
	var later []int64
	for n, i := range t.index {
		if i == 0 || t.sent[n].Load() == 0 {
			continue
		}
		if t.arrived[n].Load() == 0 {
			f.Lost++
			continue
		}
		took := t.arrived[n].Load() - t.sent[n].Load()
		byIndex[i] = append(byIndex[i], took)
		if i > 1 {
			later = append(later, took)
			if t.rtt > 0 && took >= int64(t.rtt/2) {
				f.Slow++
			}
		}
	}
	for i := 1; i <= director.RoundSlots; i++ {
		f.Index = append(f.Index, indexed{i, delaysOf(byIndex[i])})
	}
	f.Rest = delaysOf(later)
	rep.Quorum = append(rep.Quorum, f)
}

// quorumTables shows the groups beside the one of one.
func (rep *report) quorumTables(w io.Writer) {
	if len(rep.Quorum) == 0 {
		return
	}
	fmt.Fprintf(w, "\nEmission of our blocks, %d rounds of twelve, a slot of 500 ms: µs from the replica's write until the upstream has read it\n", rep.Settings.OurRounds)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "group\t1st p50\tmax\t2nd-12th p50\t× alone\tp99\t× alone\tmax\tblocks\tlost\t≥ RTT/2\t")
	alone := rep.Quorum[0].Rest
	for _, f := range rep.Quorum {
		first := f.Index[0]
		fmt.Fprintf(t, "%s\t%.0f\t%.0f\t%.0f\t%s\t%.0f\t%s\t%.0f\t%d\t%d\t%s\t\n", f.Name, first.P50, first.Max, f.Rest.P50, ratio(f.Rest.P50, alone.P50),
			f.Rest.P99, ratio(f.Rest.P99, alone.P99), f.Rest.Max, f.Rest.Blocks, f.Lost, f.waited())
	}
	t.Flush()
	fmt.Fprintln(w, "\np50 by the block's place in the round, µs")
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "group\t")
	for i := range director.RoundSlots {
		fmt.Fprintf(t, "%d\t", i+1)
	}
	fmt.Fprintln(t)
	for _, f := range rep.Quorum {
		fmt.Fprintf(t, "%s\t", f.Name)
		for _, i := range f.Index {
			fmt.Fprintf(t, "%.0f\t", i.P50)
		}
		fmt.Fprintln(t)
	}
	t.Flush()
	fmt.Fprintln(w, "\nWhat a member costs: CPU in % of one core and MiB; the leader, then its followers")
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "group\tidle CPU\tidle MiB\tCPU with a chain\tMiB\t")
	for _, f := range rep.Quorum {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t\n", f.Name, each(f.Idle, cpuText), each(f.Idle, pssText), each(f.Busy, cpuText), each(f.Busy, pssText))
	}
	t.Flush()
}

// waited is how many blocks from the second on took half a round trip to the quorum or longer.
func (f trialFigures) waited() string {
	if f.RTT == 0 {
		return "-"
	}
	return fmt.Sprint(f.Slow)
}

func each(list []load, text func(load) string) string {
	out := ""
	for i, l := range list {
		if i > 0 {
			out += " "
		}
		out += text(l)
	}
	return out
}

func cpuText(l load) string { return fmt.Sprintf("%.1f", l.CPU) }
func pssText(l load) string { return fmt.Sprintf("%.0f", float64(l.PSS)/(1<<20)) }
