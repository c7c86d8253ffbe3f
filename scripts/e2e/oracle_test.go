//go:build e2e

package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/relay/simnet"
	"github.com/thinrelay/thinrelay/relay/wire"
)

const (
	roundSlots = 12
	period     = 2 * roundSlots // from one round of ours to the next
)

var seeds = []string{"seed1", "seed2"}

// oracle is what the upstreams have seen, put together. An upstream that was killed begins anew, so what was seen is kept.
type oracle struct {
	s       *stack
	slots   map[wire.Slot]simnet.SlotOutcome
	heights map[uint32]map[string]bool // ids of our blocks by height, over all upstreams
	doubles map[string]simnet.Violation
	strays  map[string]simnet.Violation
	final   wire.Slot // the last slot of ours that is decided
	from    wire.Slot // the first that no test has judged yet
}

// Two blocks of one height are two also when each went to another upstream, and when only one of them is on the chain, or none.
func TestOracleComparesUpstreams(t *testing.T) {
	at := func(height uint32, ids ...string) (r simnet.Report) {
		for _, id := range ids {
			r.Arrived = append(r.Arrived, simnet.Arrived{Height: height, ID: id})
		}
		return r
	}
	for name, tc := range map[string]struct {
		seen []simnet.Report // by the upstreams
		want int
	}{
		"the same block":    {[]simnet.Report{at(7, "a"), at(7, "a")}, 0},
		"another at each":   {[]simnet.Report{at(7, "a"), at(7, "b")}, 1},
		"other heights":     {[]simnet.Report{at(7, "a"), at(8, "b")}, 0},
		"both at one":       {[]simnet.Report{at(7, "a", "b"), {}}, 1},
		"one does not link": {[]simnet.Report{{Unlinkeds: []simnet.Violation{{Height: 7}}}, {}}, 1},
		"an own double":     {[]simnet.Report{{Doubles: []simnet.Violation{{Height: 7}}}, {}}, 1},
	} {
		o := emptyOracle(nil)
		for i, r := range tc.seen {
			o.take(seeds[i], r)
		}
		if got := o.broken(); len(got) != tc.want {
			t.Errorf("%s: %q, want %d", name, got, tc.want)
		}
	}
}

func emptyOracle(s *stack) *oracle {
	return &oracle{
		s: s, slots: map[wire.Slot]simnet.SlotOutcome{}, heights: map[uint32]map[string]bool{},
		doubles: map[string]simnet.Violation{}, strays: map[string]simnet.Violation{},
	}
}

// newOracle begins with the first round of ours that begins now that the group is whole.
func newOracle(s *stack) *oracle {
	o := emptyOracle(s)
	o.from = o.nextRound(0)
	return o
}

// read takes in what the upstreams that answer report now.
func (o *oracle) read() {
	for _, seed := range seeds {
		r, err := o.report(seed)
		if err != nil {
			continue // it is down: that is what is tested
		}
		o.take(seed, r)
	}
}

// take is what one upstream reports.
func (o *oracle) take(seed string, r simnet.Report) {
	for _, v := range r.Doubles {
		o.doubles[fmt.Sprint(seed, v.Height, v.ID)] = v
	}
	for _, v := range r.Unlinkeds {
		o.strays[fmt.Sprint(seed, v.Height, v.ID)] = v
	}
	for _, b := range r.Arrived {
		if o.heights[b.Height] == nil {
			o.heights[b.Height] = map[string]bool{}
		}
		o.heights[b.Height][b.ID] = true
	}
	for _, out := range r.Slots {
		o.slot(out)
	}
}

// slot joins what two upstreams saw of one slot: one may have been down.
func (o *oracle) slot(out simnet.SlotOutcome) {
	o.final = max(o.final, out.Slot)
	have, ok := o.slots[out.Slot]
	if !ok {
		o.slots[out.Slot] = out
		return
	}
	if out.Emitted && (!have.Emitted || out.LeadMS > have.LeadMS) {
		have.LeadMS = out.LeadMS
	}
	have.Emitted = have.Emitted || out.Emitted
	have.OnChain = have.OnChain || out.OnChain
	o.slots[out.Slot] = have
}

func (o *oracle) report(seed string) (r simnet.Report, err error) {
	if !o.s.running(seed) {
		return r, fmt.Errorf("%s is down", seed)
	}
	host, err := o.s.address(seed, "outside")
	if err != nil {
		return r, err
	}
	client := http.Client{Timeout: 5 * time.Second}
	resp, err := client.Get("http://" + host + ":9880/report")
	if err != nil {
		return r, err
	}
	defer resp.Body.Close()
	return r, json.NewDecoder(resp.Body).Decode(&r)
}

// slotNow is the slot whose time has come.
func slotNow() wire.Slot { return wire.SlotAt(time.Now()) }

// nextRound is the first slot of our next round that is at least ahead away. Rounds repeat, so any slot of ours tells all of them.
func (o *oracle) nextRound(ahead time.Duration) wire.Slot {
	o.s.t.Helper()
	if o.final == 0 {
		o.s.until("the upstreams have seen a round of ours", time.Minute, 200*time.Millisecond, func() bool { o.read(); return o.final > 0 })
	}
	first := o.final - o.final%roundSlots
	for first.Time().Before(time.Now().Add(ahead)) {
		first += period
	}
	return first
}

// judge waits until everything up to the end of the last round that has begun is decided, and returns what was lost since the last judgement
// before the slot struck, and from it on.
func (o *oracle) judge(struck wire.Slot) (before, after losses) {
	o.s.t.Helper()
	end := o.nextRound(0) - period + roundSlots - 1
	if end < o.from { // our round has not begun since
		return losses{}, losses{}
	}
	o.s.until(fmt.Sprintf("slot %d is decided", end), time.Minute, 200*time.Millisecond, func() bool { o.read(); return o.final >= end })
	before, after = o.losses(o.from, struck-1), o.losses(max(struck, o.from), end)
	o.from = end + 1
	return before, after
}

// losses are what the network lacks of the slots of ours in a span.
type losses struct {
	slots, lost, late int
	which             []string // the lost ones: slot, its time, and whether an upstream had the block
}

func (o *oracle) losses(begin, end wire.Slot) (l losses) {
	for slot, out := range o.slots {
		if slot < begin || slot > end {
			continue
		}
		l.slots++
		if !out.OnChain {
			l.lost++
			what := "never sent"
			if out.Emitted {
				what = fmt.Sprintf("arrived with a lead of %.0f ms", out.LeadMS)
			}
			l.which = append(l.which, fmt.Sprintf("slot %d (%s): %s", slot, slot.Time().Format("15:04:05.0"), what))
		}
		if out.Emitted && out.LeadMS < 0 {
			l.late++
		}
	}
	slices.Sort(l.which)
	return l
}

// since reports whether a block of ours of a slot later than this one is on the chain.
func (o *oracle) since(slot wire.Slot) bool {
	for s, out := range o.slots {
		if s > slot && out.OnChain {
			return true
		}
	}
	return false
}

// promises fails the test for a height with two blocks, and for a block that does not link.
func (o *oracle) promises(t *testing.T) {
	t.Helper()
	o.read()
	for _, what := range o.broken() {
		t.Error(what)
	}
}

// broken are the promises that are not kept.
func (o *oracle) broken() (what []string) {
	say := func(format string, args ...any) { what = append(what, fmt.Sprintf(format, args...)) }
	for _, v := range o.doubles {
		say("two blocks at height %d: %s and %s, seen by %s from %s", v.Height, v.ID, v.Other, v.Node, v.Relay)
	}
	for height, ids := range o.heights {
		if len(ids) > 1 {
			say("two blocks at height %d: %v", height, ids)
		}
	}
	for _, v := range o.strays {
		say("a block that does not link at height %d: %s, %s lacks %s, from %s", v.Height, v.ID, v.Node, v.Other, v.Relay)
	}
	return what
}
