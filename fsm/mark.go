package fsm

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
)

// Errors of [State.Apply]. A refused entry changes nothing.
var (
	// ErrStale is returned when a transition starts from a mark that is not the current one.
	ErrStale = errors.New("the mark is no longer the one this transition starts from")

	// ErrTerm is returned when an entry was appended in another Raft term than its proposer believed to lead.
	ErrTerm = errors.New("the entry belongs to another term than the leadership that proposed it")

	// ErrLower is returned when a transition or a snapshot would lower the height of the mark.
	ErrLower = errors.New("the height of the mark must not fall")

	// ErrForeign is returned when the mark of a height would be replaced, at that height, by another term than the one that set it.
	ErrForeign = errors.New("a mark of this height was set by another term, which alone can know that it is unused")

	// ErrUsed is returned when the mark of a height would be replaced, at that height, without the declaration that it is unused.
	ErrUsed = errors.New("the current mark may have been used, so only a greater height can follow it")
)

// BlockID is the id of a block. Its first four bytes are the block's height, big-endian.
type BlockID [32]byte

// Num returns the height of the block.
func (id BlockID) Num() uint32 { return binary.BigEndian.Uint32(id[:4]) }

// String returns the id in 64 hex digits.
func (id BlockID) String() string { return hex.EncodeToString(id[:]) }

// Short returns eight hex digits of the bytes after the height, enough to tell the forks of one height apart.
func (id BlockID) Short() string { return hex.EncodeToString(id[4:8]) }

// NodeID names one nodeos process: it is drawn at random when the process starts and sent in its handshake.
type NodeID [32]byte

// String returns the id in 64 hex digits.
func (id NodeID) String() string { return hex.EncodeToString(id[:]) }

// Mark reads: the cluster has forwarded up to Last; the only block that may have followed it is Source's child of Last.
type Mark struct {
	// Last is the last block forwarded, or the block by someone else that our next block has to follow.
	Last BlockID
	// Slot is the slot of Last, in units of 500 ms since 2000-01-01T00:00Z. A child needs a greater one.
	Slot uint32
	// Source is the nodeos process whose child of Last is the one that may go.
	Source NodeID
}

// Height returns the height of Last.
func (m Mark) Height() uint32 { return m.Last.Num() }

// String returns the mark as it is shown in logs.
func (m Mark) String() string {
	return fmt.Sprintf("#%d %s slot %d source %s", m.Height(), m.Last.Short(), m.Slot, hex.EncodeToString(m.Source[:4]))
}

// State is the replicated state. The zero State says that nothing has ever been forwarded.
type State struct {
	Mark Mark
	// Term is the Raft term of the entry that set Mark, 0 for the zero State.
	Term uint64
}

// Transition is a proposal to move the mark.
type Transition struct {
	// From is the mark the proposer saw. The transition applies to no other.
	From Mark
	// To is the mark to be set.
	To Mark
	// Term is the Raft term the proposer leads.
	Term uint64
	// Unused declares that the proposer has not used the right that From gives and, from the moment of proposing,
	// never will. It is needed only when To has the height of From.
	Unused bool
	// Unresolved replaces, at its height, a mark that another term set and whose right that term's leader may have used.
	// It rests on time and not on proof: nobody else produces on this chain, and for as long as the operator set
	// (failover.unresolved_after) no upstream has shown a child of From. No leader proposes it unless it is told to.
	Unresolved bool
}

// Apply returns the state after t, which was appended to the log in entryTerm. It returns s and one of the errors of this
// package when the transition is refused. It is pure: all members get the same result. The package documentation
// says why each clause is there.
func (s State) Apply(t Transition, entryTerm uint64) (State, error) {
	if t.From != s.Mark {
		return s, ErrStale
	}
	if t.Term != entryTerm {
		return s, ErrTerm
	}
	switch from, to := s.Mark.Height(), t.To.Height(); {
	case to < from:
		return s, ErrLower
	case to == from && entryTerm != s.Term && !t.Unresolved:
		return s, ErrForeign
	case to == from && !t.Unused:
		return s, ErrUsed
	}
	return State{Mark: t.To, Term: entryTerm}, nil
}

// admits says whether a state taken from a snapshot may replace s. A snapshot of the same history is never lower, and
// never names an earlier term for the same height; a later one only after a Transition that was Unresolved.
func (s State) admits(n State) error {
	switch from, to := s.Mark.Height(), n.Mark.Height(); {
	case to < from:
		return fmt.Errorf("restore height %d over %d: %w", to, from, ErrLower)
	case to == from && n.Term < s.Term:
		return fmt.Errorf("restore term %d over %d at height %d: %w", n.Term, s.Term, to, ErrForeign)
	}
	return nil
}
