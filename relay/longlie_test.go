package relay_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// honest has the first upstream tell n blocks on the last of the chain, one a slot, and serve
// what it is asked for. After each of them then is called.
func (c *trial) honest(chain []script, n int, then func(script)) []script {
	served := len(c.up.requests())
	for range n {
		last := chain[len(chain)-1]
		chain = append(chain, child(last.id, last.slot+1, "bpb", 1, 0))
		for _, q := range c.up.requests()[served:] {
			served++
			for _, b := range chain {
				if b.id.Num() >= q.Start && b.id.Num() <= q.End {
					c.up.write(b.frame)
				}
			}
		}
		last = chain[len(chain)-1]
		c.up.write(last.frame)
		for _, p := range []*player{c.up, c.evil} {
			p.send(&wire.Time{Xmt: time.Now().UnixNano()})
		}
		time.Sleep(wire.SlotInterval) // fake time
		then(last)
	}
	return chain
}

// lie has the other upstream tell n blocks on top of prev that no nodeos takes, and returns
// the last.
func (c *trial) lie(prev script, n int) script {
	for range n {
		prev = child(prev.id, prev.slot+1, "bpb", 9, 0)
		c.evil.write(prev.frame)
	}
	settle()
	return prev
}

// An upstream goes on with a lie that was set aside, for longer than the ring is: the chain
// and the lie's first block fall out of it. That was a nil pointer. After a while the
// replica has the chain of the other one.
func TestLieLongerThanTheRing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTrial(t, func(cfg *relay.Config) { cfg.RingBlocks = 64 })
		defer c.close()
		a := c.replicas(c.base.id, "a")
		lie := c.lie(c.base, 1)
		hangUp(a)
		a = c.replicas(c.base.id, "a")
		c.lie(lie, 100)
		chain := c.honest([]script{c.base}, 60, func(script) {})
		expect(t, a, chain[60], true, "half a minute later")
	})
}

// An upstream goes on with a lie that was set aside. Each block of it took as long as the
// square of those before: five thousand held the hub up for more than ten minutes. The time
// is real: it is less than a second here.
func TestLongLieTakesNoTime(t *testing.T) {
	began := time.Now()
	synctest.Test(t, func(t *testing.T) {
		c := newTrial(t)
		defer c.close()
		hung := c.replicas(c.base.id, "a")
		lie := c.lie(c.base, 1)
		hangUp(hung)
		r := c.replicas(c.base.id, "a", "b")
		lie = c.lie(lie, 2000)
		expect(t, r, lie, false, "after it was set aside")
		chain := c.honest([]script{c.base}, 1, func(script) {})
		expect(t, r, chain[1], true, "the chain goes on")
	})
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("2000 blocks of a lie took %s", took)
	}
}
