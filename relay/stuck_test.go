package relay_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// follow has the first upstream tell the chain for a while, three producers in turn, the
// last of them ours. The other one stays connected, and is stuck at the head it came with.
func (c *trial) follow(last script, slots int) script {
	for range slots {
		time.Sleep(time.Until(last.slot.Time())) // fake time
		slot := last.slot + 1
		last = child(last.id, slot, []string{"bpb", "bpc", "bpa"}[slot/12%3], 0, 0)
		c.up.write(last.frame)
		c.evil.send(&wire.Time{Xmt: time.Now().UnixNano()})
	}
	settle()
	return last
}

// An upstream that is stuck bears witness to nothing, and what it does not tell is no
// less credible for it: the schedule is learned from the other one.
func TestStuckUpstreamAndTheSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTrial(t)
		defer c.close()
		c.replicas(c.base.id, "a")
		c.follow(c.base, 220)
		if s, _ := c.node.Status(t.Context()); s.NextRound.IsZero() && !s.InRound {
			t.Errorf("after six rounds of each producer it is not known when ours is next")
		}
	})
}

// Nor does one that claims to be far ahead, and tells nothing of it.
func TestBoastingUpstreamAndTheSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTrial(t)
		defer c.close()
		c.replicas(c.base.id, "a")
		boast := greeting("evil", c.evil.id, c.base.id, genesis(1<<31))
		boast.Generation = 2
		c.evil.send(&boast)
		c.follow(c.base, 220)
		if s, _ := c.node.Status(t.Context()); s.NextRound.IsZero() && !s.InRound {
			t.Errorf("after six rounds of each producer it is not known when ours is next")
		}
	})
}

// Nor does it keep a replica from being asked for what it signed unheard.
func TestStuckUpstreamAndMissedBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTrial(t)
		defer c.close()
		a := c.replicas(c.base.id, "a")[0]
		head := c.follow(c.base, 220)
		for int(head.slot/12%3) != 1 || head.slot%12 != 11 { // up to our round
			head = child(head.id, head.slot+1, []string{"bpb", "bpc", "bpa"}[(head.slot+1)/12%3], 0, 0)
			time.Sleep(wire.SlotInterval) // fake time
			c.up.write(head.frame)
		}
		a.close()
		one := child(head.id, head.slot+1, "bpa", 0, 0)
		two := child(one.id, one.slot+1, "bpa", 0, 0)
		time.Sleep(wire.SlotInterval) // fake time
		a = c.dial("a", c.base.id, two.id)
		settle()
		if got := a.catchUps(); !slices.Equal(got, []wire.ID{head.id}) {
			t.Fatalf("asked for what follows %v, want %v once", got, head.id)
		}
	})
}

// A replica that is back vouches for what is irreversible there, also when its head is not
// known here: it is asked for what follows that, though no second upstream has told it yet.
func TestRootOfAReplicaIsCredible(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTrial(t)
		defer c.close()
		a := c.replicas(c.base.id, "a")[0]
		root := c.follow(c.base, 40)
		head := root
		for range 3 {
			time.Sleep(wire.SlotInterval) // fake time
			head = child(head.id, head.slot+1, "bpb", 0, 0)
			c.up.write(head.frame)
		}
		a.close()
		one := child(head.id, head.slot+1, "bpa", 0, 0)
		two := child(one.id, one.slot+1, "bpa", 0, 0)
		a = c.dial("a", root.id, two.id)
		settle()
		if got := a.catchUps(); !slices.Equal(got, []wire.ID{root.id}) {
			t.Fatalf("asked for what follows %v, want %v once", got, root.id)
		}
	})
}

// An upstream that has nothing to tell, since we alone produce, is not stuck, however far
// ahead of it another one claims to be: the mark does not follow that one's lies.
func TestSilentUpstreamIsNotStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTrial(t)
		defer c.close()
		a := c.replicas(c.base.id, "a")[0]
		head := c.base
		grow := func() {
			time.Sleep(time.Until(head.slot.Time())) // fake time
			head = child(head.id, head.slot+1, "bpa", 0, 0)
			a.write(head.frame)
			for _, p := range []*player{c.up, c.evil, a} {
				p.send(&wire.Time{Xmt: time.Now().UnixNano()})
			}
		}
		for range 200 {
			grow()
		}
		settle()
		lie := head
		for range 40 {
			lie = child(lie.id, lie.slot+1, "bpa", 9, 0)
			c.evil.write(lie.frame)
		}
		settle()
		a.close() // it has seen that they are
		a = c.dial("a", c.base.id, head.id)
		settle()
		for range 3 {
			grow()
		}
		settle()
		if !c.up.has(head.id) {
			t.Errorf("our block did not go out: refused %v", c.refused(head.id))
		}
	})
}
