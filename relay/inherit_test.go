package relay_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/director"
)

// A relay that has not heard the leader for some seconds takes over amid our round. The
// upstreams say that they have our last block, which it has from the replica, before
// another relay gives it what that builds on: the chain hangs together all the same.
func TestTakeoverWithAGapBelowOurBlocks(t *testing.T) {
	t.Parallel()
	for _, into := range some([]time.Duration{1300 * time.Millisecond, 1600 * time.Millisecond, 1780 * time.Millisecond}) {
		for _, gap := range []time.Duration{230 * time.Millisecond, 400 * time.Millisecond} {
			t.Run("after "+into.String()+", "+gap.String()+" without a leader", func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFleet(t, fleetConfig{
						relays: 3, mode: director.Votes, load: 1, dials: [][]int{{0, 1}, {1, 2}}, finalizer: []int{0, 1, 2},
					})
					defer f.close()
					rounds(2)
					f.net.Oracle.Begin(f.now())
					f.awaitSlot(0, 3700*time.Millisecond)
					f.mem.CutBoth("r1", "r2")
					f.awaitSlot(0, 500*time.Millisecond)
					time.Sleep(into) // fake time
					at := time.Now()
					f.members[0].kill()
					f.appoint(f.members[1], gap)
					time.Sleep(2 * time.Second) // fake time
					up, _ := f.net.Upstream(0).View()
					for _, r := range f.replicas {
						if v, _ := r.Node().View(); v.Head.Num()+1 < up.Head.Num() {
							t.Errorf("%s is at %d, the network at %d", r.Name(), v.Head.Num(), up.Head.Num())
						}
					}
					rounds(3)
					if got := f.net.Report(); got.Missed > 1 || got.Double+got.Unlinked > 0 {
						f.dump(at.Add(-time.Second), 60)
						t.Errorf("report=%+v", brief(got))
					}
				})
			})
		}
	}
}
