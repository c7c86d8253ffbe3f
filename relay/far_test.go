package relay_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/director"
)

// apart puts the relays so far from each other, one way.
func (f *fleet) apart(d time.Duration) {
	for _, a := range f.members {
		for _, b := range f.members {
			if a != b {
				f.mem.SetDelay(a.name, b.name, d)
			}
		}
	}
}

// Leadership is handed over in our round between regions that are far apart, while the
// active replica is connected to a third one: it goes on, its blocks are late.
func TestHandOverFarApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const way = 110 * time.Millisecond
		f := newFleet(t, fleetConfig{relays: 3, mode: director.Votes, load: 4, dials: [][]int{{2}, {1}, {0}}, finalizer: []int{0, 1, 2}, commit: 2 * way})
		defer f.close()
		f.apart(way)
		rounds(2)
		f.net.Oracle.Begin(f.now())
		active := f.speaker()
		for i := range 6 {
			f.awaitSlot(2+i%4, 0)
			f.members[i%2].resign()
			f.appoint(f.members[(i+1)%2], 2*way)
			rounds(1)
		}
		if f.speaker() != active {
			t.Errorf("%s speaks, want %s", f.speaker().Name(), active.Name())
		}
		f.clean(6*12, 0)
	})
}

// All replicas are so far from the leader that the first block of a round comes later than
// LateAfter: that is not the replica's doing, and the other one would be no sooner.
func TestReplicasFarAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, fleetConfig{relays: 2, mode: director.Votes, load: 4, dials: [][]int{{1}, {1}}, finalizer: []int{0, 1}})
		defer f.close()
		f.apart(220 * time.Millisecond)
		rounds(2)
		f.net.Oracle.Begin(f.now())
		rounds(4)
		f.clean(3*12, 0)
	})
}
