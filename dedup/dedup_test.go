package dedup_test

import (
	"testing"

	"github.com/thinrelay/thinrelay/dedup"
	"pgregory.net/rapid"
)

func TestWindowLetsAKeyPassOnce(t *testing.T) {
	w := dedup.NewWindow[int](4)
	if got, want := w.Add(1), true; got != want {
		t.Fatalf("first Add=%v, want %v", got, want)
	}
	if got, want := w.Add(1), false; got != want {
		t.Fatalf("second Add=%v, want %v", got, want)
	}
	w.Rotate()
	if got, want := w.Add(1), false; got != want {
		t.Fatalf("Add after one rotation=%v, want %v", got, want)
	}
	w.Rotate()
	w.Rotate()
	if got, want := w.Add(1), true; got != want {
		t.Fatalf("Add after two rotations=%v, want %v", got, want)
	}
}

func TestWindowIsBounded(t *testing.T) {
	w := dedup.NewWindow[int](100)
	for i := range 10_000 {
		w.Add(i)
	}
	if got, most := w.Len(), 200; got > most {
		t.Fatalf("Len=%d, want at most %d", got, most)
	}
	if !w.Has(9_999) || !w.Has(9_900) {
		t.Fatal("the newest keys are forgotten")
	}
}

// The window against a model that remembers everything: what it calls new may
// be old, but what it calls known was added before, and a key added within the
// last generation is never called new.
func TestWindowModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const size = 8
		w := dedup.NewWindow[int](size)
		ever := map[int]bool{}
		var recent []int
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				k := rapid.IntRange(0, 30).Draw(t, "key")
				isNew := w.Add(k)
				if !isNew && !ever[k] {
					t.Fatalf("key %d called known, was never added", k)
				}
				for _, r := range recent {
					if r == k && isNew {
						t.Fatalf("key %d called new within a generation", k)
					}
				}
				ever[k] = true
				if isNew {
					recent = append(recent, k)
				}
				if len(recent) > size {
					recent = recent[1:]
				}
			},
			"rotate": func(t *rapid.T) {
				w.Rotate()
				recent = nil
			},
		})
	})
}

func TestWindowAllocatesNothing(t *testing.T) {
	w := dedup.NewWindow[[32]byte](512)
	var key [32]byte
	add := func() {
		key[0]++
		if key[0] == 0 {
			key[1]++
		}
		w.Add(key)
	}
	for range 5_000 {
		add()
	}
	if got := testing.AllocsPerRun(5_000, add); got != 0 {
		t.Fatalf("allocations per Add=%v, want 0", got)
	}
}

func TestMonotony(t *testing.T) {
	type vote struct {
		block  string
		strong bool
	}
	a, b := "key-a", "key-b"
	steps := []struct {
		name string
		key  string
		slot uint32
		vote vote
		want dedup.Outcome
	}{
		{"first vote", a, 10, vote{"x10", true}, dedup.Fresh},
		{"the same vote by a second node", a, 10, vote{"x10", true}, dedup.Repeat},
		{"same block, other strength", a, 10, vote{"x10", false}, dedup.Conflict},
		{"another block of that slot", a, 10, vote{"y10", true}, dedup.Conflict},
		{"an earlier slot", a, 9, vote{"x9", true}, dedup.Conflict},
		{"a later slot", a, 11, vote{"x11", true}, dedup.Fresh},
		{"another key is judged by itself", b, 10, vote{"y10", true}, dedup.Fresh},
		{"more keys than the filter holds", "key-c", 12, vote{"x12", true}, dedup.Fresh},
		{"one that voted lately is still known", a, 11, vote{"y11", true}, dedup.Conflict},
	}
	m := dedup.NewMonotony[string, vote](2)
	for _, s := range steps {
		if got := m.Judge(s.key, s.slot, s.vote); got != s.want {
			t.Fatalf("%s: Judge=%v, want %v", s.name, got, s.want)
		}
	}
}
