//go:build benchpeers

package main

import (
	"fmt"
	"io"
	"strings"
)

// markdown prints what docs/performance.md holds: ratios within this run, which another machine can repeat, and no times.
func (rep *report) markdown(w io.Writer) {
	s := rep.Settings
	fmt.Fprintf(w, "\n%s, %d cores, Linux %s, %s, %s", rep.Machine.CPU, rep.Machine.Cores, rep.Machine.Kernel, rep.Machine.Go, rep.Began.Format("2006-01-02"))
	if s.runs("path") || s.runs("fanout") {
		fmt.Fprintf(w, "; %d rounds of %gs", s.Rounds, s.Seconds)
	}
	fmt.Fprintln(w, ". Median over the rounds [lowest..highest].")
	if s.runs("path") && rep.has("haproxy") {
		for _, mode := range []string{paced, closed} {
			rep.pathMarkdown(w, mode)
		}
	}
	if s.runs("fanout") && rep.has("haproxy") {
		rep.fanMarkdown(w)
	}
	if len(rep.Quorum) > 0 {
		rep.quorumMarkdown(w)
	}
}

// table prints the head of a table.
func table(w io.Writer, heads ...string) {
	fmt.Fprintf(w, "\n| %s |\n|%s\n", strings.Join(heads, " | "), strings.Repeat("---|", len(heads)))
}

func (rep *report) pathMarkdown(w io.Writer, mode string) {
	heads := []string{"path of a block, " + mode + ", × haproxy"}
	for _, size := range rep.Settings.Sizes {
		heads = append(heads, sizeText(size)+" p50", "p99")
	}
	table(w, heads...)
	for _, r := range rep.Rows {
		fmt.Fprintf(w, "| `%s` |", r.Name)
		for _, size := range rep.Settings.Sizes {
			for _, figure := range []func(pathFigures) float64{func(f pathFigures) float64 { return f.P50 }, func(f pathFigures) float64 { return f.P99 }} {
				fmt.Fprintf(w, " %s |", besides(rep.pathRounds(r.Name, size, mode, figure), rep.pathRounds("haproxy", size, mode, figure)))
			}
		}
		fmt.Fprintln(w)
	}
}

// pathRounds is a figure by round.
func (rep *report) pathRounds(row string, size int, mode string, figure func(pathFigures) float64) map[int]float64 {
	out := make(map[int]float64)
	for _, f := range rep.Path {
		if f.Row == row && f.Size == size && f.Mode == mode {
			out[f.Round] = figure(f)
		}
	}
	return out
}

func (rep *report) fanMarkdown(w io.Writer) {
	heads := []string{"CPU per byte of a fan-out, × haproxy"}
	s := rep.Settings
	for _, n := range s.Fan {
		for _, size := range s.Sizes {
			heads = append(heads, fmt.Sprintf("%s to %d", sizeText(size), n))
		}
	}
	table(w, heads...)
	for _, r := range rep.Rows {
		if r.Name == "direct" {
			continue // there is no process to measure
		}
		fmt.Fprintf(w, "| `%s` |", r.Name)
		for _, n := range s.Fan {
			for _, size := range s.Sizes {
				fmt.Fprintf(w, " %s |", besides(rep.fanRounds(r.Name, size, n), rep.fanRounds("haproxy", size, n)))
			}
		}
		fmt.Fprintln(w)
	}
}

func (rep *report) fanRounds(row string, size, n int) map[int]float64 {
	out := make(map[int]float64)
	for _, f := range rep.Fanout {
		if f.Row == row && f.Size == size && f.Replicas == n {
			out[f.Round] = f.CPUPerGB
		}
	}
	return out
}

func (rep *report) quorumMarkdown(w io.Writer) {
	table(w, "emission, × a group of one", "1st block p50", "2nd to 12th p50", "p99", "blocks", "lost", "took RTT/2 or longer")
	one := rep.Quorum[0]
	for _, f := range rep.Quorum {
		fmt.Fprintf(w, "| %s | %s | %s | %s | %d | %d | %s |\n", f.Name, ratio(f.Index[0].P50, one.Index[0].P50), ratio(f.Rest.P50, one.Rest.P50),
			ratio(f.Rest.P99, one.Rest.P99), f.Rest.Blocks, f.Lost, f.waited())
	}
}

// besides is the ratio of two figures, taken round by round: what slows the machine for a while slows both.
func besides(us, them map[int]float64) string {
	var ratios []float64
	for round, v := range us {
		if them[round] > 0 && v > 0 {
			ratios = append(ratios, v/them[round])
		}
	}
	if len(ratios) == 0 {
		return "-"
	}
	s := spreadOf(ratios)
	if len(ratios) == 1 {
		return fmt.Sprintf("%.2f", s.Median)
	}
	return fmt.Sprintf("%.2f [%.2f..%.2f]", s.Median, s.Min, s.Max)
}
