//go:build benchpeers

package main

import (
	"encoding/json"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// report collects every figure of every round.
type report struct {
	Began    time.Time      `json:"began"`
	Machine  machine        `json:"machine"`
	Settings *settings      `json:"settings"`
	Rows     []rowInfo      `json:"rows"`
	Path     []pathFigures  `json:"path"`
	Fanout   []fanFigures   `json:"fanout"`
	Replicas []replicaCost  `json:"replicas"`
	Quorum   []trialFigures `json:"quorum"`

	pooled map[pathKey][]int64 // all rounds together
}

type machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
}

type rowInfo struct {
	Name   string `json:"name"`
	Detail string `json:"detail"`
}

// pathKey is a row of a table on the path of one block.
type pathKey struct {
	row  string
	size int
	mode string
}

// pathFigures is one measurement of the path; latencies are in microseconds.
type pathFigures struct {
	Round       int     `json:"round"`
	Row         string  `json:"row"`
	Size        int     `json:"block_bytes"`
	Mode        string  `json:"mode"`
	Blocks      int     `json:"blocks"`
	P50         float64 `json:"p50_us"`
	P99         float64 `json:"p99_us"`
	P999        float64 `json:"p999_us"`
	Max         float64 `json:"max_us"`
	PerSecond   float64 `json:"blocks_per_second"`
	CPUPerBlock float64 `json:"cpu_us_per_block"`
}

// fanFigures is one measurement of the fan-out.
type fanFigures struct {
	Round     int     `json:"round"`
	Row       string  `json:"row"`
	Size      int     `json:"block_bytes"`
	Replicas  int     `json:"replicas"`
	MBPerSec  float64 `json:"mb_per_second"`       // at the replicas, together
	CPUPerGB  float64 `json:"cpu_seconds_per_gb"`  // of the row's process
	LoadPerGB float64 `json:"load_seconds_per_gb"` // of the load generator: upstream and replicas
	PSS       int64   `json:"pss_bytes"`
	Peak      int64   `json:"peak_rss_bytes"`
}

func newReport(s *settings, rows []*row) *report {
	rep := &report{
		Began: time.Now().UTC(), Settings: s, pooled: make(map[pathKey][]int64),
		Machine: machine{CPU: cpuModel(), Cores: runtime.NumCPU(), Kernel: kernel(), Go: runtime.Version()},
	}
	for _, r := range rows {
		rep.Rows = append(rep.Rows, rowInfo{r.name, r.detail})
	}
	return rep
}

func (rep *report) addPath(r *row, round, size int, mode string, latency []int64, cpu, took time.Duration) {
	key := pathKey{r.name, size, mode}
	rep.pooled[key] = append(rep.pooled[key], latency...)
	slices.Sort(latency)
	rep.Path = append(rep.Path, pathFigures{
		Round: round, Row: r.name, Size: size, Mode: mode, Blocks: len(latency),
		P50: micros(percentile(latency, 0.5)), P99: micros(percentile(latency, 0.99)),
		P999: micros(percentile(latency, 0.999)), Max: micros(percentile(latency, 1)),
		PerSecond:   float64(len(latency)) / took.Seconds(),
		CPUPerBlock: cpu.Seconds() * 1e6 / float64(max(1, len(latency))),
	})
}

func (rep *report) addFan(g *rig, round, size int, c fanCost) {
	gb := float64(max(1, c.bytes)) / 1e9
	rep.Fanout = append(rep.Fanout, fanFigures{
		Round: round, Row: g.row.name, Size: size, Replicas: len(g.replicas),
		MBPerSec: gb * 1e3 / c.took.Seconds(), CPUPerGB: c.proxy.Seconds() / gb, LoadPerGB: c.loader.Seconds() / gb,
		PSS: c.pss, Peak: c.peak,
	})
}

func micros(ns int64) float64 { return float64(ns) / 1e3 }

// writeJSON writes everything to a file.
func (rep *report) writeJSON(file string) error {
	text, err := json.MarshalIndent(rep, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

// pathOver is one figure of the path over the rounds.
func (rep *report) pathOver(key pathKey, figure func(pathFigures) float64) spread {
	var values []float64
	for _, f := range rep.Path {
		if (pathKey{f.Row, f.Size, f.Mode}) == key {
			values = append(values, figure(f))
		}
	}
	return spreadOf(values)
}

// fanOver is one figure of the fan-out over the rounds.
func (rep *report) fanOver(row string, size, replicas int, figure func(fanFigures) float64) spread {
	var values []float64
	for _, f := range rep.Fanout {
		if f.Row == row && f.Size == size && f.Replicas == replicas {
			values = append(values, figure(f))
		}
	}
	return spreadOf(values)
}

func cpuModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func kernel() string {
	var u syscall.Utsname
	if syscall.Uname(&u) != nil {
		return "unknown"
	}
	var b strings.Builder
	for _, c := range u.Release {
		if c == 0 {
			break
		}
		b.WriteByte(byte(c))
	}
	return b.String()
}
