package fsm

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Version is the layout written by this release. The layout of a version never changes once it was released: all
// members, whatever their release, must give the same verdict on the same bytes.
const Version = 1

// Sizes in bytes of what version 1 writes.
const (
	markSize = 32 + 4 + 32

	// TransitionSize is the length of an encoded [Transition]: version, From, To, Term, flags.
	TransitionSize = 1 + 2*markSize + 8 + 1

	// StateSize is the length of an encoded [State]: version, Mark, Term.
	StateSize = 1 + markSize + 8
)

// Errors of the decoders.
var (
	// ErrMalformed is returned for bytes that name a known version and are not laid out as it says, and for no bytes at all.
	ErrMalformed = errors.New("the bytes are not a valid encoding")

	// ErrVersion is returned for bytes written by a release newer than this one.
	ErrVersion = errors.New("written by a newer release: upgrade this member before it can go on")
)

// Append appends the encoding of t to dst.
func (t Transition) Append(dst []byte) []byte {
	dst = append(dst, Version)
	dst = appendMark(dst, t.From)
	dst = appendMark(dst, t.To)
	dst = binary.BigEndian.AppendUint64(dst, t.Term)
	var flags byte
	if t.Unused {
		flags |= flagUnused
	}
	if t.Unresolved {
		flags |= flagUnresolved
	}
	return append(dst, flags)
}

// The flags of a transition.
const (
	flagUnused byte = 1 << iota
	flagUnresolved
)

// DecodeTransition reads what [Transition.Append] wrote. It wants exactly those bytes and no more.
func DecodeTransition(b []byte) (Transition, error) {
	if err := check(b, TransitionSize); err != nil {
		return Transition{}, fmt.Errorf("decode transition: %w", err)
	}
	flags := b[TransitionSize-1]
	if flags&^(flagUnused|flagUnresolved) != 0 {
		return Transition{}, fmt.Errorf("decode transition: flags %#x: %w", flags, ErrMalformed)
	}
	return Transition{
		From:       decodeMark(b[1:]),
		To:         decodeMark(b[1+markSize:]),
		Term:       binary.BigEndian.Uint64(b[1+2*markSize:]),
		Unused:     flags&flagUnused != 0,
		Unresolved: flags&flagUnresolved != 0,
	}, nil
}

// Append appends the encoding of s to dst.
func (s State) Append(dst []byte) []byte {
	dst = append(dst, Version)
	dst = appendMark(dst, s.Mark)
	return binary.BigEndian.AppendUint64(dst, s.Term)
}

// DecodeState reads what [State.Append] wrote. It wants exactly those bytes and no more.
func DecodeState(b []byte) (State, error) {
	if err := check(b, StateSize); err != nil {
		return State{}, fmt.Errorf("decode state: %w", err)
	}
	return State{Mark: decodeMark(b[1:]), Term: binary.BigEndian.Uint64(b[1+markSize:])}, nil
}

// check compares the version first: of a newer version not even the length is known.
func check(b []byte, size int) error {
	switch {
	case len(b) == 0:
		return fmt.Errorf("empty: %w", ErrMalformed)
	case b[0] > Version:
		return fmt.Errorf("version %d, known up to %d: %w", b[0], Version, ErrVersion)
	case b[0] == 0:
		return fmt.Errorf("version 0: %w", ErrMalformed)
	case len(b) != size:
		return fmt.Errorf("%d bytes, want %d: %w", len(b), size, ErrMalformed)
	}
	return nil
}

func appendMark(dst []byte, m Mark) []byte {
	dst = append(dst, m.Last[:]...)
	dst = binary.BigEndian.AppendUint32(dst, m.Slot)
	return append(dst, m.Source[:]...)
}

// decodeMark reads the first markSize bytes of b, whose length the caller has checked.
func decodeMark(b []byte) (m Mark) {
	copy(m.Last[:], b)
	m.Slot = binary.BigEndian.Uint32(b[32:])
	copy(m.Source[:], b[36:])
	return m
}
