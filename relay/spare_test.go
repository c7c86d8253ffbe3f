package relay_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/director"
)

// Nobody leads while our predecessor's last two blocks are made, and our round begins: the active replica has
// begun it on an old block, or has died together with the leader. The votes for what was missed are lost, those from
// before count for a standby only until it has got that, and nobody casts any before there is a block of ours. One
// is woken in time: nothing is lost, where it was the whole round.
func TestGapBeforeOurRound(t *testing.T) {
	t.Parallel()
	for _, tc := range some([]struct {
		dead     bool          // the active replica dies with the leader
		gap, end time.Duration // how long nobody leads, and how long before the time of our first slot that ends
	}{
		{false, 1000, 450},
		{false, 1200, 450},
		{false, 1200, 300},
		{false, 1500, 300},
		{false, 1500, 100},
		{true, 900, 600},
		{true, 1200, 300},
		{true, 1500, 100},
		{true, 2000, 600},
	}) {
		t.Run(fmt.Sprintf("dead=%v, %d to %d ms before", tc.dead, tc.gap+tc.end, tc.end), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, fleetConfig{relays: 2, mode: director.Votes, load: 4, dials: [][]int{{0, 1}, {1, 0}, {0, 1}}})
				defer f.close()
				rounds(2)
				f.net.Oracle.Begin(f.now())
				began := time.Now()
				for i := range 2 {
					old, next := f.members[i%2], f.members[(i+1)%2]
					f.awaitSlot(0, (tc.gap+tc.end)*time.Millisecond)
					victim := f.speaker()
					old.kill()
					if tc.dead {
						victim.Kill()
					}
					f.appoint(next, tc.gap*time.Millisecond)
					time.Sleep(8 * time.Second) // fake time
					old.start()
					if tc.dead {
						f.startReplica(victim)
					}
					rounds(1)
				}
				if got := f.net.Report(); got.SlotsOurs < 24 || got.Missed != 0 || got.Double != 0 || got.Unlinked != 0 {
					f.dump(began, 150)
					t.Errorf("report=%+v, want nothing missed", brief(got))
				}
			})
		})
	}
}

// The leader is killed before our round, another one leads soon, and the active replica is at work: no other one is
// woken beside it, though the votes for the last block before ours are lost. It would sign a branch of its own, and
// be of no use when the active one dies in that round.
func TestNoSpareBesideTheActiveReplica(t *testing.T) {
	t.Parallel()
	for _, before := range []time.Duration{1100, 1000, 900} {
		t.Run(fmt.Sprintf("%d ms before", before), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, fleetConfig{relays: 2, mode: director.Votes, load: 4, dials: [][]int{{0, 1}, {1, 0}}})
				defer f.close()
				rounds(2)
				f.net.Oracle.Begin(f.now())
				first := f.awaitSlot(0, before*time.Millisecond)
				f.members[0].kill()
				f.appoint(f.members[1], 200*time.Millisecond)
				time.Sleep(time.Until((first + 3).Time().Add(300 * time.Millisecond))) // fake time
				f.speaker().Kill()
				rounds(1)
				if got := f.net.Report(); got.SignedExtra != 0 {
					t.Errorf("%d blocks signed by a standby, want none", got.SignedExtra)
				}
				f.clean(12, 1)
			})
		})
	}
}

// Each replica is connected to a relay of its own. The leader's host dies with relay and active replica, and of those
// that are left the next in line is not at the new leader: the one there is woken.
func TestGapBeforeOurRoundWithAReplicaAtEachRelay(t *testing.T) {
	t.Parallel()
	for _, tc := range some([]struct{ gap, end time.Duration }{{900, 600}, {1200, 300}, {1500, 600}, {1500, 100}}) {
		t.Run(fmt.Sprintf("%d to %d ms before", tc.gap+tc.end, tc.end), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, fleetConfig{relays: 3, mode: director.Votes, load: 4, dials: [][]int{{0}, {1}, {2}}, finalizer: []int{1, 2}})
				defer f.close()
				rounds(2)
				f.net.Oracle.Begin(f.now())
				f.awaitSlot(0, (tc.gap+tc.end)*time.Millisecond)
				if s := f.speaker(); s != f.replicas[0] {
					t.Fatalf("%s speaks, want the one at the leader", s.Name())
				}
				f.members[0].kill()
				f.replicas[0].Kill()
				f.appoint(f.members[2], tc.gap*time.Millisecond)
				rounds(1)
				f.clean(12, 1)
			})
		})
	}
}

// Nobody leads while our predecessor's last two blocks are made, and then one does that has no standby: those there
// are connected to other relays. One of these is woken there, or the whole round is lost.
func TestGapBeforeOurRoundWithNoStandbyAtTheLeader(t *testing.T) {
	t.Parallel()
	for _, tc := range some([]struct {
		name  string
		dials [][]int
		dead  bool // the active replica dies with the leader
		end   time.Duration
	}{
		{"no replica there", [][]int{{0, 1}, {1, 0}}, false, 300},
		{"no replica there, later", [][]int{{0, 1}, {1, 0}}, false, 100},
		{"the active one there", [][]int{{0, 2}, {1}}, false, 300},
		{"the active one dead", [][]int{{0}, {1}}, true, 300},
		{"the active one dead, and soon a leader", [][]int{{0}, {1}}, true, 600},
	}) {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, fleetConfig{relays: 3, mode: director.Votes, load: 4, dials: tc.dials, finalizer: []int{1, 2}})
				defer f.close()
				rounds(2)
				f.net.Oracle.Begin(f.now())
				f.awaitSlot(0, (1200+tc.end)*time.Millisecond)
				if s := f.speaker(); s != f.replicas[0] {
					t.Fatalf("%s speaks, want the one at the leader", s.Name())
				}
				f.fall(f.members[0])
				if tc.dead {
					f.replicas[0].Kill()
				}
				f.appoint(f.members[2], 1200*time.Millisecond)
				rounds(1)
				f.clean(12, 1)
			})
		})
	}
}

// The leader's host dies with the active replica, and the upstreams are so far from the next leader that it hears what
// it missed later than it would choose a standby. That one would begin our round on what it has, if it were woken before.
func TestGapBeforeOurRoundWithUpstreamsFarAway(t *testing.T) {
	t.Parallel()
	for _, tc := range some([]struct{ gap, end time.Duration }{{950, 900}, {950, 850}, {1000, 820}}) {
		t.Run(fmt.Sprintf("%d to %d ms before", tc.gap+tc.end, tc.end), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, fleetConfig{relays: 2, mode: director.Votes, load: 4, dials: [][]int{{0}, {1}}, finalizer: []int{1}})
				defer f.close()
				for _, up := range []string{"up-1", "up-2"} {
					f.mem.SetDelay("r2", up, 125*time.Millisecond)
					f.mem.SetDelay(up, "r2", 125*time.Millisecond)
				}
				rounds(2)
				f.net.Oracle.Begin(f.now())
				f.awaitSlot(0, (tc.gap+tc.end)*time.Millisecond)
				f.fall(f.members[0])
				f.replicas[0].Kill()
				f.appoint(f.members[1], tc.gap*time.Millisecond)
				rounds(1)
				f.clean(12, 1)
			})
		})
	}
}

// fall kills a relay so that the others hear nothing of what it does as its replicas go.
func (f *fleet) fall(m *member) {
	for _, other := range f.members {
		if other != m {
			f.mem.CutBoth(m.name, other.name)
		}
	}
	f.group.destine(lost)
	m.kill()
}

// All connections to upstreams end, and there are new ones only when our predecessor has made its last two blocks: the
// votes for these are lost as they are where nobody leads meanwhile.
func TestUpstreamsAwayBeforeOurRound(t *testing.T) {
	t.Parallel()
	for _, tc := range some([]struct{ gap, end time.Duration }{{1000, 450}, {1200, 300}, {1500, 300}, {1500, 100}}) {
		t.Run(fmt.Sprintf("%d to %d ms before", tc.gap+tc.end, tc.end), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := oneRelay(t, director.Votes)
				defer f.close()
				f.awaitSlot(0, (tc.gap+tc.end)*time.Millisecond)
				f.members[0].hangUp(tc.gap * time.Millisecond)
				rounds(1)
				f.clean(12, 0)
			})
		})
	}
}

// The same at a leader that has no standby, and the links to the other relays stand meanwhile: one there is woken, but
// not where the active replica has heard of the chain before it begins.
func TestUpstreamsAwayBeforeOurRoundWithNoStandbyAtTheLeader(t *testing.T) {
	t.Parallel()
	for _, tc := range some([]struct {
		dials    [][]int
		gap, end time.Duration
		woken    bool
	}{
		{[][]int{{0}, {1}}, 1200, 300, true},
		{[][]int{{0}, {1}}, 1500, 300, true},
		{[][]int{{0}, {1}}, 1500, 100, true},
		{[][]int{{1}, {1}}, 1200, 300, true},
		{[][]int{{0}, {1}}, 1200, 800, false},
	}) {
		t.Run(fmt.Sprintf("%v, %d to %d ms before", tc.dials, tc.gap+tc.end, tc.end), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, fleetConfig{relays: 2, mode: director.Votes, load: 4, dials: tc.dials, finalizer: []int{0, 1}})
				defer f.close()
				rounds(2)
				f.net.Oracle.Begin(f.now())
				f.awaitSlot(0, (tc.gap+tc.end)*time.Millisecond)
				f.members[0].hangUp(tc.gap * time.Millisecond)
				rounds(1)
				f.clean(12, 0)
				if got := f.net.Report(); got.SignedExtra != 0 && !tc.woken {
					t.Errorf("%d blocks signed by a standby, want none", got.SignedExtra)
				}
			})
		})
	}
}
