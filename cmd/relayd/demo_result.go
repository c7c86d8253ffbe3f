package main

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// demoResult is what a demonstration ends with: the oracle's verdict, and what
// the relays say of themselves.
type demoResult struct {
	SlotsOurs int            `json:"slots_ours"`
	Emitted   int            `json:"emitted"`
	Missed    int            `json:"missed"`
	Late      int            `json:"late"`
	Double    int            `json:"double"`
	Unlinked  int            `json:"unlinked"`
	Refused   map[string]int `json:"refused"`
	// Latency is from the end of a block's read until it is queued for the
	// upstreams, at the relay that forwards it.
	Latency struct {
		P50 int64 `json:"p50"`
		P99 int64 `json:"p99"`
	} `json:"added_latency_us"`
	SignedByStandbys int         `json:"signed_by_standbys"`
	Drills           []drillCost `json:"drills,omitempty"`
}

// verdict is the exit code: 1 where a promise of the relays was broken.
func (r demoResult) verdict() error {
	if r.Double > 0 || r.Unlinked > 0 {
		return exitCode(1)
	}
	return nil
}

// drillCost is what one drill cost.
type drillCost struct {
	Name string `json:"name"`
	Lost int    `json:"lost"` // slots of the round without a block
	Late int    `json:"late"` // blocks that left after their slot's time
	// WorstMS is how late the latest was.
	WorstMS int64 `json:"worst_ms"`
}

// String is the cost in words.
func (d drillCost) String() string {
	switch {
	case d.Lost == 0 && d.Late == 0:
		return "nothing: 12 of 12 blocks, all in time"
	case d.Lost == 0:
		return fmt.Sprintf("no block: %d late, by %d ms at most", d.Late, d.WorstMS)
	}
	return fmt.Sprintf("%d of 12 blocks", d.Lost)
}

// tally counts what the relays report.
type tally struct {
	mu      *sync.Mutex
	refused map[string]int
	delays  []int64
	leads   map[wire.Slot]time.Duration
	drills  []drillCost
}

func newTally() tally {
	return tally{mu: &sync.Mutex{}, refused: map[string]int{}, leads: map[wire.Slot]time.Duration{}}
}

func (t *tally) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.refused)
	t.delays = nil
}

func (t *tally) add(_ string, r relay.Record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch r.Kind {
	case relay.Forwarded:
		t.delays = append(t.delays, r.Delay.Microseconds())
		t.leads[r.Block.Slot] = r.Lead
	case relay.Refused:
		t.refused[r.Reason.String()]++
	}
}

// round is what became of a round of ours.
func (t *tally) round(first wire.Slot) drillCost {
	t.mu.Lock()
	defer t.mu.Unlock()
	var c drillCost
	for s := first; s < first+director.RoundSlots; s++ {
		lead, sent := t.leads[s]
		switch {
		case !sent:
			c.Lost++
		case lead < 0:
			c.Late++
			c.WorstMS = max(c.WorstMS, -lead.Milliseconds())
		}
	}
	return c
}

func (t *tally) drilled(c drillCost) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drills = append(t.drills, c)
}

// result asks the oracle.
func (w *demoWorld) result() demoResult {
	rep := w.net.Report()
	r := demoResult{
		SlotsOurs: rep.SlotsOurs, Emitted: rep.Emitted, Missed: rep.Missed, Late: rep.Late, Double: rep.Double,
		Unlinked: rep.Unlinked, Refused: map[string]int{}, SignedByStandbys: rep.SignedExtra,
	}
	t := &w.tally
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, v := range t.refused {
		r.Refused[k] = v
	}
	slices.Sort(t.delays)
	if n := len(t.delays); n > 0 {
		r.Latency.P50, r.Latency.P99 = t.delays[n/2], t.delays[min(n*99/100, n-1)]
	}
	r.Drills = t.drills
	return r
}

// print says it to a person.
func (r demoResult) print(w io.Writer) {
	fmt.Fprintf(w, "\nThe network's verdict on %d slots of ours\n", r.SlotsOurs)
	fmt.Fprintf(w, "  blocks that reached it   %d\n", r.Emitted)
	fmt.Fprintf(w, "  slots lost               %d\n", r.Missed)
	fmt.Fprintf(w, "  late                     %d\n", r.Late)
	fmt.Fprintf(w, "  two blocks at a height   %d\n", r.Double)
	fmt.Fprintf(w, "  blocks that did not link %d\n", r.Unlinked)
	fmt.Fprintf(w, "  signed by standbys       %d\n", r.SignedByStandbys)
	fmt.Fprintf(w, "  time in the relay        p50 %d µs, p99 %d µs\n", r.Latency.P50, r.Latency.P99)
	for _, d := range r.Drills {
		fmt.Fprintf(w, "  %-24s cost %s\n", d.Name, d)
	}
}
