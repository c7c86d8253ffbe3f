package relay_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/director"
)

// As many replicas as may connect do: an upstream that comes after them is taken.
func TestReplicasLeaveRoomForUpstreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, director.Passive, nil)
		defer s.close()
		base := child(genesis(100), s.slot, "bpb", 0, 0)
		up := s.accept(base.id, base.id)
		settle()
		up.close()
		for i := range 256 {
			nc, err := s.mem.Host(fmt.Sprintf("host-%d", i/64)).Dial(s.ctx, "relay:9876")
			if err != nil {
				t.Fatal(err)
			}
			s.play(fmt.Sprintf("nodeos-%d", i), nc, base.id, base.id)
			settle()
		}
		for i := 0; i < 10 && s.count(relay.UpstreamUp) < 2; i++ { // the first ones were dialled while nobody answered
			s.accept(base.id, base.id)
			settle()
		}
		if n := s.count(relay.UpstreamUp); n != 2 {
			t.Errorf("an upstream was taken %d times of 2", n)
		}
		if n := s.count(relay.ReplicaUp); n < 200 {
			t.Errorf("%d replicas were taken, want 200 at least", n)
		}
	})
}
