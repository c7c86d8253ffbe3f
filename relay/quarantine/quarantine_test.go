package quarantine_test

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/relay/quarantine"
	"github.com/thinrelay/thinrelay/relay/wire"
)

var start = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func id(n int) (id wire.ID) {
	binary.BigEndian.PutUint32(id[:], uint32(n))
	return id
}

func onTrial(q *quarantine.Quarantine, now time.Time) (nums []uint32) {
	q.OnTrial(now, func(id wire.ID) { nums = append(nums, id.Num()) })
	return nums
}

func everyone(quarantine.Teller) bool { return true }
func nobody(quarantine.Teller) bool   { return false }

func built(wire.ID) bool { return true }

// due returns what is let out at now.
func due(q *quarantine.Quarantine, now time.Time, others func(quarantine.Teller) bool) (nums []uint32) {
	q.Due(now, others, built, func(id wire.ID) { nums = append(nums, id.Num()) })
	slices.Sort(nums)
	return nums
}

func TestOnTrial(t *testing.T) {
	q := quarantine.New()
	for i := range 10 {
		q.Show(id(i), start.Add(time.Duration(i)*500*time.Millisecond))
	}
	if got, want := onTrial(q, start.Add(4500*time.Millisecond)), []uint32{5, 6, 7, 8, 9}; !slices.Equal(got, want) {
		t.Errorf("on trial are %v, want those of the last two seconds, the oldest first: %v", got, want)
	}
	for i := range 3 * quarantine.Trials {
		q.Show(id(100+i), start.Add(5*time.Second))
	}
	got := onTrial(q, start.Add(5*time.Second))
	if len(got) != quarantine.Trials || got[0] != 100+2*quarantine.Trials {
		t.Errorf("%d on trial, the first is %d, want the %d newest", len(got), got[0], quarantine.Trials)
	}
}

// What is set aside in error is tried again after a second without anything
// else, then after two, four and eight.
func TestDueAfterAGrowingPause(t *testing.T) {
	q := quarantine.New()
	now := start
	for _, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 8 * time.Second} {
		if !q.Accuse(id(1), 1, now) || !q.Holds(id(1)) {
			t.Fatal("the block is not set aside")
		}
		if q.Accuse(id(1), 1, now) {
			t.Error("the block is set aside a second time")
		}
		if got := due(q, now.Add(want-1), everyone); len(got) != 0 || !q.Holds(id(1)) {
			t.Errorf("%v is out before %v", got, want)
		}
		if got := due(q, now.Add(want), everyone); len(got) != 1 || q.Holds(id(1)) || q.Len() != 0 {
			t.Errorf("%v is out after %v, want the block", got, want)
		}
		now = now.Add(want)
	}
}

// While the chain goes on without it nobody needs the block.
func TestNotDueWhileTheChainGrows(t *testing.T) {
	q := quarantine.New()
	q.Accuse(id(1), 1, start)
	for i := range 100 {
		now := start.Add(time.Duration(i) * 500 * time.Millisecond)
		q.Grew(now)
		if got := due(q, now.Add(499*time.Millisecond), everyone); len(got) != 0 {
			t.Fatalf("%v is out although the chain grows", got)
		}
	}
}

// A lie beyond doubt waits for longer, if there is somebody else to hear.
func TestSure(t *testing.T) {
	for _, tc := range []struct {
		name   string
		borne  bool
		blames int
		others func(quarantine.Teller) bool
		want   time.Duration
	}{
		{"one replica", false, 1, everyone, quarantine.Doubt},
		{"two", false, 2, everyone, quarantine.Sure},
		{"two, and a third one has it and stays", true, 2, everyone, quarantine.Doubt},
		{"two, and there is no other upstream", false, 2, nobody, quarantine.Doubt},
	} {
		t.Run(tc.name, func(t *testing.T) {
			q := quarantine.New()
			q.Accuse(id(1), 3, start)
			for range tc.blames {
				q.Blame(id(1), false, tc.borne)
			}
			if got := due(q, start.Add(tc.want-1), tc.others); len(got) != 0 {
				t.Errorf("out before %v", tc.want)
			}
			if got := due(q, start.Add(tc.want), tc.others); len(got) != 1 {
				t.Errorf("not out after %v", tc.want)
			}
		})
	}
}

// A block that nobody builds on waits for longer.
func TestUnbacked(t *testing.T) {
	q := quarantine.New()
	for i := range 2 {
		q.Accuse(id(i), 1, start)
	}
	backed := func(b wire.ID) bool { return b == id(0) }
	for _, step := range []struct {
		wait time.Duration
		want int
	}{{quarantine.Doubt, 1}, {quarantine.Unbacked*quarantine.Doubt - 1, 0}, {quarantine.Unbacked * quarantine.Doubt, 1}} {
		got := 0
		q.Due(start.Add(step.wait), everyone, backed, func(wire.ID) { got++ })
		if got != step.want {
			t.Errorf("%d let out after %v, want %d", got, step.wait, step.want)
		}
	}
}

func TestLied(t *testing.T) {
	q := quarantine.New()
	for i, teller := range []quarantine.Teller{1, 2, 1, 0, 0} {
		q.Accuse(id(i), teller, start)
		q.Blame(id(i), true, false)
		q.Blame(id(i), false, false)
	}
	for teller, want := range []bool{false, true, false} {
		if got := q.Lied(quarantine.Teller(teller)); got != want {
			t.Errorf("Lied(%d) = %v, want %v", teller, got, want)
		}
	}
	if q.Release(id(2)); q.Lied(1) {
		t.Error("the upstream has lied, although somebody else has told one of the two blocks since")
	}
}

func TestRelease(t *testing.T) {
	q := quarantine.New()
	q.Accuse(id(1), 1, start)
	if !q.Release(id(1)) || q.Holds(id(1)) || q.Len() != 0 || q.Known() != 0 {
		t.Error("the block is still set aside")
	}
	if q.Release(id(1)) || q.Release(id(2)) {
		t.Error("released what was not set aside")
	}
}

// Whoever makes up blocks cannot make the relay remember more than so many.
func TestBounded(t *testing.T) {
	q := quarantine.New()
	for i := range 10 * quarantine.Most {
		q.Accuse(id(i), 1, start.Add(time.Duration(i/200)*time.Second))
		if q.Known() > quarantine.Most || q.Len() > q.Known() {
			t.Fatalf("%d remembered, %d of them set aside, want %d at most", q.Known(), q.Len(), quarantine.Most)
		}
	}
	if !q.Holds(id(3*200)) || q.Holds(id(0)) {
		t.Error("the oldest must make room for the newest, and of one moment the first stay")
	}
	if q.Forget(func(id wire.ID) bool { return false }); q.Known() != 0 || q.Len() != 0 {
		t.Errorf("%d remembered, %d set aside of blocks that are known no more", q.Known(), q.Len())
	}
}

func TestShowAllocatesNothing(t *testing.T) {
	q := quarantine.New()
	if n := testing.AllocsPerRun(1000, func() { q.Show(id(1), start); q.Grew(start); q.Holds(id(1)) }); n != 0 {
		t.Errorf("%v allocations a block, want none", n)
	}
}
