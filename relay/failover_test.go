package relay_test

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/simnet"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// killRounds kills the active replica at a random moment of each of n rounds of
// ours, brings it back before the next, and returns the network's verdict.
func killRounds(t *testing.T, w *world, n int) simnet.Report {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	rounds(2)
	w.net.Oracle.Begin(w.now())
	for range n {
		w.awaitRound()
		time.Sleep(time.Duration(rng.Int64N(int64(5500 * time.Millisecond))))
		victim := w.speaker()
		if victim == nil {
			t.Fatalf("nobody speaks, %q last did", w.net.Oracle.Speaker())
		}
		victim.Kill()
		time.Sleep(7 * time.Second)
		w.start(victim)
	}
	rounds(1)
	return w.net.Report()
}

// awaitRound sleeps until the first slot of our next round is half a slot away.
func (w *world) awaitRound() {
	now := time.Now()
	slot := relay.SystemClock{}.SlotAt(now) + 1
	for slot%12 != 0 || w.net.Chain.ProducerAt(slot) != mustName(w.t, "bpa") {
		slot++
	}
	time.Sleep(slot.Time().Sub(now) - 250*time.Millisecond)
}

// speaker returns the replica whose blocks leave.
func (w *world) speaker() *simnet.Replica {
	name := w.net.Oracle.Speaker()
	for _, r := range w.replicas {
		if r.Name() == name && r.Alive() {
			return r
		}
	}
	return nil
}

// worstRound is the most slots missed in one round.
func worstRound(r simnet.Report) int {
	missed, worst := map[uint32]int{}, 0
	for _, s := range r.Slots {
		if !s.OnChain {
			missed[uint32(s.Slot)/12]++
			worst = max(worst, missed[uint32(s.Slot)/12])
		}
	}
	return worst
}

// A kill -9 of the active replica in the middle of each of 200 rounds, under
// transactions: nothing double, nothing unlinked, and in votes mode at most one
// slot lost per kill and nothing signed by standbys.
func TestKillTheActiveReplica(t *testing.T) {
	t.Parallel()
	kills := repeat(200)
	t.Run("votes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, worldConfig{mode: director.Votes, replicas: 3, load: 2})
			defer w.close()
			got := killRounds(t, w, kills)
			t.Logf("%d kills: %+v", kills, brief(got))
			if got.Double != 0 || got.Unlinked != 0 || worstRound(got) > 1 || got.SlotsOurs < kills*12 {
				w.dump(150)
				t.Fatalf("report=%+v, worst round %d, want at most one slot missed per kill", brief(got), worstRound(got))
			}
			if got.SignedExtra != 0 {
				t.Errorf("SignedExtra=%d (%v), want 0: standbys sign nothing", got.SignedExtra, got.Signed)
			}
		})
	})
	t.Run("passive", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, worldConfig{mode: director.Passive, replicas: 3, load: 2})
			defer w.close()
			got := killRounds(t, w, kills/4)
			t.Logf("%d kills: %+v", kills/4, brief(got))
			if got.Double != 0 || got.Unlinked != 0 || got.SlotsOurs < kills/4*12 {
				t.Fatalf("report=%+v, want nothing double or unlinked", brief(got))
			}
		})
	})
}

// The group is slow to agree on what our round builds on: the first block of it waits
// for that, and its replica is not to blame.
func TestFirstBlockWaitsForTheGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, fleetConfig{relays: 3, mode: director.Votes, load: 1, dials: [][]int{{0}, {0}}, finalizer: []int{0}})
		defer f.close()
		rounds(2)
		f.net.Oracle.Begin(f.now())
		for i := range 3 {
			f.awaitSlot(0, time.Second)
			begin, speaker := time.Now(), f.speaker()
			f.group.stall(1300 * time.Millisecond)
			time.Sleep(8 * time.Second) // fake time
			if got := f.net.Report(); f.speaker() != speaker || got.Missed != 0 || f.count(relay.Missed) != 0 {
				f.dump(begin, 60)
				t.Fatalf("round %d: %s speaks, before it was %s; report=%+v", i, f.speaker().Name(), speaker.Name(), brief(got))
			}
		}
	})
}

// The slots that the relay says were missed are those that the network got no block
// for: with replicas killed in our rounds.
func TestMissedSlotsAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := oneRelay(t, director.Passive)
		defer f.close()
		before := f.count(relay.Missed)
		for i := range 4 {
			f.awaitSlot(2+2*i, 100*time.Millisecond)
			victim := f.speaker()
			victim.Kill()
			time.Sleep(8 * time.Second) // fake time
			f.startReplica(victim)
		}
		rounds(1)
		if got, told := f.net.Report(), f.count(relay.Missed)-before; got.Missed == 0 || told != got.Missed {
			t.Errorf("told of %d slots, report=%+v", told, brief(got))
		}
	})
}

// A replica that has taken over in the middle of our round builds on another branch:
// its blocks are here, but they wait in vain, and a third one takes over in time.
func TestBlocksOnAPrivateForkAreLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, director.Votes, nil)
		defer s.close()
		first := (s.slot/director.RoundSlots + 1) * director.RoundSlots    // of our round
		at := func(slot wire.Slot) { time.Sleep(time.Until(slot.Time())) } // fake time
		base := savanna(genesis(100), first-1, "bpb", 0, 0)
		up := s.accept(base.id, base.id)
		var r []*player
		for _, name := range []string{"a", "b", "c"} {
			r = append(r, s.dial(name, base.id, base.id))
			settle()
		}
		at(first - 1)
		up.write(base.frame)
		up.vote(1, base.id)
		at(first)
		one := savanna(base.id, first, "bpa", 0, 0)
		r[0].write(one.frame)
		settle()
		if !up.has(one.id) {
			t.Fatal("the first block of the round did not go out")
		}
		r[0].close()
		begin := first + wire.Slot(2) // a standby may take two slots to begin
		prev := base.id
		for slot := begin; slot < begin+3; slot++ {
			at(slot)
			b := savanna(prev, slot, "bpa", 7, 0)
			r[1].write(b.frame)
			prev = b.id
		}
		settle()
		two := savanna(one.id, begin+3, "bpa", 0, 0)
		at(begin + 3)
		r[2].write(two.frame)
		settle()
		if !up.has(two.id) {
			t.Errorf("after three slots with blocks of another branch the third replica does not speak: refused %v", s.refused(two.id))
		}
	})
}
