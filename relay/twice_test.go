package relay_test

import (
	"testing"
	"testing/synctest"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/simnet"
)

// A replica that has one relay in its p2p-peer-address by two names, of which each leads to
// the relay, stays connected over one of them.
func TestOneRelayByTwoNames(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, fleetConfig{
			relays: 1, mode: director.Votes, load: 3, dials: [][]int{{0}, {0}},
			replica: func(i int, c *simnet.ReplicaConfig) { c.Relays = append(c.Relays, c.Relays...) },
		})
		defer f.close()
		rounds(2)
		f.net.Oracle.Begin(f.now())
		before := f.count(relay.ReplicaDown)
		rounds(4)
		if got := f.net.Report(); got.Missed+got.Late+got.SignedExtra > 0 || f.count(relay.ReplicaDown) > before {
			f.dump(f.members[0].began, 40)
			t.Errorf("replicas lost %d times, report=%+v", f.count(relay.ReplicaDown)-before, brief(got))
		}
	})
}
