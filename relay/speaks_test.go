package relay_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// answer has a replica answer the last time message that it got: from then on its silence is noticed.
func (p *player) answer() {
	now := time.Now().UnixNano()
	p.send(&wire.Time{Org: p.question.Load(), Rec: now, Xmt: now})
}

// Where all replicas sign, the active one falls silent at the begin of our round, while its blocks
// come. Another one's block for the height of the first one is refused, and with it goes nothing
// else: the first one speaks on.
func TestSiblingOfASilentSpeaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, director.Passive, nil)
		defer s.close()
		base := child(genesis(100), s.slot, "bpb", 0, 0)
		up := s.accept(base.id, base.id)
		a := s.dial("nodeos-a", base.id, base.id)
		settle()
		b := s.dial("nodeos-b", base.id, base.id)
		up.write(base.frame)
		time.Sleep(time.Second) // fake time: the first one is active
		a.answer()
		time.Sleep(replicaSilence - 100*time.Millisecond) // fake time
		next := relay.SystemClock{}.SlotAt(time.Now()) + 1
		first := child(base.id, next, "bpa", 0, 0)
		second := child(first.id, next+1, "bpa", 0, 0)
		a.write(first.frame)
		time.Sleep(200 * time.Millisecond) // fake time: it is silent
		b.write(child(base.id, next, "bpa", 1, 0).frame)
		settle()
		a.write(second.frame)
		settle()
		if !up.has(first.id) || !up.has(second.id) {
			t.Errorf("the upstream has the first block %v and the second %v, want both; refused %v", up.has(first.id), up.has(second.id), s.refused(second.id))
		}
	})
}

const replicaSilence = 3 * time.Second

// Our replica's first block waits for the group, and meanwhile the last blocks of the producer
// before us come, of which the second certifies the first: what the replica built beside them
// goes to nobody, and what it builds on them does.
func TestLostWhileItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, director.Votes, nil)
		defer s.close()
		base := savanna(genesis(100), s.slot, "bpb", 0, 0)
		up := s.accept(base.id, base.id)
		a := s.dial("nodeos-a", base.id, base.id)
		settle()
		up.write(base.frame)
		time.Sleep(time.Second) // fake time: it is active
		release := s.group.hold()
		next := relay.SystemClock{}.SlotAt(time.Now()) + 1
		beside := savanna(base.id, next, "bpa", 0, 0)
		a.write(beside.frame)
		settle()
		eleventh := savanna(base.id, next-2, "bpb", 1, 0)
		last := savanna(eleventh.id, next-1, "bpb", 1, eleventh.id.Num())
		up.write(eleventh.frame)
		up.write(last.frame)
		settle()
		release()
		settle()
		if up.has(beside.id) {
			t.Error("the upstream got a block beside what the chain certifies")
		}
		ours := savanna(last.id, next+1, "bpa", 0, eleventh.id.Num())
		a.write(ours.frame)
		settle()
		if !up.has(ours.id) {
			t.Errorf("the upstream did not get our block on the chain: refused %v", s.refused(ours.id))
		}
	})
}

// All replicas are silent, their lines being broken one way, where all sign. The one whose first block came
// first speaks: while the group agrees on that, another one's does not take its place.
func TestFirstOfTheSilentSpeaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, director.Passive, nil)
		defer s.close()
		base := child(genesis(100), s.slot, "bpb", 0, 0)
		up := s.accept(base.id, base.id)
		a := s.dial("nodeos-a", base.id, base.id)
		settle()
		b := s.dial("nodeos-b", base.id, base.id)
		up.write(base.frame)
		time.Sleep(time.Second) // fake time: the first one is active
		a.answer()
		b.answer()
		time.Sleep(replicaSilence + time.Second) // fake time
		release := s.group.hold()
		next := relay.SystemClock{}.SlotAt(time.Now()) + 1
		first := child(base.id, next, "bpa", 0, 0)
		second := child(first.id, next+1, "bpa", 0, 0)
		a.write(first.frame)
		settle()
		b.write(child(base.id, next, "bpa", 1, 0).frame)
		settle()
		release()
		settle()
		a.write(second.frame)
		settle()
		if !up.has(first.id) || !up.has(second.id) {
			t.Errorf("the upstream has the first block %v and the second %v, want both; refused %v", up.has(first.id), up.has(second.id), s.refused(second.id))
		}
	})
}

// The host of the active replica dies in our round, and the relay's clock is set back by some seconds: another one is
// made active when the first one is known to be silent, though by the clock its last block has yet to come.
func TestSilentWhileTheClockIsSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := &stepped{}
		s := newStage(t, director.Votes, func(c *relay.Config) { c.Clock = clock })
		defer s.close()
		prev := savanna(genesis(100), s.slot, "bpb", 0, 0)
		up := s.accept(prev.id, prev.id)
		a := s.dial("nodeos-a", prev.id, prev.id)
		settle()
		b := s.dial("nodeos-b", prev.id, prev.id)
		up.write(prev.frame)
		up.vote(1, prev.id)
		time.Sleep(time.Second) // fake time: the first one is active
		for range 3 {
			prev = savanna(prev.id, relay.SystemClock{}.SlotAt(time.Now())+1, "bpa", 0, 0)
			a.write(prev.frame)
			time.Sleep(wire.SlotInterval) // fake time
		}
		a.answer()
		if !up.has(prev.id) {
			t.Fatalf("our blocks did not go: refused %v", s.refused(prev.id))
		}
		clock.ahead.Store(-int64(5 * time.Second))
		time.Sleep(replicaSilence + 200*time.Millisecond) // fake time
		if st, _ := s.node.Status(t.Context()); st.Active != b.id {
			t.Errorf("%s is active, want nodeos-b", st.Active.Short())
		}
	})
}
