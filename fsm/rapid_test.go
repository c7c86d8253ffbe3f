package fsm_test

import (
	"bytes"
	"testing"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"github.com/thinrelay/thinrelay/fsm"
)

// TestMachine drives one FSM with arbitrary entries in the only order raft can produce (terms never fall) and checks, after each, what
// the package promises: the height never falls; at one height the mark is replaced only by the term that set it, with Unused;
// only the exact current mark is ever replaced; a second member fed the same entries agrees.
func TestMachine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := fsm.New(nil), fsm.New(nil)
		term := uint64(1)
		snap := fsm.AppendSnapshot(nil, fsm.State{})
		history := map[uint32]uint64{} // height → the term that set it
		genMark := rapid.Custom(func(t *rapid.T) fsm.Mark {
			return mark(rapid.Uint32Range(0, 6).Draw(t, "height"), rapid.ByteRange(1, 2).Draw(t, "fork"), rapid.ByteRange('a', 'b').Draw(t, "source"))
		})
		feed := func(data []byte) {
			before := a.State()
			entry := &raft.Log{Term: term, Data: data}
			errA, errB := a.Apply(entry), b.Apply(entry)
			if (errA == nil) != (errB == nil) {
				t.Fatalf("members disagree: %v, %v", errA, errB)
			}
			after := a.State()
			if errA != nil {
				if after != before {
					t.Fatalf("refused with %v, yet moved from %v to %v", errA, before, after)
				}
				return
			}
			tr, err := fsm.DecodeTransition(data)
			if err != nil {
				t.Fatalf("accepted what does not decode: %v", err)
			}
			if tr.From != before.Mark || after.Mark != tr.To || after.Term != term {
				t.Fatalf("%v from %v made %v", tr, before, after)
			}
			if after.Mark.Height() < before.Mark.Height() {
				t.Fatalf("fell from %v to %v", before, after)
			}
			if by, ok := history[after.Mark.Height()]; ok && (by != term || !tr.Unused) {
				t.Fatalf("height %d was set by term %d, then by %d (unused %v)", after.Mark.Height(), by, term, tr.Unused)
			}
			history[after.Mark.Height()] = term
		}
		t.Repeat(map[string]func(*rapid.T){
			"election": func(*rapid.T) { term++ },
			"propose": func(t *rapid.T) {
				tr := fsm.Transition{From: a.State().Mark, To: genMark.Draw(t, "to"), Term: term, Unused: rapid.Bool().Draw(t, "unused")}
				if rapid.IntRange(0, 3).Draw(t, "stale") == 0 {
					tr.From = genMark.Draw(t, "from")
				}
				if rapid.IntRange(0, 3).Draw(t, "late") == 0 {
					tr.Term--
				}
				feed(tr.Append(nil))
			},
			"garbage": func(t *rapid.T) {
				data := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "data")
				if len(data) > 0 && data[0] > fsm.Version {
					data[0] = fsm.Version
				}
				feed(data)
			},
			"snapshot": func(t *rapid.T) {
				s, err := a.Snapshot()
				if err != nil {
					t.Fatal(err)
				}
				var to sink
				if err := s.Persist(&to); err != nil {
					t.Fatal(err)
				}
				snap = bytes.Clone(to.Bytes())
			},
			"restore an old snapshot": func(t *rapid.T) {
				before := a.State()
				if err := restore(a, snap); err == nil && a.State().Mark.Height() < before.Mark.Height() {
					t.Fatalf("restore lowered %v to %v", before, a.State())
				}
				if err := restore(b, snap); (err == nil) != (a.State() == b.State()) && err == nil {
					t.Fatalf("members disagree after restore: %v, %v", a.State(), b.State())
				}
			},
			"restart": func(t *rapid.T) { // a process starts again from a snapshot of what it had
				c := fsm.New(nil)
				if err := restore(c, fsm.AppendSnapshot(nil, a.State())); err != nil {
					t.Fatal(err)
				}
				a = c
			},
			"": func(t *rapid.T) {
				if a.State() != b.State() {
					t.Fatalf("members differ: %v, %v", a.State(), b.State())
				}
			},
		})
	})
}
