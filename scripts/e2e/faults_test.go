//go:build e2e

package e2e_test

import (
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// fault is something that breaks, and what may be lost by it.
type fault struct {
	name   string
	slot   int // of our round, in which it happens; -1: between rounds
	hold   time.Duration
	budget int           // slots of ours that may be lost
	moves  bool          // leadership goes to another member
	within time.Duration // if it moves: how soon
	strike func(*stack, roles) (mend func())
}

const second = time.Second

// faults are the rows of the promises in docs/design.md, and the roles one by one.
var faults = []fault{
	{"leader killed in mid-round", 4, 8 * second, 0, true, 1500 * time.Millisecond, killing(leader)},
	{"leader killed between rounds", -1, 8 * second, 0, true, 1500 * time.Millisecond, killing(leader)},
	{"leader paused in mid-round", 4, 8 * second, 2, true, 3 * second, pausing(leader)},
	{"leader cut off from the other members", 4, 8 * second, 2, true, 3 * second, cutting(leader, "between")},
	{"leader cut off from the upstreams", 4, 10 * second, 2, false, 0, cutting(leader, "outside")},
	{"active replica killed in mid-round", 4, 8 * second, 1, false, 0, killing(active)},
	{"active replica killed between rounds", -1, 8 * second, 0, false, 0, killing(active)},
	{"active replica paused in mid-round", 4, 8 * second, 2, false, 0, pausing(active)},
	{"standby replica killed in mid-round", 4, 8 * second, 0, false, 0, killing(standby)},
	{"follower killed in mid-round", 4, 8 * second, 0, false, 0, killing(follower)},
	{"follower paused in mid-round", 4, 8 * second, 0, false, 0, pausing(follower)},
	{"one upstream killed in mid-round", 4, 8 * second, 0, false, 0, killing(upstream)},
	{"one upstream paused in mid-round", 4, 15 * second, 0, false, 0, pausing(upstream)},
	{"finalizer killed for a moment", 2, 2 * second, 0, false, 0, killing(finalizer)},
	// Nobody is left who knows whether the active replica's next block went out, so the rest of the round waits for the network to go on.
	{"region lost: the leader and its replica", 4, 10 * second, 8, true, 3 * second, region},
}

func leader(r roles) string  { return r.leader }
func active(r roles) string  { return r.active }
func standby(r roles) string { return r.standby }

func follower(r roles) string  { return r.follower }
func upstream(roles) string    { return "seed1" }
func finalizer(_ roles) string { return "fin-1" }

func killing(who func(roles) string) func(*stack, roles) func() {
	return func(s *stack, r roles) func() {
		s.kill(who(r))
		return func() { s.start(who(r)) }
	}
}

func pausing(who func(roles) string) func(*stack, roles) func() {
	return func(s *stack, r roles) func() {
		s.pause(who(r))
		return func() { s.unpause(who(r)) }
	}
}

func cutting(who func(roles) string, network string) func(*stack, roles) func() {
	return func(s *stack, r roles) func() { return s.cut(who(r), network) }
}

// replicaOf is the replica in a relay's region.
var replicaOf = map[string]string{"eu-1": "nodeos-a", "us-1": "nodeos-b", "ap-1": "nodeos-c"}

// region takes a whole region away: the leader's.
func region(s *stack, r roles) func() {
	s.must("docker", "kill", s.id(r.leader), s.id(replicaOf[r.leader]))
	return func() { s.must("docker", "start", s.id(r.leader), s.id(replicaOf[r.leader])) }
}

// TestFaults breaks one part after another.
func TestFaults(t *testing.T) {
	s := newStack(t)
	s.up()
	o := newOracle(s)
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			s.t, o.s.t = t, t
			one(t, s, o, f)
		})
	}
	s.t = t
	o.promises(t)
}

// one runs one fault on a group that is whole, and judges it.
func one(t *testing.T, s *stack, o *oracle, f fault) {
	s.awaitWhole(2 * time.Minute)
	first := o.nextRound(4 * second)
	begin, when := first, first.Time().Add(-wire.SlotInterval/2)
	if f.slot < 0 {
		when = when.Add(-3 * second)
	} else {
		when = when.Add(time.Duration(f.slot) * wire.SlotInterval)
	}
	at(when.Add(-time.Second))
	r := s.roles()
	at(when)
	broken := time.Now()
	mend := f.strike(s, r)
	result := row{fault: f.name, budget: f.budget}
	if f.moves {
		result.takeover = s.takeover(r.leader, broken)
	}
	at(broken.Add(f.hold))
	mend()
	s.awaitWhole(2 * time.Minute)
	// What it cost shows in the round it hit and in the next, in which all must be well again.
	end := max(slotNow(), first+roundSlots*producers+roundSlots-1)
	o.judged(end)
	result.cost = o.losses(begin, end)
	result.ok = result.cost.lost <= f.budget && (!f.moves || result.takeover <= f.within)
	results.add(result)
	if result.cost.lost > f.budget {
		t.Errorf("%d slots lost, at most %d are allowed", result.cost.lost, f.budget)
	}
	if f.moves && result.takeover > f.within {
		t.Errorf("another member led after %s, want at most %s", result.takeover, f.within)
	}
	o.promises(t)
}
