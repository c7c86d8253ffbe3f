package gate_test

import (
	"errors"

	"github.com/thinrelay/thinrelay/fsm"
	"github.com/thinrelay/thinrelay/relay/gate"
)

// coverage counts what an exploration met on its way, so that a test can tell that it looked where it hurts.
type coverage struct {
	answers   [16]int // reasons of refused offers
	inherited int     // a right given by an earlier leader was used
	oldWrote  int     // a deposed leader wrote after its successor's mark
	oldEmit   int     // a deposed leader used its right after its successor's mark was agreed
	sameHeight,
	resend,
	resolved, resolvedSame,
	foreign, // a move at the height of a foreign mark was refused by the gate
	stale, term, lower, foreignEntry, used int // entries refused
}

func (c *coverage) refused(err error) {
	switch {
	case errors.Is(err, fsm.ErrStale):
		c.stale++
	case errors.Is(err, fsm.ErrTerm):
		c.term++
	case errors.Is(err, fsm.ErrLower):
		c.lower++
	case errors.Is(err, fsm.ErrForeign):
		c.foreignEntry++
	case errors.Is(err, fsm.ErrUsed):
		c.used++
	}
}

func (e *engine) deposed(w *world, r uint8) bool {
	return w.chief != r+1 && e.states[w.newest()].Term == uint64(w.term) && w.lead[r] != 0 && w.lead[r] < w.term
}

func (c *coverage) emit(e *engine, w *world, r uint8) {
	if e.inherits(w, r) {
		c.inherited++
	}
	if e.deposed(w, r) {
		c.oldEmit++
	}
}

func (c *coverage) write(e *engine, w *world, r uint8) {
	if e.deposed(w, r) && w.chief != 0 && w.out[w.chief-1] != ([maxHeight]uint8{}) {
		c.oldWrote++
	}
}

func (c *coverage) add(o *coverage) {
	for i, n := range o.answers {
		c.answers[i] += n
	}
	for _, p := range [...][2]*int{
		{&c.inherited, &o.inherited},
		{&c.oldWrote, &o.oldWrote},
		{&c.oldEmit, &o.oldEmit},
		{&c.sameHeight, &o.sameHeight},
		{&c.resend, &o.resend},
		{&c.resolved, &o.resolved},
		{&c.resolvedSame, &o.resolvedSame},
		{&c.foreign, &o.foreign},
		{&c.stale, &o.stale},
		{&c.term, &o.term},
		{&c.lower, &o.lower},
		{&c.foreignEntry, &o.foreignEntry},
		{&c.used, &o.used},
	} {
		*p[0] += *p[1]
	}
}

// reached names what every run has to come across.
func (c *coverage) reached() map[string]int {
	m := map[string]int{
		"a takeover uses an inherited right":                            c.inherited,
		"a deposed leader writes beside its successor":                  c.oldWrote,
		"a deposed leader uses its right after its successor's mark":    c.oldEmit,
		"the source is switched at one height":                          c.sameHeight,
		"an inherited right is given to another source":                 c.resolved,
		"an inherited right is given to the source that had it":         c.resolvedSame,
		"a decided block is sent again":                                 c.resend,
		"a successor is refused a move at the height of a foreign mark": c.foreign,
		"an entry is refused as stale":                                  c.stale,
		"an entry is refused for its term":                              c.term,
	}
	for _, r := range [...]gate.Reason{gate.Unlinked, gate.Height, gate.Slot, gate.Source, gate.NotLeader, gate.Pending, gate.Duplicate} {
		m["a block is refused or waits: "+r.String()] = c.answers[r]
	}
	return m
}
