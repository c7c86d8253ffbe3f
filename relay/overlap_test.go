package relay_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/director"
)

// A leader that is slow to end is connected to its successor meanwhile. Once it
// has ended its replicas are fed again, and their blocks go to the successor.
func TestLeadershipsOverlap(t *testing.T) {
	t.Parallel()
	for _, mode := range []director.Mode{director.Votes, director.Passive} {
		t.Run(mode.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, fleetConfig{relays: 2, mode: mode, load: 3, dials: [][]int{{0}, {0}}, finalizer: []int{0, 1}})
				defer f.close()
				rounds(2)
				old, next := f.members[0], f.members[1]
				f.awaitSlot(4, 0)
				stale := old.led
				old.led = nil
				f.group.elect(nil)
				next.lead(f.group.elect(next), false)
				time.Sleep(time.Second)
				stale.stop()
				<-stale.ended
				rounds(1)
				f.net.Oracle.Begin(f.now())
				rounds(2)
				for _, r := range f.replicas {
					v, _ := r.Node().View()
					up, _ := f.net.Upstream(0).View()
					if got, want := v.Head.Num()+13, up.Head.Num(); got < want {
						t.Errorf("%s: head %s, want it near the network's %s", r.Name(), v.Head, up.Head)
					}
				}
				if got := f.net.Report(); got.Double != 0 || got.Unlinked != 0 || got.Missed != 0 || got.SlotsOurs < 12 {
					f.dump(old.began, 300)
					t.Errorf("report=%+v, want nothing missed", brief(got))
				}
			})
		})
	}
}

// A hand-over fails in our round while the group is about to agree on a block that
// has been sent, and the group never does. The same relay goes on and says again what
// it has sent: what builds on that need not wait for its only upstream, which is back
// a second later, to tell it.
func TestFailedHandOverLosesAProposal(t *testing.T) {
	t.Parallel()
	for _, again := range []string{"in the same term", "in the next one"} {
		t.Run(again, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, fleetConfig{relays: 1, mode: director.Votes, load: 3, dials: [][]int{{0}, {0}}, commit: 100 * time.Millisecond})
				defer f.close()
				f.mem.CutBoth("r1", "up-2")
				rounds(2)
				f.net.Oracle.Begin(f.now())
				for i := range 8 {
					f.awaitSlot(3+i%5, 0)
					m := f.members[0]
					for tries := 0; ; tries++ {
						if p, ok := f.group.proposed(); ok && p.To.Height() == p.From.Height()+1 && p.To.Source == p.From.Source {
							break
						}
						if tries == 700 {
							f.dump(m.began, 400)
							t.Fatal("no block of ours is being agreed on")
						}
						time.Sleep(5 * time.Millisecond) // fake time
					}
					_, term := f.group.current()
					f.group.lose()
					m.resign()
					time.Sleep(100 * time.Millisecond) // fake time
					if again == "in the next one" {
						term = f.group.elect(m)
					}
					f.mem.CutBoth("r1", "up-1")
					m.lead(term, false)
					time.Sleep(1200 * time.Millisecond) // fake time
					f.mem.HealAll()
					f.mem.CutBoth("r1", "up-2")
					rounds(1)
				}
				if got := f.net.Report(); got.Double != 0 || got.Unlinked != 0 || got.Missed > 2 || got.SlotsOurs < 8*12 {
					f.dump(f.members[0].began, 400)
					t.Errorf("report=%+v, want at most 2 missed", brief(got))
				}
			})
		})
	}
}
