package relay_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/simnet"
)

// A replica that was cut off from its relay for so long that the ring does not reach back to
// what it has comes back. A nodeos takes no more than a chunk from a connection that has once
// ended for silence, and then says where it is: it is told to sync again each time.
func TestSyncAfterALongCut(t *testing.T) {
	t.Parallel()
	if raceEnabled {
		t.Skip("75 rounds, and nothing runs beside them that does not in other tests")
	}
	synctest.Test(t, func(t *testing.T) {
		silent := 0
		f := newFleet(t, fleetConfig{
			relays: 1, mode: director.Votes, load: 1, dials: [][]int{{0}, {0}, {0}}, ring: 100,
			events: func(e simnet.Event) {
				if e.Node == "nodeos-c" && e.Kind == simnet.Silent {
					silent++
				}
			},
		})
		defer f.close()
		rounds(1)
		late := f.replicas[2]
		f.mem.CutBoth(late.Name(), "r1")
		rounds(75)
		began := time.Now()
		f.mem.HealBoth(late.Name(), "r1")
		took, ok := caughtUp(f.net, late, time.Minute)
		if !ok || took > 10*time.Second {
			v, _ := late.Node().View()
			f.dump(began, 50)
			t.Fatalf("caught up=%v after %v at %d, want at once", ok, took, v.Head.Num())
		}
		if silent == 0 {
			t.Error("no connection ended for silence: the test proves nothing")
		}
	})
}
