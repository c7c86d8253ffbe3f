package relay_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// A replica whose clock is ahead begins our round while the producer before us is in the middle of
// its own, beside what that builds: nobody takes these blocks. Another replica whose clock is right has
// the round, and the one that is ahead of its time is not waited for.
func TestReplicaAheadOfItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, director.Passive, nil)
		defer s.close()
		last := savanna(genesis(100), s.slot, "bpb", 0, 99)
		up := s.accept(last.id, last.id)
		a := s.dial("nodeos-a", last.id, last.id)
		settle() // it is active
		b := s.dial("nodeos-b", last.id, last.id)
		up.write(last.frame)
		producers, ours := []string{"bpb", "bpa"}, 0
		var early script
		var claim uint32
		for range 96 {
			time.Sleep(time.Until((last.slot + 1).Time().Add(-wire.SlotInterval / 2))) // fake time
			for _, r := range []*player{a, b} {
				r.send(&wire.Time{Xmt: time.Now().UnixNano()})
			}
			slot := last.slot + 1
			round := int(slot/director.RoundSlots) % 2
			last = savanna(last.id, slot, producers[round], 0, last.id.Num())
			if ours < 3*director.RoundSlots { // they learn the schedule
				up.write(last.frame)
				ours += round
				continue
			}
			if ahead := slot + 6; producers[ahead/director.RoundSlots%2] == "bpa" {
				if ahead%director.RoundSlots == 0 {
					early = script{id: last.id}
					claim = last.id.Num() // nobody votes for what is beside the chain
				}
				early = savanna(early.id, ahead, "bpa", 1, claim)
				a.write(early.frame)
			}
			if round == 0 {
				up.write(last.frame)
				continue
			}
			b.write(last.frame)
			settle()
			if slot%director.RoundSlots > 1 && !up.has(last.id) {
				t.Errorf("slot %d of our round was lost: %v", slot%director.RoundSlots, s.refused(last.id))
			}
		}
		if s.count(relay.Forwarded) == 0 {
			t.Error("nothing was let go")
		}
	})
}

// The active replica dies in our round, and the next one's block comes well before its time, as the last ones of a round
// do. It builds on a block of ours, beside which nobody builds: it goes at once, though the slot between was lost.
func TestBlockAfterATakeoverDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTrial(t)
		defer c.close()
		a := c.dial("nodeos-a", c.base.id, c.base.id)
		settle() // it is active
		b := c.dial("nodeos-b", c.base.id, c.base.id)
		c.dial("nodeos-c", c.base.id, c.base.id)
		last := child(c.base.id, c.base.slot+4, "bpb", 0, 0)
		time.Sleep(time.Until(last.slot.Time())) // fake time
		c.up.write(last.frame)
		c.evil.write(last.frame)
		one := child(last.id, last.slot+1, "bpa", 1, 0)
		time.Sleep(time.Until(one.slot.Time().Add(-375 * time.Millisecond))) // fake time
		a.write(one.frame)
		settle()
		if !c.up.has(one.id) || !c.evil.has(one.id) {
			t.Fatal("the first block did not go")
		}
		c.evil.write(one.frame) // another upstream gave it that sooner
		a.close()
		two := child(one.id, one.slot+2, "bpa", 2, 0)
		time.Sleep(time.Until(two.slot.Time().Add(-450 * time.Millisecond))) // fake time
		b.write(two.frame)
		settle()
		if early := time.Until(two.slot.Time()); early < wire.SlotInterval/2 || !c.up.has(two.id) {
			t.Errorf("%v before its time the block went: %v, want it gone: %v", early, c.up.has(two.id), c.refused(two.id))
		}
	})
}
