package relay_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// An upstream comes first, and tells a block as high as it likes. After the ring was begun
// anew that height counts for nothing: its next lie, longer than the ring, does not push the
// chain of the other one out.
func TestLieAfterATallOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, director.Passive, func(cfg *relay.Config) {
			cfg.Upstream.Peers, cfg.RingBlocks = []string{"up:9876", "evil:9876"}, 64
		})
		ln, err := s.mem.Host("evil").Listen("evil:9876")
		if err != nil {
			t.Fatal(err)
		}
		c := &trial{stage: s, evilAt: ln, base: child(genesis(100), s.slot, "bpb", 0, 0)}
		defer c.close()
		c.evil = c.acceptEvil()
		c.evil.write(child(genesis(1<<31), s.slot, "bpb", 0, 0).frame)
		settle()
		c.up = c.accept(c.base.id, c.base.id)
		settle()
		chain := c.slots([]script{c.base}, 60, func(b script) { c.up.write(b.frame) }, c.up, c.evil)
		head := chain[len(chain)-1]
		if status, _ := c.node.Status(t.Context()); status.Tip.ID != head.id {
			t.Fatalf("the tip is %d, want %d", status.Tip.Num(), head.id.Num())
		}
		a := c.replicas(head.id, "a")
		lie := c.lie(head, 1)
		hangUp(a)
		a = c.replicas(head.id, "a")
		c.lie(lie, 100)
		chain = c.slots(chain, 3, func(b script) { c.up.write(b.frame) }, c.up, c.evil)
		time.Sleep(wire.SlotInterval) // fake time
		expect(t, a, chain[len(chain)-1], true, "the chain goes on")
	})
}
