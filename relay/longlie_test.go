package relay_test

import (
	"slices"
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

// An upstream goes on with a lie that was set aside, for longer than the ring is. The
// replica has the chain of the other one, which stays in the ring. Where there is no other
// one the chain and the lie's first block fall out of it: that was a nil pointer.
func TestLieLongerThanTheRing(t *testing.T) {
	for _, alone := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c := newTrial(t, func(cfg *relay.Config) { cfg.RingBlocks = 64 })
			defer c.close()
			if alone {
				c.up.close()
				settle()
			}
			a := c.replicas(c.base.id, "a")
			lie := c.lie(c.base, 1)
			hangUp(a)
			a = c.replicas(c.base.id, "a")
			lie = c.lie(lie, 100)
			expect(t, a, lie, false, "after it was set aside")
			if alone {
				return
			}
			chain := c.honest([]script{c.base}, 1, func(script) {})
			expect(t, a, chain[1], true, "the chain goes on")
		})
	}
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

// An upstream tells more blocks in one go than can be on trial. Replicas, which hang up on
// them, are back on the chain after a few connections, and the upstream is dropped. They
// were given the first of the lies whenever they came, until the chain had outgrown those.
func TestLongLieInOneGo(t *testing.T) {
	for _, lies := range []int{100, 300, 3000, 5000} {
		synctest.Test(t, func(t *testing.T) {
			c := newTrial(t)
			defer c.close()
			known := map[wire.ID]bool{c.base.id: true}
			r := c.replicas(c.base.id, "a", "b")
			head, hung, came := c.base, 0, 0
			look := func() { // as a nodeos does
				for i, p := range r {
					if slices.ContainsFunc(p.got(), func(id wire.ID) bool { return !known[id] }) {
						hung++
						hangUp([]*player{p})
						r[i] = c.dial(p.name, c.base.id, head.id)
					}
				}
			}
			c.lie(c.base, lies)
			look()
			if c.evil.gone() == nil {
				t.Errorf("the upstream that told %d lies is still connected", lies)
			}
			chain := []script{c.base}
			for range 60 {
				next := child(head.id, head.slot+1, "bpb", 1, 0)
				known[next.id] = true
				chain = c.honest(chain, 1, func(b script) { head = b })
				if r[0].has(head.id) && r[1].has(head.id) {
					came++
				}
				look()
			}
			if came < 50 {
				t.Errorf("after %d lies replicas had %d of 60 blocks in time, and hung up %d times", lies, came, hung)
			}
		})
	}
}

// A replica hangs up long after it was given a lie: there was much before it on its way. It
// is given the lie once more, and hangs up at once: then that is set aside.
func TestLieThatWasLongOnItsWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTrial(t)
		defer c.close()
		r := c.replicas(c.base.id, "a")
		lie := c.lie(c.base, 1)
		time.Sleep(3 * time.Second) // fake time
		hangUp(r)
		r = c.replicas(c.base.id, "a")
		expect(t, r, lie, true, "when it was not to blame")
		hangUp(r)
		r = c.replicas(c.base.id, "a")
		expect(t, r, lie, false, "after it was set aside")
	})
}
