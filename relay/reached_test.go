package relay_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// upTo has the upstream tell blocks on prev up to slot last, each at its time, of the producers bpb
// and bpa by turns of a round, and returns all of them.
func (s *stage) upTo(last wire.Slot, prev script, ups ...*player) (list []script) {
	for slot := prev.slot + 1; slot <= last; slot++ {
		time.Sleep(time.Until(slot.Time())) // fake time
		prev = child(prev.id, slot, []string{"bpb", "bpa"}[slot/12%2], 0, 0)
		for _, up := range ups {
			up.write(prev.frame)
		}
		list = append(list, prev)
	}
	settle()
	return list
}

// toOurs has the upstreams tell the chain up to a slot before our third round, which begins in slot 36, with
// a block of ours in it, so that the mark is ours, and returns the last one.
func (c *trial) toOurs(last wire.Slot, a *player) script {
	before := c.upTo(11, c.base, c.up, c.evil)
	first := child(before[len(before)-1].id, 12, "bpa", 0, 0)
	a.write(first.frame)
	before = c.upTo(last, first, c.up, c.evil)
	return before[len(before)-1]
}

// marked is the height of the mark.
func (s *stage) marked() uint32 {
	st, _ := s.node.Status(s.t.Context())
	return st.State.Mark.Height()
}

// The active replica has the last block of the producer before us, and is gone. Another one, of which
// that is not known, builds beside the block: the mark is not there.
func TestReachedByAnotherReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTrial(t)
		defer c.close()
		r := c.replicas(c.base.id, "nodeos-a", "nodeos-b")
		a, b := r[0], r[1]
		const ours = wire.Slot(36)
		prev := c.toOurs(ours-3, a)
		b.answer()
		last := c.upTo(ours-2, prev, c.up, c.evil)[0]
		a.answer()
		settle()
		a.close()
		time.Sleep(time.Until((ours - 1).Time().Add(50 * time.Millisecond))) // fake time: the next slot is ours
		if at := c.marked(); at >= last.id.Num() {
			t.Errorf("the mark is at height %d already", at)
		}
		beside := child(prev.id, ours, "bpa", 7, 0)
		b.write(beside.frame)
		settle()
		if !c.up.has(beside.id) {
			t.Errorf("its block did not go out: refused %v, active changes %d", c.refused(beside.id), c.count(relay.ActiveChange))
		}
	})
}

// An upstream makes up what follows the last block of the producer before us. That the active replica
// has the block is noted all the same, and the mark is there ahead of our round.
func TestReachedBelowALie(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTrial(t)
		defer c.close()
		a := c.replicas(c.base.id, "nodeos-a")[0]
		const ours = wire.Slot(36)
		prev := c.toOurs(ours-2, a)
		a.answer()
		time.Sleep(time.Until((ours - 1).Time().Add(-250 * time.Millisecond))) // fake time
		last := child(prev.id, ours-1, "bpb", 0, 0)
		c.up.write(last.frame)
		c.evil.write(last.frame)
		for lie := last; lie.slot < ours+2; {
			lie = child(lie.id, lie.slot+1, "bpb", 9, 0)
			c.evil.write(lie.frame)
		}
		settle()
		a.answer()
		settle()
		if at := c.marked(); at != last.id.Num() {
			t.Errorf("the mark is at height %d, want %d", at, last.id.Num())
		}
	})
}

// The way to the active replica has become longer, minutes ago: that it gets the last block of the producer before us
// in time is known by how long that way is now, and the mark is there ahead of our round.
func TestReachedByALongerWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTrial(t)
		defer c.close()
		a := c.replicas(c.base.id, "nodeos-a")[0]
		a.answers.Store(true)
		way := func(d time.Duration) {
			c.mem.SetDelay("relay", a.name, d)
			c.mem.SetDelay(a.name, "relay", d)
		}
		way(5 * time.Millisecond)
		prev := c.toOurs(24, a)
		way(100 * time.Millisecond)
		const ours = wire.Slot(36 + 20*12)
		before := c.upTo(ours-2, prev, c.up, c.evil)
		time.Sleep(time.Until(ours.Time().Add(-750 * time.Millisecond))) // fake time: it begins 150 ms later
		last := child(before[len(before)-1].id, ours-1, "bpb", 0, 0)
		c.up.write(last.frame)
		c.evil.write(last.frame)
		time.Sleep(300 * time.Millisecond) // fake time
		if at := c.marked(); at != last.id.Num() {
			t.Errorf("the mark is at height %d, want %d", at, last.id.Num())
		}
	})
}
