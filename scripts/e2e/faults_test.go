//go:build e2e

package e2e_test

import (
	"testing"
	"time"
)

// fault is something that breaks, and what may be lost by it.
type fault struct {
	name   string
	slot   int           // of our round, in which it happens; -1: between rounds
	hold   time.Duration // until it is mended
	budget int           // slots of ours that may be lost
	within time.Duration // another member leads after that at most; 0: leadership may stay where it is
	strike func(*stack, roles) (mend func())
	ready  func(*stack) // brings the group into the state that the fault needs; may be nil
	long   bool         // not with -short
}

const (
	second = time.Second
	// inRound holds a fault until the last seconds of the round it hit in slot 4: what comes back then could still speak in it.
	inRound = 3500 * time.Millisecond
	restOf4 = roundSlots - 4
)

// faults are each role killed, paused and cut off, and the rows of the promises in docs/design.md. What may cost nothing is broken in pairs.
var faults = []fault{
	{name: "leader killed", slot: 4, hold: inRound, budget: 0, within: takeover, strike: killing(leader)},
	{name: "leader paused", slot: 4, hold: inRound, budget: 2, within: 3 * second, strike: pausing(leader)},
	{name: "leader cut off from the other members", slot: 4, hold: inRound, budget: 2, within: 3 * second, strike: cutting(leader, between)},
	{name: "leader cut off from the upstreams", slot: 4, hold: inRound, budget: 2, strike: cutting(leader, outside)},
	{name: "follower killed", slot: 4, hold: inRound, budget: 0, strike: killing(follower)},
	{name: "follower paused", slot: 4, hold: inRound, budget: 0, strike: pausing(follower), long: true},
	{name: "follower cut off from the other members", slot: 4, hold: inRound, budget: 0, strike: cutting(follower, between), long: true},
	{name: "active replica killed", slot: 4, hold: inRound, budget: 1, strike: killing(active)},
	{name: "active replica paused", slot: 4, hold: inRound, budget: 2, strike: pausing(active)},
	{name: "active replica cut off", slot: 4, hold: inRound, budget: 2, strike: cutting(active, home), long: true},
	{name: "standby replica and one upstream killed", slot: 4, hold: inRound, budget: 0, strike: both(killing(standby), killing(upstream)), long: true},
	{name: "standby replica and one upstream paused", slot: 4, hold: inRound, budget: 0, strike: both(pausing(standby), pausing(upstream)), long: true},
	{name: "standby replica and one upstream cut off", slot: 4, hold: inRound, budget: 0, strike: both(cutting(standby, home), cutting(upstream, outside)), long: true},
	{name: "finalizer killed", slot: 2, hold: inRound, budget: 0, strike: killing(finalizer)},
	// Nobody is left who knows whether the active replica's next block went out, so what is left of the round waits for the network to go on:
	// 8 slots after slot 3. The next round is whole, as after every fault.
	{name: "region lost, the active replica with it", slot: 4, hold: inRound, budget: restOf4, within: takeover, strike: region, ready: leadBeside(true)},
	{name: "region lost, the active replica elsewhere", slot: 4, hold: inRound, budget: 0, within: takeover, strike: region, ready: leadBeside(false), long: true},
	{name: "leader killed between rounds", slot: -1, hold: 4 * second, budget: 0, within: takeover, strike: killing(leader), long: true},
	{name: "active replica killed between rounds", slot: -1, hold: 4 * second, budget: 0, strike: killing(active), long: true},
	{name: "finalizer paused", slot: 2, hold: inRound, budget: 0, strike: pausing(finalizer), long: true},
	{name: "finalizer cut off", slot: 2, hold: inRound, budget: 0, strike: cutting(finalizer, between), long: true},
	// Longer than a peer may be silent (docs/p2p.md).
	{name: "one upstream paused for long", slot: 4, hold: 25 * second, budget: 0, strike: pausing(upstream), long: true},
	{name: "leader paused for long", slot: 4, hold: 25 * second, budget: 2, within: 3 * second, strike: pausing(leader), long: true},
	{name: "active replica cut off for long", slot: 4, hold: 25 * second, budget: 2, strike: cutting(active, home), long: true},
}

// takeover is how soon another member leads when the leader is gone.
const takeover = 1500 * time.Millisecond

func leader(r roles) string    { return r.leader }
func follower(r roles) string  { return r.follower }
func active(r roles) string    { return r.active }
func standby(r roles) string   { return r.standby }
func upstream(roles) string    { return "seed1" }
func finalizer(_ roles) string { return "fin-1" }

func between(string) []string { return []string{"between"} }
func outside(string) []string { return []string{"outside"} }

// home are all networks of a replica.
func home(replica string) []string { return []string{regionOf[replica], "between"} }

var regionOf = map[string]string{"nodeos-a": "eu", "nodeos-b": "us", "nodeos-c": "ap"}

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

func cutting(who func(roles) string, networks func(string) []string) func(*stack, roles) func() {
	return func(s *stack, r roles) func() { return s.cut(who(r), networks(who(r))...) }
}

func both(one, other func(*stack, roles) func()) func(*stack, roles) func() {
	return func(s *stack, r roles) func() {
		first, second := one(s, r), other(s, r)
		return func() { first(); second() }
	}
}

// replicaOf is the replica in a relay's region.
var replicaOf = map[string]string{"eu-1": "nodeos-a", "us-1": "nodeos-b", "ap-1": "nodeos-c"}

// region takes a whole region away: the leader's.
func region(s *stack, r roles) func() {
	gone := []string{s.id(r.leader), s.id(replicaOf[r.leader])}
	s.must("docker", append([]string{"kill"}, gone...)...)
	return func() { s.must("docker", append([]string{"start"}, gone...)...) }
}

// leadBeside makes the relay of the active replica's region lead, or one of another.
func leadBeside(together bool) func(*stack) {
	return func(s *stack) {
		r := s.roles()
		if (replicaOf[r.leader] == r.active) == together {
			return
		}
		for _, relay := range relays {
			if relay != r.leader && (replicaOf[relay] == r.active) == together {
				if out, code := s.relayctl(r.leader, "step-down", "--to", relay); code != 0 {
					s.t.Fatalf("step-down to %s: exit %d\n%s", relay, code, out)
				}
				s.awaitWhole(30 * second)
				return
			}
		}
	}
}

// TestFaults breaks one part after another, a fault in each round where the group is whole again before the next.
func TestFaults(t *testing.T) {
	s := sharedStack(t)
	for _, f := range faults {
		if f.long && testing.Short() {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			s.t = t
			defer func() { s.complain(); s.t = t }()
			one(t, s, f)
		})
	}
	s.t = t
	healed(t, s)
}
