package relay_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// slots has blocks made, one a slot, which tell brings to the relay, and returns them. All
// that are connected stay so.
func (c *trial) slots(chain []script, n int, tell func(script), alive ...*player) []script {
	for range n {
		last := chain[len(chain)-1]
		chain = append(chain, child(last.id, last.slot+1, "bpb", 0, 0))
		tell(chain[len(chain)-1])
		for _, p := range alive {
			p.send(&wire.Time{Xmt: time.Now().UnixNano()})
		}
		time.Sleep(wire.SlotInterval) // fake time
	}
	return chain
}

// goesOn checks that the chain that the first upstream tells gets to the replica while the
// other one is far behind, and that our block goes out on it.
func (c *trial) goesOn(chain []script, a *player) {
	c.t.Helper()
	chain = c.slots(chain, 10, func(b script) {
		c.up.write(b.frame)
		settle()
		expect(c.t, []*player{a}, b, true, "while another upstream is far behind")
	}, a, c.up, c.evil)
	last := chain[len(chain)-1]
	ours := child(last.id, last.slot+1, "bpa", 0, 0)
	a.write(ours.frame)
	settle()
	if !c.up.has(ours.id) {
		c.t.Errorf("our block did not go out: refused %v", c.refused(ours.id))
	}
}

// An upstream was away for longer than half of what the ring holds, and comes back before
// it is where the chain is: on what another one told meanwhile the chain goes on.
func TestUpstreamComesBackFarBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTrial(t, func(cfg *relay.Config) { cfg.RingBlocks = 64 })
		defer c.close()
		a := c.replicas(c.base.id, "a")[0]
		c.evilAt.Close()
		c.evil.close()
		chain := c.slots([]script{c.base}, 100, func(b script) { c.up.write(b.frame) }, a, c.up)
		var err error
		if c.evilAt, err = c.mem.Host("evil").Listen("evil:9876"); err != nil {
			t.Fatal(err)
		}
		c.base = chain[len(chain)-45]
		c.evil = c.acceptEvil()
		settle()
		c.goesOn(chain, a)
	})
}

// A relay has followed for longer than half of what the ring holds, and leads: what the
// leader told is as good for that, beside an upstream that is far behind.
func TestNewLeaderBesideAnUpstreamFarBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTrial(t, func(cfg *relay.Config) { cfg.RingBlocks = 64 })
		defer c.close()
		a := c.replicas(c.base.id, "a")[0]
		c.stopLead()
		<-c.led
		ln, err := c.mem.Host("r1").Listen("r1:8300")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		nc, err := c.mem.Host("relay").Dial(c.ctx, "r1:8300")
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- c.node.FollowLink(c.ctx, "r1", nc) }()
		taken, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		leader := c.meet("r1", taken)
		chain := c.slots([]script{c.base}, 100, func(b script) {
			leader.feed(67, append(append(append([]byte(nil), b.id[:]...), make([]byte, 32)...), 1<<4|1<<5)) // origin: the network
			leader.write(b.frame)
		}, a, leader)
		leader.close()
		<-ended

		c.lead()
		behind, tip := chain[len(chain)-45], chain[len(chain)-1]
		c.base = behind
		c.evil = c.acceptEvil()
		c.up = c.accept(tip.id, tip.id)
		settle()
		c.goesOn(chain, a)
	})
}
