package relay_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/simnet"
)

// The relay over which a far replica syncs falls silent amid that. Another one feeds it: what
// that tells it at first a nodeos that syncs does not heed.
func TestSyncGoesOnOverAnotherRelay(t *testing.T) {
	t.Parallel()
	for _, gone := range []string{"r2", "r3"} {
		for _, after := range some([]time.Duration{4300 * time.Millisecond, 5800 * time.Millisecond, 7300 * time.Millisecond}) {
			t.Run(gone+" after "+after.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFleet(t, fleetConfig{
						relays: 3, mode: director.Votes, load: 1, history: 5200, maxPerHost: 4, dials: [][]int{{0}, {0}},
					})
					defer f.close()
					late, err := f.net.Replica(simnet.ReplicaConfig{Name: "nodeos-z", Relays: f.addrs([]int{1, 2})})
					if err != nil {
						t.Fatal(err)
					}
					rounds(2)
					for _, r := range []string{"r2", "r3"} { // so that the sync takes a while
						f.mem.SetDelay(r, "nodeos-z", time.Second)
						f.mem.SetDelay("nodeos-z", r, time.Second)
					}
					if err := late.StartBehind(200); err != nil {
						t.Fatal(err)
					}
					time.Sleep(after) // fake time
					during := time.Now()
					f.mem.Isolate(gone)
					if _, ok := caughtUp(f.net, late, time.Minute); !ok {
						v, _ := late.Node().View()
						f.dump(during, 60)
						t.Errorf("a minute later the replica is at %d", v.Head.Num())
					}
					f.mem.HealAll()
				})
			})
		}
	}
}
