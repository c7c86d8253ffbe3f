package fsm_test

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/thinrelay/thinrelay/fsm"
)

// block returns a block id of the given height; fork tells blocks of one height apart.
func block(height uint32, fork byte) (id fsm.BlockID) {
	binary.BigEndian.PutUint32(id[:], height)
	id[4] = fork
	return id
}

func mark(height uint32, fork, source byte) fsm.Mark {
	return fsm.Mark{Last: block(height, fork), Slot: 2 * height, Source: fsm.NodeID{source}}
}

func TestApply(t *testing.T) {
	at := fsm.State{Mark: mark(10, 1, 'a'), Term: 5}
	tests := []struct {
		name  string
		state fsm.State
		tr    fsm.Transition
		term  uint64
		want  error
	}{
		{"first mark", fsm.State{}, fsm.Transition{To: mark(1, 1, 'a'), Term: 2}, 2, nil},
		{"next height", at, fsm.Transition{From: at.Mark, To: mark(11, 1, 'a'), Term: 5}, 5, nil},
		{"next height in a later term", at, fsm.Transition{From: at.Mark, To: mark(11, 1, 'a'), Term: 6}, 6, nil},
		{"far ahead", at, fsm.Transition{From: at.Mark, To: mark(1<<32-1, 1, 'b'), Term: 6}, 6, nil},
		{"same height, other source, unused", at, fsm.Transition{From: at.Mark, To: mark(10, 1, 'b'), Term: 5, Unused: true}, 5, nil},
		{"same height, other block, unused", at, fsm.Transition{From: at.Mark, To: mark(10, 2, 'a'), Term: 5, Unused: true}, 5, nil},
		{"same height, used", at, fsm.Transition{From: at.Mark, To: mark(10, 1, 'b'), Term: 5}, 5, fsm.ErrUsed},
		{"same height, later term", at, fsm.Transition{From: at.Mark, To: mark(10, 1, 'b'), Term: 6, Unused: true}, 6, fsm.ErrForeign},
		{"same height, later term, unresolved", at, fsm.Transition{From: at.Mark, To: mark(10, 1, 'b'), Term: 6, Unused: true, Unresolved: true}, 6, nil},
		{"lower height, unresolved", at, fsm.Transition{From: at.Mark, To: mark(9, 1, 'b'), Term: 6, Unused: true, Unresolved: true}, 6, fsm.ErrLower},
		{"same height, later term, used", at, fsm.Transition{From: at.Mark, To: mark(10, 1, 'b'), Term: 6}, 6, fsm.ErrForeign},
		{"lower", at, fsm.Transition{From: at.Mark, To: mark(9, 1, 'a'), Term: 5, Unused: true}, 5, fsm.ErrLower},
		{"to nothing", at, fsm.Transition{From: at.Mark, Term: 5, Unused: true}, 5, fsm.ErrLower},
		{"from another source", at, fsm.Transition{From: mark(10, 1, 'b'), To: mark(11, 1, 'a'), Term: 5}, 5, fsm.ErrStale},
		{"from another block", at, fsm.Transition{From: mark(10, 2, 'a'), To: mark(11, 1, 'a'), Term: 5}, 5, fsm.ErrStale},
		{"from another slot", at, fsm.Transition{From: fsm.Mark{Last: at.Mark.Last, Source: at.Mark.Source}, To: mark(11, 1, 'a'), Term: 5}, 5, fsm.ErrStale},
		{"from nothing", at, fsm.Transition{To: mark(11, 1, 'a'), Term: 5}, 5, fsm.ErrStale},
		{"proposed in an older term", at, fsm.Transition{From: at.Mark, To: mark(11, 1, 'a'), Term: 5}, 6, fsm.ErrTerm},
		{"proposed in a newer term", at, fsm.Transition{From: at.Mark, To: mark(11, 1, 'a'), Term: 6}, 5, fsm.ErrTerm},
		{"unused declared in an older term", at, fsm.Transition{From: at.Mark, To: mark(10, 1, 'b'), Term: 5, Unused: true}, 6, fsm.ErrTerm},
		{"nothing to nothing", fsm.State{}, fsm.Transition{Term: 2, Unused: true}, 2, fsm.ErrForeign},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.state.Apply(tt.tr, tt.term)
			if !errors.Is(err, tt.want) {
				t.Fatalf("error: got %v, want %v", err, tt.want)
			}
			want := tt.state
			if tt.want == nil {
				want = fsm.State{Mark: tt.tr.To, Term: tt.term}
			}
			if got != want {
				t.Errorf("state: got %v, want %v", got, want)
			}
		})
	}
}

func TestBlockID(t *testing.T) {
	id := fsm.BlockID{0x16, 0xb9, 0x01, 0x02, 0x02, 0xc1, 0x9f, 0xe3, 0xff}
	if got, want := id.Num(), uint32(0x16b90102); got != want {
		t.Errorf("Num: got %#x, want %#x", got, want)
	}
	if got, want := id.Short(), "02c19fe3"; got != want {
		t.Errorf("Short: got %q, want %q", got, want)
	}
	if got, want := id.String()[:18], "16b9010202c19fe3ff"; got != want || len(id.String()) != 64 {
		t.Errorf("String: got %q, want %q and 64 digits", id, want)
	}
}
