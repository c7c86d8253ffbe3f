package director_test

import (
	"testing"

	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/wire"
	"pgregory.net/rapid"
)

const (
	ours  wire.Name = 10
	other wire.Name = 20
	third wire.Name = 30
)

// observe shows whole rounds from round on, by the producers in turn.
func observe(s *director.Schedule, round, n uint32, producers ...wire.Name) {
	for r := round; r < round+n; r++ {
		p := producers[r%uint32(len(producers))]
		for i := range uint32(12) {
			if p != 0 {
				s.Observe(wire.Slot(r*12+i), p)
			}
		}
	}
}

func slot(round uint32) wire.Slot { return wire.Slot(round * 12) }

func TestScheduleIsLearnt(t *testing.T) {
	s := director.NewSchedule([]wire.Name{ours})
	if s.Ours(slot(5)) || s.Cycle() != 0 || !s.IsOurs(ours) || s.IsOurs(other) {
		t.Fatal("a new schedule knows something")
	}
	if _, ok := s.NextRound(slot(5)); ok {
		t.Fatal("a new schedule knows our next round")
	}
	observe(s, 9, 4, ours, other, third) // ours has the rounds 9, 12, 15…
	if s.Cycle() != 3 {
		t.Fatalf("cycle %d, want 3", s.Cycle())
	}
	for round, want := range map[uint32]wire.Name{9: ours, 11: third, 13: other, 15: ours, 16: other, 30: ours} {
		if got := s.Producer(slot(round) + 11); got != want {
			t.Errorf("round %d is %v's, want %v's", round, got, want)
		}
	}
	if next, ok := s.NextRound(slot(13)); !ok || next != slot(15) {
		t.Errorf("next round at %d, %v, want %d", next, ok, slot(15))
	}
	if next, ok := s.NextRound(slot(15)); !ok || next != slot(15) {
		t.Errorf("next round from its first slot on is %d, want that slot", next)
	}
	if next, ok := s.NextRound(slot(15) + 1); !ok || next != slot(18) {
		t.Errorf("next round from inside one is %d, want the one after", next)
	}
}

// A producer that misses its round, ours included, keeps it.
func TestMissedRounds(t *testing.T) {
	s := director.NewSchedule([]wire.Name{ours})
	observe(s, 9, 6, ours, other, third)
	observe(s, 15, 1, 0) // ours is missed
	observe(s, 16, 2, ours, other, third)
	for _, round := range []uint32{18, 21} {
		if !s.Ours(slot(round)) || s.Ours(slot(round+1)) {
			t.Fatalf("after a missed round, round %d is %v's and the next %v's, want ours and not", round, s.Producer(slot(round)), s.Producer(slot(round+1)))
		}
	}
	if s.Cycle() != 3 {
		t.Fatalf("cycle %d, want 3", s.Cycle())
	}
}

// A producer that missed its last round is found two cycles back. The cycle is no longer for that, or our round that
// follows would not be known to be ours where the one two cycles before it was missed.
func TestRoundAfterOneThatWasMissed(t *testing.T) {
	s := director.NewSchedule([]wire.Name{ours})
	observe(s, 9, 3, ours, other, third)
	observe(s, 13, 1, ours, other, third) // ours was missed
	observe(s, 15, 3, ours, other, third) // and the one before this
	if !s.Ours(slot(18)) || s.Cycle() != 3 {
		t.Errorf("round 18 is %v's in a cycle of %d, want ours in one of 3", s.Producer(slot(18)), s.Cycle())
	}
}

// When the schedule changes, what was learnt is replaced within two cycles.
func TestScheduleChanges(t *testing.T) {
	for _, tc := range []struct {
		name string
		now  []wire.Name
	}{
		{"longer", []wire.Name{ours, other, third, 40, 50}},
		{"shorter", []wire.Name{other, ours}},
		{"another order", []wire.Name{ours, third, other}},
		{"without us", []wire.Name{other, third, 40}},
		{"us alone", []wire.Name{ours}},
	} {
		s := director.NewSchedule([]wire.Name{ours})
		observe(s, 0, 30, ours, other, third)
		n := uint32(len(tc.now))
		observe(s, 30, 2*n+1, tc.now...)
		from := 30 + 2*n + 1
		for r := from; r < from+n; r++ {
			if got, want := s.Producer(slot(r)), tc.now[r%n]; got != want {
				t.Errorf("%s: round %d is %v's, want %v's", tc.name, r, got, want)
			}
		}
	}
}

func TestSingleProducer(t *testing.T) {
	s := director.NewSchedule([]wire.Name{ours})
	s.Observe(slot(7), ours)
	if !s.Ours(slot(7) + 11) {
		t.Error("the round under way is not ours")
	}
	s.Observe(slot(8), ours)
	if !s.Ours(slot(9)) || !s.Ours(slot(20)+5) || s.Cycle() != 1 {
		t.Errorf("cycle %d, round 9 ours=%v, want all of them", s.Cycle(), s.Ours(slot(9)))
	}
}

// A round in which two producers appear (a fork) belongs to the last one seen,
// and old blocks change nothing.
func TestForksAndOldBlocks(t *testing.T) {
	s := director.NewSchedule([]wire.Name{ours})
	observe(s, 9, 5, ours, other, third)
	s.Observe(slot(10), third)
	s.Observe(slot(2), 77)
	if !s.Ours(slot(15)) || s.Producer(slot(10)) != other {
		t.Errorf("old blocks changed the schedule: round 10 is %v's", s.Producer(slot(10)))
	}
}

// Any schedule of distinct producers is known after one cycle and a round, and
// what Ours says then is right.
func TestAnySchedule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 125).Draw(t, "producers")
		producers := make([]wire.Name, n)
		for i := range producers {
			producers[i] = wire.Name(100 + i)
		}
		mine := producers[rapid.IntRange(0, n-1).Draw(t, "ours")]
		start := uint32(rapid.IntRange(0, 1<<20).Draw(t, "start"))
		s := director.NewSchedule([]wire.Name{mine})
		observe(s, start, uint32(n)+1, producers...)
		for i := range uint32(n) {
			r := start + uint32(n) + i
			if got, want := s.Ours(slot(r)), producers[r%uint32(n)] == mine; got != want {
				t.Fatalf("%d producers: round +%d ours=%v, want %v", n, i, got, want)
			}
		}
	})
}
