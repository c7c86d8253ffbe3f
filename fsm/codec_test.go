package fsm_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/thinrelay/thinrelay/fsm"
)

var (
	sampleState      = fsm.State{Mark: mark(381223044, 7, 'a'), Term: 41}
	sampleTransition = fsm.Transition{From: mark(381223044, 7, 'a'), To: mark(381223045, 1, 'b'), Term: 41, Unused: true}
)

func TestCodecRoundTrip(t *testing.T) {
	b := sampleTransition.Append([]byte("x"))[1:]
	if got, want := len(b), fsm.TransitionSize; got != want {
		t.Errorf("transition size: got %d, want %d", got, want)
	}
	if got, err := fsm.DecodeTransition(b); err != nil || got != sampleTransition {
		t.Errorf("transition: got %v, %v, want %v", got, err, sampleTransition)
	}
	b = sampleState.Append([]byte("x"))[1:]
	if got, want := len(b), fsm.StateSize; got != want {
		t.Errorf("state size: got %d, want %d", got, want)
	}
	if got, err := fsm.DecodeState(b); err != nil || got != sampleState {
		t.Errorf("state: got %v, %v, want %v", got, err, sampleState)
	}
	b = fsm.AppendSnapshot([]byte("x"), sampleState)[1:]
	if got, want := len(b), fsm.SnapshotSize; got != want {
		t.Errorf("snapshot size: got %d, want %d", got, want)
	}
	if got, err := fsm.DecodeSnapshot(b); err != nil || got != sampleState {
		t.Errorf("snapshot: got %v, %v, want %v", got, err, sampleState)
	}
}

func TestDecodeRefuses(t *testing.T) {
	tr, st, sn := sampleTransition.Append(nil), sampleState.Append(nil), fsm.AppendSnapshot(nil, sampleState)
	with := func(b []byte, at int, v byte) []byte {
		b = bytes.Clone(b)
		b[at] = v
		return b
	}
	transition := func(b []byte) error { _, err := fsm.DecodeTransition(b); return err }
	state := func(b []byte) error { _, err := fsm.DecodeState(b); return err }
	snapshot := func(b []byte) error { _, err := fsm.DecodeSnapshot(b); return err }
	tests := []struct {
		name   string
		decode func([]byte) error
		bytes  []byte
		want   error
	}{
		{"transition empty", transition, nil, fsm.ErrMalformed},
		{"transition short", transition, tr[:len(tr)-1], fsm.ErrMalformed},
		{"transition long", transition, append(bytes.Clone(tr), 0), fsm.ErrMalformed},
		{"transition version 0", transition, with(tr, 0, 0), fsm.ErrMalformed},
		{"transition version 2", transition, with(tr, 0, 2), fsm.ErrVersion},
		{"transition version 2, other length", transition, []byte{2}, fsm.ErrVersion},
		{"transition flags", transition, with(tr, len(tr)-1, 4), fsm.ErrMalformed},
		{"state empty", state, nil, fsm.ErrMalformed},
		{"state short", state, st[:len(st)-1], fsm.ErrMalformed},
		{"state version 255", state, with(st, 0, 255), fsm.ErrVersion},
		{"snapshot empty", snapshot, nil, fsm.ErrMalformed},
		{"snapshot magic only", snapshot, sn[:8], fsm.ErrMalformed},
		{"snapshot other magic", snapshot, with(sn, 0, 'T'), fsm.ErrMalformed},
		{"snapshot short", snapshot, sn[:len(sn)-1], fsm.ErrMalformed},
		{"snapshot version 2", snapshot, with(sn, 8, 2), fsm.ErrVersion},
		{"snapshot damaged", snapshot, with(sn, 20, sn[20]^1), fsm.ErrChecksum},
		{"snapshot checksum damaged", snapshot, with(sn, len(sn)-1, sn[len(sn)-1]^1), fsm.ErrChecksum},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.decode(tt.bytes); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

// The layout of a version is fixed for ever: members of different releases read each other's logs.
func TestLayout(t *testing.T) {
	b := fsm.Transition{From: mark(1, 2, 3), To: mark(4, 5, 6), Term: 7, Unused: true}.Append(nil)
	want := make([]byte, 146)
	want[0] = 1
	want[4], want[5], want[36], want[37] = 1, 2, 2, 3
	want[72], want[73], want[104], want[105] = 4, 5, 8, 6
	want[144], want[145] = 7, 1
	if !bytes.Equal(b, want) {
		t.Errorf("transition:\n got %x\nwant %x", b, want)
	}
}

func FuzzDecodeTransition(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(sampleTransition.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		tr, err := fsm.DecodeTransition(b)
		if err == nil && !bytes.Equal(tr.Append(nil), b) {
			t.Errorf("%x decodes to %v, which encodes differently", b, tr)
		}
	})
}

func FuzzDecodeState(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(sampleState.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		st, err := fsm.DecodeState(b)
		if err == nil && !bytes.Equal(st.Append(nil), b) {
			t.Errorf("%x decodes to %v, which encodes differently", b, st)
		}
	})
}

func FuzzDecodeSnapshot(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(fsm.AppendSnapshot(nil, sampleState))
	f.Fuzz(func(t *testing.T, b []byte) {
		st, err := fsm.DecodeSnapshot(b)
		if err == nil && !bytes.Equal(fsm.AppendSnapshot(nil, st), b) {
			t.Errorf("%x decodes to %v, which encodes differently", b, st)
		}
	})
}
