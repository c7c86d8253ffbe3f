package relay_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/simnet"
)

// A relay in front of replicas of each release family, on the chains where they
// live: every slot of ours is filled, and what leaves is one chain.
func TestReleases(t *testing.T) {
	t.Parallel()
	all := func(rel simnet.Release) func(int, *simnet.ReplicaConfig) {
		return func(_ int, c *simnet.ReplicaConfig) { c.Release = rel }
	}
	mixed := func(rels ...simnet.Release) func(int, *simnet.ReplicaConfig) {
		return func(i int, c *simnet.ReplicaConfig) { c.Release = rels[i] }
	}
	for _, tc := range some([]struct {
		name    string
		mode    director.Mode
		legacy  bool
		network simnet.Release
		replica func(int, *simnet.ReplicaConfig)
	}{
		{"EOSIO 2.0", director.Passive, true, simnet.EOSIO20, all(simnet.EOSIO20)},
		{"EOSIO 2.1", director.Passive, true, simnet.Leap5, all(simnet.EOSIO21)},
		{"Leap 4", director.Passive, true, simnet.Leap4, all(simnet.Leap4)},
		{"Leap 5", director.Passive, true, simnet.Leap5, all(simnet.Leap5)},
		{"Leap 5, votes asked for", director.Votes, true, simnet.Leap5, all(simnet.Leap5)},
		{"Spring on a legacy chain", director.Votes, true, simnet.Spring12, all(simnet.Spring12)},
		{"legacy, mixed", director.Passive, true, simnet.Spring11, mixed(simnet.Leap5, simnet.Spring12, simnet.EOSIO21)},
		{"Spring 1.0", director.Votes, false, simnet.Spring10, all(simnet.Spring10)},
		{"Spring 1.1", director.Votes, false, simnet.Spring11, all(simnet.Spring11)},
		{"Spring, mixed", director.Votes, false, simnet.Spring12, mixed(simnet.Spring10, simnet.Spring11, simnet.Spring12)},
		{"Spring, passive", director.Passive, false, simnet.Spring12, mixed(simnet.Spring11, simnet.Spring12, simnet.Spring12)},
	}) {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var dropped, invalid atomic.Int32
				f := newFleet(t, fleetConfig{
					relays: 1, mode: tc.mode, load: 3, dials: [][]int{{0}, {0}, {0}}, replica: tc.replica, noFinalizer: tc.legacy,
					change: func(c *simnet.Config) { c.Legacy, c.LegacyLag, c.Release = tc.legacy, 40, tc.network },
					events: func(e simnet.Event) {
						if e.Node[:3] != "nod" {
							return
						}
						switch {
						case e.Kind == simnet.Ignored && e.Detail == "producing":
							dropped.Add(1)
						case e.Kind == simnet.Invalid:
							invalid.Add(1)
						}
					},
				})
				defer f.close()
				rounds(2)
				dropped.Store(0)
				invalid.Store(0)
				f.net.Oracle.Begin(f.now())
				rounds(5)
				got := f.net.Report()
				if got.Double != 0 || got.Unlinked != 0 || got.Missed != 0 || got.SlotsOurs < 48 {
					f.dump(f.members[0].began, 100)
					t.Errorf("report=%+v, want nothing missed", brief(got))
				}
				if d, i := dropped.Load(), invalid.Load(); d != 0 || i != 0 {
					t.Errorf("replicas dropped %d siblings' blocks while producing, and %d as invalid, want none", d, i)
				}
			})
		})
	}
}

// Where we are the only producer there is no network to wait for: our blocks
// are all there is, through a kill of the active replica too.
func TestSingleProducerChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, fleetConfig{
			relays: 1, mode: director.Votes, load: 3, dials: [][]int{{0}, {0}, {0}},
			change:  func(c *simnet.Config) { c.Others = []string{} },
			replica: func(_ int, c *simnet.ReplicaConfig) { c.Stale = true },
		})
		defer f.close()
		rounds(2)
		f.net.Oracle.Begin(f.now())
		begin := f.members[0].began
		rounds(2)
		got := f.net.Report()
		if got.Double != 0 || got.Unlinked != 0 || got.Missed != 0 || got.SlotsOurs < 48 {
			f.dump(begin, 100)
			t.Fatalf("report=%+v, want nothing missed", brief(got))
		}
	})
}

// On an idle chain all replicas sign the same bytes: each block is one block,
// whoever sent it, also when the relay that leads changes.
func TestIdleChain(t *testing.T) {
	t.Parallel()
	for _, mode := range []director.Mode{director.Votes, director.Passive} {
		t.Run(mode.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, fleetConfig{relays: 2, mode: mode, dials: [][]int{{0}, {1}, {0, 1}}})
				defer f.close()
				rounds(2)
				begin := f.members[0].began
				f.net.Oracle.Begin(f.now())
				for i := range 4 {
					f.awaitSlot(3, 0)
					f.group.elect(nil)
					f.members[i%2].resign()
					f.appoint(f.members[(i+1)%2], 0)
				}
				rounds(1)
				got := f.net.Report()
				if got.Double != 0 || got.Unlinked != 0 || got.Missed != 0 || got.SlotsOurs < 36 || got.Orphaned != 0 {
					f.dump(begin, 100)
					t.Fatalf("report=%+v, want nothing missed", brief(got))
				}
			})
		})
	}
}
