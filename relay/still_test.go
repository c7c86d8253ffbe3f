package relay_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// The producers before us miss their rounds, and while the network stands still one
// upstream tells of another chain, far ahead or close by. The other upstream has what
// we and our replicas have: our block on it goes out.
func TestLieWhileTheNetworkStandsStill(t *testing.T) {
	for name, lie := range map[string]func(evil *player, head script){
		"a head far ahead": func(evil *player, head script) {
			far := genesis(1 << 31)
			h := greeting("evil", evil.id, head.id, far)
			h.Generation = 2
			evil.send(&h)
		},
		"a block close by": func(evil *player, head script) {
			evil.write(child(genesis(head.id.Num()+3), head.slot+4, "bpb", 0, 0).frame)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newTrial(t)
				defer c.close()
				prev := c.grow(c.up, c.base, 10, 0)
				a := c.dial("nodeos-a", c.base.id, prev.id)
				settle()
				for i := range 40 {
					if i%4 == 3 {
						lie(c.evil, prev)
					}
					for _, p := range []*player{c.up, a} {
						p.send(&wire.Time{Xmt: time.Now().UnixNano()})
					}
					time.Sleep(500 * time.Millisecond) // fake time
				}
				b := child(prev.id, prev.slot+40, "bpa", 0, 0)
				a.write(b.frame)
				settle()
				if !c.up.has(b.id) {
					status, _ := c.node.Status(t.Context())
					t.Errorf("our block did not go out, refused %v; the ring is at %d with %d blocks", c.refused(b.id), status.Tip.ID.Num(), status.RingLen)
				}
			})
		})
	}
}

// While a block of ours waits for the group, an upstream tells more blocks that link to
// nothing than the ring keeps of those: ours is still there, and goes.
func TestStraysDoNotPushOutOurs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTrial(t)
		defer c.close()
		a := c.replicas(c.base.id, "nodeos-a")[0]
		release := c.group.hold()
		one := child(c.base.id, c.slot+1, "bpa", 0, 0)
		two := child(one.id, c.slot+2, "bpa", 0, 0)
		a.write(one.frame)
		settle()
		a.write(two.frame)
		settle()
		for i := range 1500 {
			c.evil.write(child(genesis(uint32(200+i)), c.slot, "bpb", 0, 0).frame)
		}
		settle()
		release()
		settle()
		if !c.up.has(one.id) || !c.up.has(two.id) {
			t.Errorf("the upstream has our blocks: %v, %v; want both", c.up.has(one.id), c.up.has(two.id))
		}
	})
}

// The active replica hangs in the middle of our round, and an upstream makes up a block of
// a later slot on its last one. That is no excuse: the other replica goes on at once.
func TestLieIsNoExcuse(t *testing.T) {
	for _, producer := range []string{"bpa", "bpb"} { // and the round is still ours
		synctest.Test(t, func(t *testing.T) { lieIsNoExcuse(t, producer) })
	}
}

func lieIsNoExcuse(t *testing.T, producer string) {
	c := newTrial(t)
	defer c.close()
	r := c.replicas(c.base.id, "a", "b")
	one := child(c.base.id, c.slot+5, "bpa", 0, 0)
	r[0].write(one.frame)
	r[1].write(one.frame)
	settle()
	time.Sleep(time.Until(one.slot.Time())) // fake time
	if !c.up.has(one.id) {
		t.Fatal("the first block did not go out")
	}
	status, _ := c.node.Status(t.Context())
	other := r[0]
	if status.Active == other.id {
		other = r[1]
	}
	c.evil.write(child(one.id, one.slot+4, producer, 9, 0).frame)
	settle()
	two := child(one.id, one.slot+1, "bpa", 0, 0)
	other.write(two.frame)
	time.Sleep(time.Until(two.slot.Time().Add(500 * time.Millisecond))) // fake time
	if !c.up.has(two.id) {
		t.Errorf("half a second after its time the other replica's block is not out: refused %v", c.refused(two.id))
	}
}

// An upstream makes up blocks far above the chain, and no replica has hung up on them yet:
// the other one is not behind for it, and gets ours.
func TestLiesFarAheadDoNotHoldOursBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTrial(t)
		defer c.close()
		a := c.replicas(c.base.id, "a")[0]
		head := child(c.base.id, c.slot+1, "bpa", 0, 0)
		a.write(head.frame)
		settle()
		lie := head
		for range 40 {
			lie = child(lie.id, lie.slot+1, "bpb", 9, 0)
			c.evil.write(lie.frame)
		}
		settle()
		for range 3 {
			time.Sleep(time.Until(head.slot.Time())) // fake time
			head = child(head.id, head.slot+1, "bpa", 0, 0)
			a.write(head.frame)
		}
		settle()
		if !c.up.has(head.id) {
			t.Errorf("our block did not go out: refused %v", c.refused(head.id))
		}
	})
}
