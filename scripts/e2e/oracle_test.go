//go:build e2e

package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
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

// newOracle begins with the first round of ours that begins now that the group is whole.
func newOracle(s *stack) *oracle {
	o := &oracle{
		s: s, slots: map[wire.Slot]simnet.SlotOutcome{}, heights: map[uint32]map[string]bool{},
		doubles: map[string]simnet.Violation{}, strays: map[string]simnet.Violation{},
	}
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
		for _, v := range r.Doubles {
			o.doubles[fmt.Sprint(seed, v.Height, v.ID)] = v
		}
		for _, v := range r.Unlinkeds {
			o.strays[fmt.Sprint(seed, v.Height, v.ID)] = v
		}
		for _, out := range r.Slots {
			o.slot(out)
		}
	}
}

// slot joins what two upstreams saw of one slot: one may have been down.
func (o *oracle) slot(out simnet.SlotOutcome) {
	o.final = max(o.final, out.Slot)
	if out.ID != "" {
		if o.heights[out.Height] == nil {
			o.heights[out.Height] = map[string]bool{}
		}
		o.heights[out.Height][out.ID] = true
	}
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

// losses are what the network lacks of the slots from begin to end.
type losses struct{ slots, lost, late int }

func (o *oracle) losses(begin, end wire.Slot) (l losses) {
	for slot, out := range o.slots {
		if slot < begin || slot > end {
			continue
		}
		l.slots++
		if !out.OnChain {
			l.lost++
		}
		if out.Emitted && out.LeadMS < 0 {
			l.late++
		}
	}
	return l
}

// promises fails the test for a height with two blocks, and for a block that does not link.
func (o *oracle) promises(t *testing.T) {
	t.Helper()
	o.read()
	for _, v := range o.doubles {
		t.Errorf("two blocks at height %d: %s and %s, seen by %s from %s", v.Height, v.ID, v.Other, v.Node, v.Relay)
	}
	for height, ids := range o.heights {
		if len(ids) > 1 {
			t.Errorf("two blocks at height %d: %v", height, ids)
		}
	}
	for _, v := range o.strays {
		t.Errorf("a block that does not link at height %d: %s, %s lacks %s, from %s", v.Height, v.ID, v.Node, v.Other, v.Relay)
	}
}
