package relay_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// The network stands still for a minute and more, and an upstream says that it is far ahead,
// but does not tell any of it. The ring, which is begun anew for that, is filled by the other
// one, and our block goes out on what the network has.
func TestClaimWhileTheNetworkStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTrial(t)
		defer c.close()
		a := c.replicas(c.base.id, "a")[0]
		chain := c.honest([]script{c.base}, 4, func(b script) { c.evil.write(b.frame) })
		last := chain[len(chain)-1]
		for range 140 {
			time.Sleep(wire.SlotInterval) // fake time
			for _, p := range []*player{c.up, c.evil, a} {
				p.send(&wire.Time{Xmt: time.Now().UnixNano()})
			}
		}
		served := len(c.up.requests())
		boast := greeting("evil", c.evil.id, c.base.id, genesis(last.id.Num()+3000))
		boast.Generation = 2
		c.evil.send(&boast)
		for range 20 {
			time.Sleep(100 * time.Millisecond) // fake time
			for _, q := range c.up.requests()[served:] {
				served++
				for _, b := range chain {
					if b.id.Num() >= q.Start && b.id.Num() <= q.End {
						c.up.write(b.frame)
					}
				}
			}
		}
		ours := child(last.id, wire.SlotAt(time.Now())+1, "bpa", 0, 0)
		a.write(ours.frame)
		time.Sleep(time.Second) // fake time
		if !c.up.has(ours.id) {
			s, _ := c.node.Status(t.Context())
			t.Errorf("our block did not go out: refused %v, the ring has %d blocks", c.refused(ours.id), s.RingLen)
		}
	})
}
