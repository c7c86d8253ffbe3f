package relay_test

import (
	"testing"
	"testing/synctest"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/director"
)

// Where all replicas sign, what the others of them signed in rounds past takes up all the
// room that there is for blocks that are not public. A block of the network that comes
// before its parent finds room all the same, and keeps it until that comes.
func TestOldBlocksOfOursGiveWayToTheNetworks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, director.Passive, func(c *relay.Config) { c.RingBlocks = 256 })
		defer s.close()
		last := child(genesis(100), s.slot, "bpb", 0, 0)
		up := s.accept(last.id, last.id)
		up.write(last.frame)
		a, b := s.dial("a", last.id, last.id), s.dial("b", last.id, last.id)
		settle()
		for range 8 { // rounds of ours, and of another producer
			branch := last.id
			for range 12 {
				last = child(last.id, last.slot+1, "bpa", 0, 0)
				a.write(last.frame)
				settle()
				other := child(branch, last.slot, "bpa", 1, 0)
				b.write(other.frame)
				branch = other.id
			}
			if !up.has(last.id) {
				t.Fatalf("our round did not go out: refused %v", s.refused(last.id))
			}
			last = s.grow(up, last, 12, 0)
		}
		one := child(last.id, last.slot+1, "bpb", 0, 0)
		two := child(one.id, last.slot+2, "bpb", 0, 0)
		up.write(two.frame)
		settle()
		up.write(one.frame)
		settle()
		if status, _ := s.node.Status(t.Context()); status.Tip.ID != two.id {
			t.Errorf("the tip is %d, want %d", status.Tip.ID.Num(), two.id.Num())
		}
	})
}
