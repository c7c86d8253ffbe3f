package relay_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/director"
)

// A leader dies in the last slots of our round, and its successor takes over
// only when the network has long gone on without them: what the replica that
// holds the mark signed meanwhile is lost, and nothing after it. The successor's
// ring then ends on a branch of its own, as high as the network's or lower, and
// has to fetch the network's from where they part.
func TestLateTakeover(t *testing.T) {
	for _, gap := range some([]time.Duration{600 * time.Millisecond, 2 * time.Second, 7 * time.Second, 10 * time.Second}) {
		t.Run(gap.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, fleetConfig{relays: 3, mode: director.Votes, load: 4, dials: [][]int{{0, 1}, {1, 2}, {2, 0}}, finalizer: []int{0, 1, 2}, seed: 7})
				defer f.close()
				rounds(2)
				f.net.Oracle.Begin(f.now())
				for i := range 4 {
					f.awaitSlot(9+i%3, time.Duration(90+170*i)*time.Millisecond)
					dead, next := f.members[i%3], f.members[(i+1)%3]
					dead.kill()
					f.appoint(next, gap)
					time.Sleep(time.Second)
					dead.start()
				}
				rounds(2)
				got := f.net.Report()
				if most := 4 * 3; got.Double != 0 || got.Unlinked != 0 || got.Missed > most {
					t.Errorf("report=%+v, want nothing double or unlinked, at most %d missed", brief(got), most)
				}
				t.Logf("%+v", brief(got))
			})
		})
	}
}
