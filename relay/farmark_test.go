package relay_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/fsm"
	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// The upstream that answers first tells a block of the greatest height there is, in a slot
// of ours, to a leader whose ring is empty. No mark is moved there: it would never fall, and
// no block of ours would leave the group again.
func TestMarkIsNotMovedOutOfReach(t *testing.T) {
	for _, height := range []uint32{5000, 1<<32 - 3} {
		synctest.Test(t, func(t *testing.T) {
			s := newStage(t, director.Passive, func(c *relay.Config) { c.Upstream.Peers = []string{"evil:9876", "up:9876"} })
			defer s.close()
			s.stopLead()
			<-s.led
			ln, err := s.mem.Host("evil").Listen("evil:9876")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			base := child(genesis(100), s.slot, "bpb", 0, 0)
			r := s.dial("nodeos-a", base.id, base.id)
			settle()
			s.inherit(fsm.Mark{Last: fsm.BlockID(base.id), Slot: uint32(base.slot), Source: fsm.NodeID(r.id)})
			s.lead()
			nc, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			lie := child(genesis(height-1), s.slot, "bpa", 9, 0)
			evil := s.play("evil", nc, lie.id, lie.id)
			settle()
			evil.write(lie.frame)
			settle()
			up := s.accept(base.id, base.id)
			settle()
			for range 30 {
				up.write(base.frame)
				up.send(&wire.Time{Xmt: time.Now().UnixNano()})
				evil.send(&wire.Time{Xmt: time.Now().UnixNano()})
				time.Sleep(wire.SlotInterval) // fake time
			}
			st, _ := s.node.Status(t.Context())
			if got := st.State.Mark.Height(); got != base.id.Num() {
				t.Errorf("the mark is at height %d, want %d", got, base.id.Num())
			}
		})
	}
}
