//go:build benchpeers

package main

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// Targets of thinrelay beside HAProxy: ratios that it must not exceed.
const (
	pathTarget = 1.0
	fanTarget  = 0.5
)

// write prints the tables.
func (rep *report) write(out io.Writer) error {
	var b bytes.Buffer
	s := rep.Settings
	fmt.Fprintf(&b, "\n%s, %d cores, Linux %s, %s; %d rounds in turns, %gs each. Figures: median over rounds [min..max].\n",
		rep.Machine.CPU, rep.Machine.Cores, rep.Machine.Kernel, rep.Machine.Go, s.Rounds, s.Seconds)
	for _, r := range rep.Rows {
		fmt.Fprintf(&b, "  %-15s %s\n", r.Name, r.Detail)
	}
	if s.runs("path") {
		for _, mode := range []string{paced, closed} {
			for _, size := range s.Sizes {
				rep.pathTable(&b, size, mode)
			}
		}
	}
	if s.runs("fanout") {
		for _, n := range s.Fan {
			for _, size := range s.Sizes {
				rep.fanTable(&b, size, n)
			}
		}
	}
	rep.crowdTable(&b)
	rep.quorumTables(&b)
	rep.verdict(&b)
	rep.markdown(&b)
	_, err := out.Write(b.Bytes())
	return err
}

func (rep *report) pathTable(w io.Writer, size int, mode string) {
	how := fmt.Sprintf("one block every %v", rep.Settings.Pace)
	if mode == closed {
		how = "the next block when the last has arrived"
	}
	if rep.Settings.Together {
		how += ", processors shared with the load generator"
	}
	fmt.Fprintf(w, "\nPath of a block of %s, %s: µs from a replica's write until the upstream has read it\n", sizeText(size), how)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "row\tp50\t\t× direct\tp99\t\t× direct\tp99.9\t× direct\tCPU µs/block\tblocks\t")
	base := rep.pathMedians(pathKey{"direct", size, mode})
	for _, r := range rep.Rows {
		key := pathKey{r.Name, size, mode}
		p50 := rep.pathOver(key, func(f pathFigures) float64 { return f.P50 })
		p99 := rep.pathOver(key, func(f pathFigures) float64 { return f.P99 })
		cpu := rep.pathOver(key, func(f pathFigures) float64 { return f.CPUPerBlock })
		m := rep.pathMedians(key)
		fmt.Fprintf(t, "%s\t%.0f\t%s\t%s\t%.0f\t%s\t%s\t%.0f\t%s\t%s\t%d\t\n", r.Name, p50.Median, span(p50), ratio(m.p50, base.p50),
			p99.Median, span(p99), ratio(m.p99, base.p99), m.p999, ratio(m.p999, base.p999), some(cpu.Median, "%.0f"), len(rep.pooled[key]))
	}
	t.Flush()
}

// medians of a row: p50 and p99 are medians over the rounds; p99.9 needs more blocks than a round has, so it is that of all
// rounds together.
type medians struct{ p50, p99, p999 float64 }

func (rep *report) pathMedians(key pathKey) medians {
	all := slices.Sorted(slices.Values(rep.pooled[key]))
	return medians{
		p50:  rep.pathOver(key, func(f pathFigures) float64 { return f.P50 }).Median,
		p99:  rep.pathOver(key, func(f pathFigures) float64 { return f.P99 }).Median,
		p999: micros(percentile(all, 0.999)),
	}
}

func (rep *report) fanTable(w io.Writer, size, n int) {
	fmt.Fprintf(w, "\nFan-out of blocks of %s to %d replicas, as fast as they are taken\n", sizeText(size), n)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "row\tMB/s\t\t× direct\tCPU s/GB\t\t× haproxy\tload s/GB\tMiB\tpeak\t")
	direct := rep.fanOver("direct", size, n, mbPerSec)
	haproxy := rep.fanOver("haproxy", size, n, cpuPerGB)
	for _, r := range rep.Rows {
		mb := rep.fanOver(r.Name, size, n, mbPerSec)
		cpu := rep.fanOver(r.Name, size, n, cpuPerGB)
		load := rep.fanOver(r.Name, size, n, func(f fanFigures) float64 { return f.LoadPerGB })
		pss := rep.fanOver(r.Name, size, n, func(f fanFigures) float64 { return float64(f.PSS) / (1 << 20) })
		peak := rep.fanOver(r.Name, size, n, func(f fanFigures) float64 { return float64(f.Peak) / (1 << 20) })
		fmt.Fprintf(t, "%s\t%.0f\t%s\t%s\t%s\t%s\t%s\t%.2f\t%s\t%s\t\n", r.Name, mb.Median, span(mb), ratio(mb.Median, direct.Median),
			some(cpu.Median, "%.2f"), fine(cpu), ratio(cpu.Median, haproxy.Median), load.Median, some(pss.Median, "%.0f"), some(peak.Median, "%.0f"))
	}
	t.Flush()
}

func mbPerSec(f fanFigures) float64 { return f.MBPerSec }
func cpuPerGB(f fanFigures) float64 { return f.CPUPerGB }

// verdict compares thinrelay with HAProxy.
func (rep *report) verdict(w io.Writer) {
	if !rep.has("thinrelay") || !rep.has("haproxy") {
		return
	}
	fmt.Fprintln(w, "\nthinrelay beside haproxy (targets: path at most 1.00, CPU per byte of a fan-out at most 0.50)")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	s := rep.Settings
	if s.runs("path") {
		for _, size := range s.Sizes {
			us, them := rep.pathMedians(pathKey{"thinrelay", size, paced}), rep.pathMedians(pathKey{"haproxy", size, paced})
			fmt.Fprintf(t, "path %s, paced\tp50 %s\tp99 %s\tp99.9 %s\t\n", sizeText(size),
				judged(us.p50, them.p50, pathTarget), judged(us.p99, them.p99, pathTarget), ratio(us.p999, them.p999))
		}
	}
	if s.runs("fanout") {
		for _, n := range s.Fan {
			for _, size := range s.Sizes {
				us, them := rep.fanOver("thinrelay", size, n, cpuPerGB).Median, rep.fanOver("haproxy", size, n, cpuPerGB).Median
				cpu := judged(us, them, fanTarget)
				if n == 1 {
					cpu = ratio(us, them) + " (nothing to share)"
				}
				fmt.Fprintf(t, "fan-out %s to %d\tCPU/byte %s\tMB/s %s\t\t\n", sizeText(size), n, cpu,
					ratio(rep.fanOver("thinrelay", size, n, mbPerSec).Median, rep.fanOver("haproxy", size, n, mbPerSec).Median))
			}
		}
	}
	t.Flush()
}

func (rep *report) has(name string) bool {
	return slices.ContainsFunc(rep.Rows, func(r rowInfo) bool { return r.Name == name })
}

// judged is a ratio with a mark where it misses its target.
func judged(a, b, target float64) string {
	if b > 0 && a/b > target {
		return ratio(a, b) + " missed"
	}
	return ratio(a, b) + " met"
}

func ratio(a, b float64) string {
	if a <= 0 || b <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", a/b)
}

func span(s spread) string { return fmt.Sprintf("[%.0f..%.0f]", s.Min, s.Max) }

// fine is span for small figures, empty where nothing was measured.
func fine(s spread) string {
	if s.Max <= 0 {
		return ""
	}
	return fmt.Sprintf("[%.2f..%.2f]", s.Min, s.Max)
}

func some(v float64, format string) string {
	if v <= 0 {
		return "-"
	}
	return fmt.Sprintf(format, v)
}

func sizeText(n int) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}
