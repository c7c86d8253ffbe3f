package relay_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/simnet"
)

// One upstream alone tells of the network. A replica at a follower that hangs up is the judge of that, for the leader
// as well; one whose host is gone, so that the follower ends the connection, has said nothing of any block.
func TestReplicaThatIsGoneAtAFollower(t *testing.T) {
	for name, tc := range map[string]struct {
		ends  func(f *fleet, r *simnet.Replica)
		after time.Duration // the connection has ended by then
		judge bool
	}{
		"it hangs up":      {func(_ *fleet, r *simnet.Replica) { r.Kill() }, time.Second, true},
		"its host is gone": {func(f *fleet, r *simnet.Replica) { f.mem.Isolate(r.Name()) }, 40 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, fleetConfig{relays: 2, mode: director.Passive, load: 3, dials: [][]int{{1}}, noFinalizer: true})
				defer f.close()
				rounds(1)
				f.net.Upstream(1).Lag(4 * time.Second)
				f.awaitSlot(0, 15*time.Second) // nor is it our round when the connection ends, half a minute later
				tc.ends(f, f.replicas[0])
				time.Sleep(tc.after) // fake time
				if f.count(relay.ReplicaDown) == 0 {
					t.Fatal("the replica is still there")
				}
				if got := f.count(relay.SetAside) > 0; got != tc.judge {
					t.Errorf("blocks were set aside: %v, want %v", got, tc.judge)
				}
			})
		})
	}
}
