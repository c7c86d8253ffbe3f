package relay_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/director"
)

// The last blocks of the producer before us come when our replica has begun its first one
// on what was there: the network takes ours in their place, so they are no reason to refuse
// it. Wherever the replica is, and whenever they come.
func TestPredecessorIsLate(t *testing.T) {
	t.Parallel()
	for _, tc := range some([]struct {
		name  string
		mode  director.Mode
		dials [][]int
		link  time.Duration
	}{
		{"three replicas", director.Votes, [][]int{{0}, {0}, {0}}, 0},
		{"a lone one", director.Votes, [][]int{{0}}, 0},
		{"all sign", director.Passive, [][]int{{0}, {0}, {0}}, 0},
		{"a lone one far away", director.Votes, [][]int{{1}}, 120 * time.Millisecond},
	}) {
		lags := []time.Duration{150, 350, 450, 600, 900, 1300}
		for _, lag := range lags[:2*repeat(3)] {
			t.Run(fmt.Sprint(tc.name, " ", lag), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFleet(t, fleetConfig{relays: 2, mode: tc.mode, load: 3, dials: tc.dials, finalizer: []int{0}})
					defer f.close()
					if tc.link != 0 {
						f.mem.SetDelay("r1", "r2", tc.link)
						f.mem.SetDelay("r2", "r1", tc.link)
					}
					rounds(2) // no nodeos begins to produce on a chain that is late
					for u := range f.net.Addrs() {
						f.net.Upstream(u).Lag(lag * time.Millisecond)
					}
					rounds(1)
					f.net.Oracle.Begin(f.now())
					rounds(3)
					f.clean(24, 0)
				})
			})
		}
	}
}

// The line to the relay where our replica is holds the last block of the producer before us
// up until the replica has begun: the leader had it in time, and does not know.
func TestLineHoldsThePredecessorUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, fleetConfig{relays: 2, mode: director.Votes, load: 3, dials: [][]int{{1}}, finalizer: []int{0}})
		defer f.close()
		rounds(2)
		f.net.Oracle.Begin(f.now())
		for i := range 6 {
			f.awaitSlot(0, time.Second)
			f.mem.CutBoth("r1", "r2")
			time.Sleep(time.Duration(350+i*100) * time.Millisecond) // fake time
			f.mem.HealAll()
			time.Sleep(10 * time.Second) // fake time
		}
		rounds(1)
		f.clean(6*12, 0)
	})
}

// The same where the line holds up nothing on the way back: half of what the answer took is
// not when the block was there.
func TestLineHoldsThePredecessorUpOneWay(t *testing.T) {
	t.Parallel()
	for _, at := range []time.Duration{480, 420} {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, fleetConfig{relays: 2, mode: director.Votes, load: 3, dials: [][]int{{1}}, finalizer: []int{0}})
				defer f.close()
				rounds(1)
				time.Sleep(140 * time.Millisecond) // fake time: so much after a slot begins the link asks
				f.members[1].kill()
				f.members[1].start()
				rounds(2)
				f.net.Oracle.Begin(f.now())
				f.awaitSlot(0, 1300*time.Millisecond)
				f.mem.Cut("r1", "r2")
				time.Sleep((1300 - at) * time.Millisecond) // fake time
				f.mem.HealAll()
				rounds(1)
				f.clean(12, 0)
			})
		})
	}
}

// The line to the relay of the active replica holds up the last two blocks of the producer before
// us, of which the second certifies the first: the network does not come back to what the replica
// builds on, so another one takes over.
func TestLineHoldsUpWhatIsCertified(t *testing.T) {
	t.Parallel()
	for _, mode := range []director.Mode{director.Votes, director.Passive} {
		t.Run(mode.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, fleetConfig{relays: 3, mode: mode, load: 3, dials: [][]int{{1}, {2}}, finalizer: []int{0}})
				defer f.close()
				rounds(2)
				f.net.Oracle.Begin(f.now())
				f.awaitSlot(0, 1450*time.Millisecond)
				at := "r2"
				if f.speaker() == f.replicas[1] {
					at = "r3"
				}
				f.mem.CutBoth("r1", at)
				time.Sleep(time.Second) // fake time
				f.mem.HealAll()
				rounds(1)
				f.clean(12, 2)
			})
		})
	}
}

// What the predecessor's last block tells in time is agreed on ahead of our round, wherever
// our replica is: its first block need not wait for the group.
func TestPredecessorInTimeIsReserved(t *testing.T) {
	t.Parallel()
	for _, at := range []int{0, 1} {
		t.Run(fmt.Sprint("at r", at+1), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, fleetConfig{relays: 2, mode: director.Votes, load: 3, dials: [][]int{{at}, {at}}, finalizer: []int{0}, commit: 100 * time.Millisecond})
				defer f.close()
				rounds(2)
				f.net.Oracle.Begin(f.now())
				rounds(3)
				f.clean(24, 0)
				if got := f.net.Report(); got.LeadMinMS < 20 {
					t.Errorf("a block came %v ms ahead of its time, want 20 at least: %+v", got.LeadMinMS, brief(got))
				}
			})
		})
	}
}

// The leader is killed before our round, and its successor gets the last block of the producer before us in time, but
// hears of the active replica, which is far away, when that has begun without the block: it is not taken to have it.
func TestPredecessorIsLateForAReplicaNotHeardOfYet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, fleetConfig{relays: 3, mode: director.Votes, load: 4, dials: [][]int{{1}, {2}}, finalizer: []int{1, 2}})
		defer f.close()
		f.mem.SetDelay("r2", "r3", 100*time.Millisecond)
		f.mem.SetDelay("r3", "r2", 100*time.Millisecond)
		rounds(2)
		f.net.Oracle.Begin(f.now())
		f.awaitSlot(0, time.Second)
		f.members[0].kill()
		f.appoint(f.members[2], 300*time.Millisecond)
		rounds(1)
		f.clean(12, 0)
	})
}
