// Package quarantine decides which blocks are kept from replicas: those after
// which a replica hung up, and which one upstream alone has told. Somebody has to
// see that such a block is not valid, and a relay cannot: it has neither the keys
// nor the state.
//
// It guarantees that a block which is set aside in error does no harm for long: it
// comes back as soon as a second source has it (Release), or when nothing else has
// come for a pause (Due). While the chain goes on without it nobody needs it, and a
// block that nobody builds on is hardly needed. It is pure: time comes in as an
// argument, it does no I/O and starts no goroutine; its memory is bounded, and
// noting a block allocates nothing. It never decides safety: what may be sent is for
// the gate alone.
package quarantine

import (
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

const (
	// Trial is how long after a block was first given to a replica a replica
	// that hangs up is put down to it. nodeos hangs up as soon as it has read a
	// block that is not valid (p2p notes, 5), so this is for the way, and for
	// what was queued before it.
	Trial = 2 * time.Second
	// Trials is how many blocks are remembered as on trial: what is given to
	// a replica in one go may be long, and a lie is known by its first block.
	Trials = 4096
	// Most bounds the blocks that are set aside or remembered as such.
	Most = 64
	// HangUps is how many replicas make a block a lie beyond doubt, when none
	// that has it is left: one may have ended for reasons of its own.
	HangUps = 2
	// Doubt is for how long a block is set aside, twice as long each time, up
	// to DoubtMost: one upstream alone may be all there is, and honest.
	Doubt, DoubtMost = time.Second, 8 * time.Second
	// Sure is the same for a lie beyond doubt while another upstream is there.
	Sure, SureMost = 8 * time.Second, time.Minute
	// Unbacked is how many times longer it is while nobody has built on it.
	Unbacked = 4
)

// Teller is an upstream as a source of blocks: its place in the configuration,
// from 1, so that one that comes back is the same. 0: not known, as for what the
// leader of this relay has told.
type Teller = uint8

// Quarantine knows the blocks that are set aside. It has one owner.
type Quarantine struct {
	cases map[wire.ID]*suspicion
	held  int       // cases that are set aside now
	grown time.Time // when the chain last grew by a block that is not set aside

	shown [Trials]showing // a ring
	next  int
}

// showing is when a block was first given to a replica.
type showing struct {
	id wire.ID
	at time.Time
}

// suspicion is what is held against one block.
type suspicion struct {
	teller Teller
	since  time.Time // when it was last set aside
	times  int       // how often it was
	blamed int       // replicas that hung up
	last   int       // those of them that had got nothing later on trial
	sure   bool
	out    bool // not set aside any more; remembered, since it may be again
}

// New returns a quarantine that is empty.
func New() *Quarantine {
	return &Quarantine{cases: make(map[wire.ID]*suspicion)}
}

// Len returns how many blocks are set aside, not counting their descendants.
func (q *Quarantine) Len() int { return q.held }

// Full reports whether one more block would take the place of another.
func (q *Quarantine) Full() bool { return len(q.cases) >= Most }

// Known returns how many blocks are or have been set aside and are remembered.
func (q *Quarantine) Known() int { return len(q.cases) }

// Holds reports whether the block is set aside, for itself: its descendants are
// for the caller to know.
func (q *Quarantine) Holds(id wire.ID) bool {
	if q.held == 0 {
		return false
	}
	s := q.cases[id]
	return s != nil && !s.out
}

// Show notes that a block is given to a replica for the first time.
func (q *Quarantine) Show(id wire.ID, now time.Time) {
	q.shown[q.next] = showing{id, now}
	q.next = (q.next + 1) % Trials
}

// OnTrial calls yield for each block on trial, in the order they were shown.
func (q *Quarantine) OnTrial(now time.Time, yield func(wire.ID)) {
	for i := range Trials {
		if s := &q.shown[(q.next+i)%Trials]; !s.at.IsZero() && now.Sub(s.at) <= Trial {
			yield(s.id)
		}
	}
}

// Accuse sets a block aside since a replica hung up while it was on trial. It
// reports whether that is new. A block that finds no room stays as it is.
func (q *Quarantine) Accuse(id wire.ID, t Teller, now time.Time) bool {
	s := q.cases[id]
	switch {
	case s == nil && !q.room(now):
		return false
	case s == nil:
		s = &suspicion{}
		q.cases[id] = s
	case !s.out:
		return false
	}
	s.since, s.out, s.teller = now, false, t
	s.times++
	q.held++
	return true
}

// room makes room for one more, by the oldest that is not of this moment.
func (q *Quarantine) room(now time.Time) bool {
	if len(q.cases) < Most {
		return true
	}
	var oldest wire.ID
	at := now
	for id, s := range q.cases {
		if s.since.Before(at) {
			oldest, at = id, s.since
		}
	}
	q.Release(oldest)
	return len(q.cases) < Most
}

// Blame notes that a replica hung up that had got this block. last: it had got
// nothing later on trial. borne: a replica that has the block is still there.
func (q *Quarantine) Blame(id wire.ID, last, borne bool) {
	s := q.cases[id]
	if s == nil {
		return
	}
	s.blamed++
	if last {
		s.last++
	}
	s.sure = s.blamed >= HangUps && !borne
}

// Lied reports whether an upstream has been seen to lie beyond doubt: as many
// replicas as HangUps asks for hung up after blocks that it alone has told, and
// that nobody has told since. Only the last block that each had got counts.
func (q *Quarantine) Lied(t Teller) bool {
	n := 0
	for _, s := range q.cases {
		if s.teller == t {
			n += s.last
		}
	}
	return t != 0 && n >= HangUps
}

// Grew notes that the chain has grown by a block that is not set aside.
func (q *Quarantine) Grew(now time.Time) { q.grown = now }

// Release drops all that is held against a block: somebody else has it. It
// reports whether it was set aside.
func (q *Quarantine) Release(id wire.ID) bool {
	s := q.cases[id]
	if s == nil {
		return false
	}
	delete(q.cases, id)
	if !s.out {
		q.held--
	}
	return !s.out
}

// Due ends the time of blocks that have been set aside for long enough while
// nothing else came, and calls out for each. others reports whether an upstream
// other than the teller is there, backed whether a block is known that builds on
// this one.
func (q *Quarantine) Due(now time.Time, others func(Teller) bool, backed func(wire.ID) bool, out func(wire.ID)) {
	for id, s := range q.cases {
		if s.out {
			continue
		}
		from := s.since
		if q.grown.After(from) {
			from = q.grown
		}
		pause := s.pause(others)
		if waited := now.Sub(from); waited >= Unbacked*pause || waited >= pause && backed(id) {
			s.out = true
			q.held--
			out(id)
		}
	}
}

func (s *suspicion) pause(others func(Teller) bool) time.Duration {
	first, most := Doubt, DoubtMost
	if s.sure && others(s.teller) {
		first, most = Sure, SureMost
	}
	return min(first<<min(s.times-1, 16), most)
}

// Forget drops the cases of blocks that are known no more. It reports whether
// one of them was set aside.
func (q *Quarantine) Forget(known func(wire.ID) bool) (held bool) {
	for id := range q.cases {
		if !known(id) {
			held = q.Release(id) || held
		}
	}
	return held
}
