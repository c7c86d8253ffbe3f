package relay_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/director"
)

// Shortly before our round a relay stands still, or lines carry nothing, and no connection
// ends: replicas are fed by another relay that they are connected to, and one that is
// heard nowhere does not open the round.
func TestSilenceBeforeOurRound(t *testing.T) {
	t.Parallel()
	twice := func(i, j int) [][]int { return [][]int{{i, j}, {i, j}} }
	for _, tc := range some([]struct {
		name  string
		dials [][]int
		cut   func(f *fleet)
	}{
		{"the relay that feeds them", twice(1, 2), func(f *fleet) { f.mem.Isolate("r3") }},
		{"the other one", twice(1, 2), func(f *fleet) { f.mem.Isolate("r2") }},
		{"what the leader tells it", twice(1, 2), func(f *fleet) { f.mem.Cut("r1", "r3") }},
		{"their lines to the leader", twice(0, 1), func(f *fleet) {
			for _, r := range f.replicas {
				f.mem.CutBoth("r1", r.Name())
			}
		}},
		{"the line of the active one", twice(0, 1), func(f *fleet) { f.mem.CutBoth("r1", f.speaker().Name()) }},
		{"the active one", twice(0, 1), func(f *fleet) {
			active := f.speaker()
			active.Freeze()
			time.AfterFunc(12*time.Second, active.Thaw)
		}},
	}) {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, fleetConfig{relays: 3, mode: director.Votes, load: 4, dials: tc.dials, finalizer: []int{0, 1, 2}})
				defer f.close()
				rounds(2)
				f.net.Oracle.Begin(f.now())
				for range repeat(3) {
					f.awaitSlot(0, 5*time.Second)
					tc.cut(f)
					time.Sleep(13 * time.Second) // fake time
					f.mem.HealAll()
					rounds(1)
				}
				f.clean(repeat(3)*12, 0)
			})
		})
	}
}

// The leader itself stands still, so that nobody's answers come: that is no reason to
// choose another replica when it goes on.
func TestLeaderThatStoodStillChoosesNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, fleetConfig{relays: 2, mode: director.Votes, load: 4, dials: [][]int{{0}, {0}, {1}}, finalizer: []int{0, 1}})
		defer f.close()
		rounds(2)
		f.net.Oracle.Begin(f.now())
		for range 3 {
			f.awaitSlot(0, 9*time.Second)
			active := f.speaker()
			f.mem.Isolate("r1")
			time.Sleep(6 * time.Second) // fake time
			f.mem.HealAll()
			time.Sleep(10 * time.Second) // fake time
			if f.speaker() != active {
				t.Errorf("%s speaks, before it was %s", f.speaker().Name(), active.Name())
			}
		}
		rounds(1)
		f.clean(3*12, 0)
	})
}

// In our round the line to the relay where the active replica is carries nothing, and the one
// back carries its blocks: it is not silent to us, and goes on.
func TestLineBreaksOneWayInOurRound(t *testing.T) {
	t.Parallel()
	for _, cut := range []time.Duration{1700 * time.Millisecond, 4 * time.Second} {
		t.Run(cut.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, fleetConfig{relays: 2, mode: director.Votes, load: 3, dials: [][]int{{1}, {0}, {1}}, finalizer: []int{0}})
				defer f.close()
				rounds(2)
				f.net.Oracle.Begin(f.now())
				f.awaitSlot(1, 0)
				active := f.speaker()
				if active == f.replicas[1] {
					f.mem.Cut("r1", active.Name())
				} else {
					f.mem.Cut("r1", "r2")
				}
				time.Sleep(cut) // fake time
				f.mem.HealAll()
				rounds(1)
				f.clean(12, 0)
			})
		})
	}
}
