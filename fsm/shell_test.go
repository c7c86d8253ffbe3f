package fsm_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/thinrelay/thinrelay/fsm"
)

// sink is a raft.SnapshotSink in memory.
type sink struct {
	bytes.Buffer
	fail             error
	closed, canceled bool
}

func (s *sink) Write(b []byte) (int, error) {
	if s.fail != nil {
		return 0, s.fail
	}
	return s.Buffer.Write(b)
}
func (s *sink) ID() string    { return "sink" }
func (s *sink) Close() error  { s.closed = true; return nil }
func (s *sink) Cancel() error { s.canceled = true; return nil }

// apply proposes to in the given term and returns what the proposer would get.
func apply(f *fsm.FSM, to fsm.Mark, term uint64, unused bool) error {
	tr := fsm.Transition{From: f.State().Mark, To: to, Term: term, Unused: unused}
	err, _ := f.Apply(&raft.Log{Term: term, Data: tr.Append(nil)}).(error)
	return err
}

func restore(f *fsm.FSM, b []byte) error {
	return f.Restore(io.NopCloser(bytes.NewReader(b)))
}

func isHalted(f *fsm.FSM) bool {
	select {
	case <-f.Halted():
		return true
	default:
		return false
	}
}

func TestFSMAppliesInOrder(t *testing.T) {
	var got []uint32
	f := fsm.New(func(s fsm.State) { got = append(got, s.Mark.Height()) })
	for h := uint32(1); h <= 3; h++ {
		if err := apply(f, mark(h, 1, 'a'), 1, false); err != nil {
			t.Fatalf("apply %d: %v", h, err)
		}
	}
	if err := apply(f, mark(2, 1, 'a'), 1, false); !errors.Is(err, fsm.ErrLower) {
		t.Errorf("lower: got %v, want %v", err, fsm.ErrLower)
	}
	if err := restore(f, fsm.AppendSnapshot(nil, fsm.State{Mark: mark(9, 1, 'a'), Term: 2})); err != nil {
		t.Fatalf("restore: %v", err)
	}
	if want := []uint32{1, 2, 3, 9}; !equal(got, want) {
		t.Errorf("applied: got %v, want %v", got, want)
	}
	if got, want := f.State(), (fsm.State{Mark: mark(9, 1, 'a'), Term: 2}); got != want {
		t.Errorf("state: got %v, want %v", got, want)
	}
}

func equal(a, b []uint32) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestFSMRefusesGarbageAndGoesOn(t *testing.T) {
	f := fsm.New(nil)
	if err := apply(f, mark(5, 1, 'a'), 1, false); err != nil {
		t.Fatal(err)
	}
	for _, data := range [][]byte{nil, {}, {0}, {1}, bytes.Repeat([]byte{1}, 10_000), make([]byte, fsm.TransitionSize)} {
		if err, _ := f.Apply(&raft.Log{Term: 1, Data: data}).(error); !errors.Is(err, fsm.ErrMalformed) {
			t.Errorf("%d bytes: got %v, want %v", len(data), err, fsm.ErrMalformed)
		}
	}
	if isHalted(f) {
		t.Fatal("garbage of a known version halted the FSM")
	}
	if err := apply(f, mark(6, 1, 'a'), 1, false); err != nil {
		t.Errorf("after garbage: %v", err)
	}
}

func TestFSMHaltsOnUnknownVersion(t *testing.T) {
	later := fsm.AppendSnapshot(nil, fsm.State{Mark: mark(9, 1, 'a'), Term: 2})
	later[8] = fsm.Version + 1
	meet := map[string]func(*fsm.FSM) error{
		"entry": func(f *fsm.FSM) error {
			err, _ := f.Apply(&raft.Log{Term: 1, Data: []byte{fsm.Version + 1, 1, 2, 3}}).(error)
			return err
		},
		"snapshot": func(f *fsm.FSM) error { return restore(f, later) },
	}
	for name, meet := range meet {
		t.Run(name, func(t *testing.T) {
			f := fsm.New(nil)
			if err := apply(f, mark(5, 1, 'a'), 1, false); err != nil {
				t.Fatal(err)
			}
			before := f.State()
			if isHalted(f) || f.Err() != nil {
				t.Fatal("halted from the start")
			}
			if err := meet(f); !errors.Is(err, fsm.ErrVersion) {
				t.Fatalf("got %v, want %v", err, fsm.ErrVersion)
			}
			if !isHalted(f) || !errors.Is(f.Err(), fsm.ErrVersion) {
				t.Fatalf("not halted: %v", f.Err())
			}
			if err := apply(f, mark(6, 1, 'a'), 1, false); !errors.Is(err, fsm.ErrVersion) {
				t.Errorf("apply when halted: got %v, want %v", err, fsm.ErrVersion)
			}
			if err := restore(f, fsm.AppendSnapshot(nil, fsm.State{Mark: mark(9, 1, 'a'), Term: 2})); !errors.Is(err, fsm.ErrVersion) {
				t.Errorf("restore when halted: got %v, want %v", err, fsm.ErrVersion)
			}
			if _, err := f.Snapshot(); !errors.Is(err, fsm.ErrVersion) {
				t.Errorf("snapshot when halted: got %v, want %v", err, fsm.ErrVersion)
			}
			if err := meet(f); !errors.Is(err, fsm.ErrVersion) {
				t.Errorf("a second time: got %v, want %v", err, fsm.ErrVersion)
			}
			if got := f.State(); got != before {
				t.Errorf("state: got %v, want %v", got, before)
			}
		})
	}
}

func TestFSMSnapshotRestore(t *testing.T) {
	f := fsm.New(nil)
	if err := apply(f, mark(5, 1, 'a'), 3, false); err != nil {
		t.Fatal(err)
	}
	snap, err := f.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	want := f.State()
	if err := apply(f, mark(6, 1, 'a'), 3, false); err != nil { // after the snapshot was taken, so not in it
		t.Fatal(err)
	}
	var s sink
	if err := snap.Persist(&s); err != nil || !s.closed || s.canceled {
		t.Fatalf("persist: %v, closed %v, canceled %v", err, s.closed, s.canceled)
	}
	snap.Release()
	g := fsm.New(nil)
	if err := restore(g, s.Bytes()); err != nil {
		t.Fatal(err)
	}
	if got := g.State(); got != want {
		t.Errorf("restored: got %v, want %v", got, want)
	}

	full := sink{fail: errors.New("no space left on device")}
	if err := snap.Persist(&full); !errors.Is(err, full.fail) || full.closed || !full.canceled {
		t.Errorf("persist on a full disk: %v, closed %v, canceled %v", err, full.closed, full.canceled)
	}
}

func TestFSMRestoreRefuses(t *testing.T) {
	encode := func(height uint32, fork byte, term uint64) []byte {
		return fsm.AppendSnapshot(nil, fsm.State{Mark: mark(height, fork, 'b'), Term: term})
	}
	tests := []struct {
		name  string
		bytes []byte
		want  error
	}{
		{"higher", encode(6, 1, 9), nil},
		{"same height, same term", encode(5, 2, 3), nil},
		{"same height, later term", encode(5, 1, 4), nil},
		{"same height, earlier term", encode(5, 1, 2), fsm.ErrForeign},
		{"lower", encode(4, 1, 9), fsm.ErrLower},
		{"empty state", fsm.AppendSnapshot(nil, fsm.State{}), fsm.ErrLower},
		{"nothing", nil, fsm.ErrMalformed},
		{"trailing bytes", append(encode(6, 1, 9), 0), fsm.ErrMalformed},
		{"torn", encode(6, 1, 9)[:40], fsm.ErrMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			calls := 0
			f := fsm.New(func(fsm.State) { calls++ })
			if err := apply(f, mark(5, 1, 'a'), 3, false); err != nil {
				t.Fatal(err)
			}
			before := f.State()
			calls = 0
			if err := restore(f, tt.bytes); !errors.Is(err, tt.want) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
			if tt.want != nil && (f.State() != before || calls != 0 || isHalted(f)) {
				t.Errorf("a refused snapshot left a trace: state %v, %d calls, halted %v", f.State(), calls, isHalted(f))
			}
			if tt.want == nil && (f.State() == before || calls != 1) {
				t.Errorf("an accepted snapshot left no trace: state %v, %d calls", f.State(), calls)
			}
		})
	}
}
