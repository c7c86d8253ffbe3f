//go:build e2e

package e2e_test

import (
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// one runs one fault on a group that is whole, and judges the round it hit. The slots before the strike show whether the fault before has
// healed: nothing may be lost there.
func one(t *testing.T, s *stack, f fault) {
	t.Helper()
	s.awaitWhole(time.Minute)
	if f.ready != nil {
		f.ready(s)
	}
	var first, struck wire.Slot
	var when time.Time
	if f.slot < 0 {
		first = s.oracle.nextRound(4 * second)
		struck, when = first, first.Time().Add(-3*second)
	} else {
		first = s.oracle.nextRound(0)
		struck = first + wire.Slot(f.slot)
		when = struck.Time().Add(-wire.SlotInterval / 2) // the block before it is out
	}
	at(when.Add(-500 * time.Millisecond))
	r := s.roles()
	at(when)
	broken := time.Now()
	mend := f.strike(s, r)
	done := time.Now() // the engine may take a second and more to cut somebody off, of which those cut off see little
	result := row{fault: f.name, budget: f.budget}
	if f.within > 0 {
		result.takeover = s.takeover(r.leader, done)
		if end, ok := s.ended(r.leader); ok { // killed: the engine knows when
			result.takeover -= end.Sub(done)
		}
	}
	at(broken.Add(f.hold))
	mend()
	var before losses
	before, result.cost = s.oracle.judge(struck)
	result.ok = before.lost == 0 && result.cost.lost <= f.budget && (f.within == 0 || result.takeover <= f.within)
	results.add(result)
	if before.lost > 0 {
		t.Errorf("%d slots lost before the strike: what was before has not healed: %v", before.lost, before.which)
	}
	if result.cost.lost > f.budget {
		t.Errorf("%d slots lost, at most %d are allowed: %v; leader %s, follower %s, active %s, standby %s", result.cost.lost, f.budget, result.cost.which, r.leader, r.follower, r.active, r.standby)
	}
	if f.within > 0 && result.takeover > f.within {
		t.Errorf("another member led after %s, want at most %s", result.takeover, f.within)
	}
	s.oracle.promises(t)
}

// healed makes sure that a whole round is well after the last test.
func healed(t *testing.T, s *stack) {
	t.Helper()
	s.awaitWhole(time.Minute)
	at(s.oracle.nextRound(0).Time())
	before, after := s.oracle.judge(s.oracle.from)
	if before.slots+after.slots < roundSlots {
		t.Errorf("%d slots judged, want a round", before.slots+after.slots)
	}
	if lost := before.lost + after.lost; lost > 0 {
		t.Errorf("%d slots lost when all was well again: %v", lost, append(before.which, after.which...))
	}
	s.oracle.promises(t)
}
