package relay_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/simnet"
)

// speaker returns the replica whose blocks leave.
func (f *fleet) speaker() *simnet.Replica {
	for _, r := range f.replicas {
		if r.Name() == f.net.Oracle.Speaker() {
			return r
		}
	}
	return nil
}

// The active replica is stopped in the middle of our round, its connection
// stays: another one takes over, and when it goes on what it signs is harmless.
func TestActiveReplicaFreezes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := oneRelay(t, director.Votes)
		defer f.close()
		worst := 0
		for i := range 10 {
			f.awaitSlot(i%8, time.Duration(i*49)*time.Millisecond)
			before := f.net.Report().Missed
			frozen := f.speaker()
			frozen.Freeze()
			time.Sleep(time.Duration(1+i) * 700 * time.Millisecond)
			frozen.Thaw()
			rounds(1)
			worst = max(worst, f.net.Report().Missed-before)
			if next := f.speaker(); next == frozen && i < 1 {
				t.Errorf("%s still speaks after it was frozen", frozen.Name())
			}
		}
		got := f.net.Report()
		t.Logf("worst %d slots a freeze, %+v", worst, brief(got))
		if got.Double != 0 || got.Unlinked != 0 || worst > 3 {
			f.dump(f.members[0].began, 300)
			t.Fatalf("report=%+v, worst %d, want nothing double or unlinked and at most 3 slots lost a freeze", brief(got), worst)
		}
	})
}

// A replica that signs two children of one parent, whichever it is: one of them
// leaves, also when the leader changes in between.
func TestEquivocatingSource(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, fleetConfig{relays: 2, mode: director.Votes, load: 4, dials: [][]int{{0, 1}, {1, 0}, {0, 1}}})
		defer f.close()
		rounds(2)
		f.net.Oracle.Begin(f.now())
		for i := range 6 {
			f.awaitSlot(2, 0)
			for _, r := range f.replicas {
				r.Node().Equivocate(6)
			}
			time.Sleep(time.Duration(i) * 300 * time.Millisecond)
			dead := f.members[i%2]
			dead.kill()
			f.appoint(f.members[(i+1)%2], 300*time.Millisecond)
			time.Sleep(3 * time.Second)
			dead.start()
		}
		rounds(1)
		got := f.net.Report()
		t.Logf("%+v", brief(got))
		if got.Double != 0 || got.Unlinked != 0 || got.Emitted < 24 {
			f.dump(f.members[0].began, 300)
			t.Fatalf("report=%+v %+v, want nothing double or unlinked", brief(got), got.Doubles)
		}
	})
}

// Every member pauses for a while, as under SIGSTOP of its host's network: the
// group goes on around it.
func TestLeaderCutOff(t *testing.T) {
	t.Parallel()
	for _, tc := range some([]struct {
		name      string
		upstreams bool
		most      int
	}{{"from the group", false, 2}, {"from the group and the network", true, 2}}) {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, fleetConfig{relays: 3, mode: director.Votes, load: 4, dials: [][]int{{0, 1}, {1, 2}, {2, 0}}, finalizer: []int{0, 1, 2}})
				defer f.close()
				rounds(2)
				for i := range repeat(6) {
					f.net.Oracle.Begin(f.now())
					f.awaitSlot(1+i, 0)
					old, next := f.members[i%3], f.members[(i+1)%3]
					for _, m := range f.members {
						if m != old {
							f.mem.CutBoth(old.name, m.name)
						}
					}
					if tc.upstreams {
						f.mem.CutBoth(old.name, "up-1")
						f.mem.CutBoth(old.name, "up-2")
					}
					f.group.cut(old, true)
					stale := old.led
					old.led = nil
					f.group.elect(nil)
					time.Sleep(700 * time.Millisecond)
					next.lead(f.group.elect(next), false)
					time.Sleep(500 * time.Millisecond)
					stale.stop() // its lease has run out
					<-stale.ended
					time.Sleep(4 * time.Second)
					f.mem.HealAll()
					f.group.cut(old, false)
					rounds(1)
					if got := f.net.Report(); got.Double != 0 || got.Unlinked != 0 || got.Missed > tc.most {
						f.dump(f.members[0].began, 600)
						t.Fatalf("cut %d: report=%+v, want at most %d slots missed", i, brief(got), tc.most)
					}
				}
			})
		})
	}
}
