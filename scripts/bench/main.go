//go:build benchpeers

// Command bench measures thinrelay beside the TCP proxies that operators know: direct TCP, HAProxy, nginx stream and
// socat, on one machine, in one run, in turns, under one load generator that speaks the p2p protocol.
//
// Two questions: how long a block takes from the write of a replica until the upstream has read all of it, and what it
// costs to bring the upstream's blocks to 1, 10 and 50 replicas. And two of thinrelay alone: whether the distance between
// the members of a group shows in when blocks leave, and what each replica more costs. docs/performance.md has the method.
//
// It guarantees that every measured block arrived whole and in order: a run in which one does not is a failed run. It
// starts processes of its own on free loopback ports and ends them by pid; it touches no other process and no installed
// configuration. A proxy that is not installed is left out, with a line that says so.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// settings is what the flags say.
type settings struct {
	Rounds  int           `json:"rounds"`
	Seconds float64       `json:"seconds_per_cell"`
	Pace    time.Duration `json:"pace_ns"`
	Sizes   []int         `json:"block_bytes"`
	Fan     []int         `json:"replicas"`
	Tests   []string      `json:"tests"`
	Only    []string      `json:"only"`
	// Distances are round trips between the members of a group, in ms.
	Distances []int `json:"rtt_ms"`
	OurRounds int   `json:"our_rounds"`
	Crowd     []int `json:"crowd"`
	Together  bool  `json:"together"`
	relayd    string
	profile   string
	jsonFile  string
}

// cell is how long one measurement lasts.
func (s *settings) cell() time.Duration { return time.Duration(s.Seconds * float64(time.Second)) }

func (s *settings) runs(test string) bool {
	for _, t := range s.Tests {
		if t == test {
			return true
		}
	}
	return false
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == nodeCommand {
		exit(serveNode(os.Args[2:]))
	}
	if _, err := allowed(); err != nil { // before anything runs elsewhere
		exit(err)
	}
	s, err := parse(os.Args[1:], os.Stderr)
	if err != nil {
		exit(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err = run(ctx, s, os.Stdout, os.Stderr)
	stop()
	exit(err)
}

func exit(err error) {
	switch {
	case err == nil:
		os.Exit(0)
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	}
	fmt.Fprintln(os.Stderr, "bench:", err)
	os.Exit(1)
}

func parse(args []string, w io.Writer) (*settings, error) {
	s := &settings{}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(w)
	f.IntVar(&s.Rounds, "rounds", 5, "how often each row is measured, in turns")
	f.Float64Var(&s.Seconds, "seconds", 2, "length of one measurement; a round has 2 per block size, and 1 per size and number of replicas")
	f.DurationVar(&s.Pace, "pace", 20*time.Millisecond, "time from block to block in the paced measurement; more than the disk needs for a commit")
	sizes := f.String("sizes", "1024,102400,1048576", "block sizes in bytes, the frame included")
	fan := f.String("fan", "1,10,50", "numbers of replicas in the fan-out")
	tests := f.String("tests", "path,fanout", "what to measure: path, fanout, and of relayd alone: replicas, quorum")
	crowd := f.String("crowd", "1,50,100,200", "numbers of replicas in the test replicas")
	rtt := f.String("rtt", "0,80,160", "round trips between members in the test quorum, in ms")
	f.IntVar(&s.OurRounds, "our-rounds", 8, "rounds of twelve blocks that are measured in the test quorum; each takes 12 s")
	only := f.String("only", "direct,haproxy,haproxy-splice,nginx,socat,thinrelay", "rows, out of these and node: the relay's node without group and logs; thinrelay=FILE and node=FILE are other builds of relayd and of this program")
	f.BoolVar(&s.Together, "together", false, "on the path, have the load generator share its processors with what is measured")
	f.StringVar(&s.relayd, "relayd", "bin/relayd", "the relayd to measure; where it does not run, the node takes its place")
	f.StringVar(&s.profile, "profile", "", "folder for CPU profiles of the node row")
	f.StringVar(&s.jsonFile, "json", "", "write every figure of every round to this file")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	var err error
	if s.Sizes, err = numbers(*sizes, minBlock, maxBlock); err != nil {
		return nil, fmt.Errorf("--sizes: %w", err)
	}
	if s.profile != "" {
		if s.profile, err = filepath.Abs(s.profile); err != nil {
			return nil, err
		}
	}
	if s.Fan, err = numbers(*fan, 1, maxReplicas); err != nil {
		return nil, fmt.Errorf("--fan: %w", err)
	}
	if s.Distances, err = numbers(*rtt, 0, 1000); err != nil {
		return nil, fmt.Errorf("--rtt: %w", err)
	}
	if s.Crowd, err = numbers(*crowd, 1, maxReplicas); err != nil {
		return nil, fmt.Errorf("--crowd: %w", err)
	}
	s.Tests, s.Only = strings.Split(*tests, ","), strings.Split(*only, ",")
	if s.Rounds < 1 || s.OurRounds < 1 || s.Seconds <= 0 || s.Pace <= 0 {
		return nil, errors.New("--rounds, --our-rounds, --seconds and --pace must be positive")
	}
	return s, nil
}

// maxReplicas is what a relay accepts, less a reserve.
const maxReplicas = 220

func numbers(list string, lowest, highest int) ([]int, error) {
	var out []int
	for _, field := range strings.Split(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(field))
		if err != nil {
			return nil, fmt.Errorf("%q is not a number", field)
		}
		if n < lowest || n > highest {
			return nil, fmt.Errorf("%d is not between %d and %d", n, lowest, highest)
		}
		out = append(out, n)
	}
	return out, nil
}

// run measures every row in every round and reports.
func run(ctx context.Context, s *settings, out, progress io.Writer) error {
	var rows []*row
	if s.runs("path") || s.runs("fanout") {
		var err error
		if rows, err = chooseRows(ctx, s, progress); err != nil {
			return err
		}
	}
	rep := newReport(s, rows)
	began := time.Now()
	for round := range s.Rounds {
		for i := range rows {
			r := rows[(i+round)%len(rows)] // nobody always follows the same neighbour
			fmt.Fprintf(progress, "%6.1fs  round %d of %d: %s\n", time.Since(began).Seconds(), round+1, s.Rounds, r.name)
			err := rep.measure(ctx, s, r, round)
			if ctx.Err() != nil {
				fmt.Fprintln(progress, "interrupted: the tables hold what was measured until now")
				return rep.finish(out)
			}
			if err != nil {
				return fmt.Errorf("round %d, %s: %w", round+1, r.name, err)
			}
		}
	}
	if s.runs("replicas") {
		fmt.Fprintf(progress, "%6.1fs  replicas\n", time.Since(began).Seconds())
		if err := rep.crowd(ctx, s, progress); err != nil {
			return fmt.Errorf("replicas: %w", err)
		}
	}
	if s.runs("quorum") {
		fmt.Fprintf(progress, "%6.1fs  quorum\n", time.Since(began).Seconds())
		if err := rep.quorum(ctx, s); err != nil {
			return fmt.Errorf("quorum: %w", err)
		}
	}
	return rep.finish(out)
}

// finish reports what was measured.
func (rep *report) finish(out io.Writer) error {
	if file := rep.Settings.jsonFile; file != "" {
		if err := rep.writeJSON(file); err != nil {
			return err
		}
	}
	return rep.write(out)
}

// measure runs one row once through everything.
func (rep *report) measure(ctx context.Context, s *settings, r *row, round int) error {
	if s.runs("path") {
		if err := rep.path(ctx, s, r, round); err != nil {
			return fmt.Errorf("path: %w", err)
		}
	}
	if s.runs("fanout") {
		for _, n := range s.Fan {
			if err := rep.fanout(ctx, s, r, round, n); err != nil {
				return fmt.Errorf("fan-out to %d: %w", n, err)
			}
		}
	}
	return nil
}
