package relay_test

import (
	"testing"
	"testing/synctest"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// All upstreams were away for longer than blocks may come without linking. The first block
// one tells when it is back comes before what it was asked for: what there was stays, and the
// replica is given what it lacks, and not told to sync.
func TestGapAfterAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTrial(t)
		defer c.close()
		a := c.replicas(c.base.id, "a")[0]
		chain := c.slots([]script{c.base}, 40, func(b script) { c.up.write(b.frame) }, a, c.up, c.evil)
		c.stage.up.Close()
		c.evilAt.Close()
		c.up.close()
		c.evil.close()
		chain = c.slots(chain, 50, func(script) {}, a)
		var err error
		if c.stage.up, err = c.mem.Host("up").Listen("up:9876"); err != nil {
			t.Fatal(err)
		}
		c.up = c.accept(chain[len(chain)-4].id, chain[len(chain)-1].id)
		settle()
		served := 0
		chain = c.slots(chain, 3, func(b script) {
			c.up.write(b.frame)
			settle()
			for _, q := range c.up.requests()[served:] {
				served++
				for _, b := range chain {
					if b.id.Num() >= q.Start && b.id.Num() <= q.End {
						c.up.write(b.frame)
					}
				}
			}
		}, a, c.up)
		expect(t, []*player{a}, chain[len(chain)-1], true, "after the outage")
		a.mu.Lock()
		defer a.mu.Unlock()
		for _, n := range a.told {
			if n.KnownBlocks.Mode == wire.ModeLastIrrCatchUp {
				t.Errorf("the replica was told to sync to %d", n.KnownTrx.Pending)
			}
		}
	})
}
