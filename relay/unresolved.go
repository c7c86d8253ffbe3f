package relay

import (
	"time"

	"github.com/thinrelay/thinrelay/fsm"
	"github.com/thinrelay/thinrelay/relay/ring"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// wakeTime is how long after it has stood still a member may take itself for the leader that it was: so long a new
// leadership may be one that was won before.
const wakeTime = time.Second

// watchUnresolved says once that a new leader cannot know whether the mark's
// right was used, and so has to wait for the network to move past it. Where
// nobody else produces it never will: there the operator may set for how long
// to wait (UnresolvedAfter).
func (h *hub) watchUnresolved(now time.Time) {
	if !h.unresolved(now) {
		h.round.stuck = time.Time{}
		return
	}
	mark := h.gate.State().Mark
	if h.round.stuck.IsZero() {
		h.round.stuck = now
		h.record(Record{
			Kind: Unresolved, Block: wire.Block{ID: wire.ID(mark.Last)}, Source: wire.ID(mark.Source), Name: h.sourceName(wire.ID(mark.Source)),
			Text: "an earlier leader may have sent its next block: waiting for the network to show a higher one",
		})
	}
	active := h.dir.Active()
	over := h.round.stuck.Add(h.cfg.UnresolvedAfter)
	if h.cfg.UnresolvedAfter == 0 || now.Before(over) || active.IsZero() || !h.toldUntil(over, now) {
		return
	}
	source := h.goesOn(wire.ID(mark.Last), active)
	if t, ok := h.gate.Resolve(fsm.NodeID(source)); ok {
		h.record(Record{
			Kind: Unresolved, Block: wire.Block{ID: wire.ID(mark.Last)}, Source: source, Name: h.sourceName(source),
			Text: "unresolved_after has passed and the network shows nothing higher: going on with this replica",
		})
		h.propose(t)
	}
}

// endOverslept ends a leadership in which this process has stood still for half of UnresolvedAfter, or that begins just
// after: stopped, or its host suspended (not so a virtual machine that was paused with its clocks: it cannot know). Nobody
// may have told it yet that another one leads, which may have given the right to follow the mark to somebody else, on the
// assumption that this one lets nothing go any more. Only there does S1 rest on time, so only there time ends a leadership.
func (h *hub) endOverslept(now time.Time) {
	if h.cfg.UnresolvedAfter == 0 || h.ticked.IsZero() {
		return
	}
	stood := max(now.Sub(h.ticked), now.Round(0).Sub(h.ticked.Round(0))) // the monotonic clock stands while a host is suspended
	if stood >= h.cfg.UnresolvedAfter/2 {
		h.overslept = now
	}
	if h.lead == nil || h.overslept.IsZero() || now.Sub(h.overslept) > wakeTime {
		return
	}
	h.gate.Follow()
	h.lead.fail(ErrStoodStill)
}

// unresolved reports whether the mark is inherited, nothing of the network is
// above it, and the replica that may follow it cannot.
func (h *hub) unresolved(now time.Time) bool {
	mark := h.gate.State().Mark
	switch {
	case !h.gate.Inherited(), h.gate.Outstanding(), mark == fsm.Mark{}, now.Sub(h.lead.began) <= leadGrace:
		return false
	case h.surpassed(mark.Height()):
		return false
	case h.dir.Active() != wire.ID(mark.Source):
		return true
	}
	return h.waiting(wire.ID(mark.Source), wire.Slot(mark.Slot)+1) // its block is here, and not watched
}

// surpassed reports whether the network has a block above the height. One of ours that is
// public here, because a former leader let it go, may have got to nobody.
func (h *hub) surpassed(height uint32) bool {
	tip := h.ring.Tip()
	found := tip != nil && tip.Network && tip.Block.Num() > height
	h.ring.At(height+1, func(e *ring.Entry) bool {
		found = found || e.Network && e.Public
		return !found
	})
	return found
}

// goesOn returns who is to follow the mark's block: the active replica, but where it builds on
// another one's child of that, which a former leader let go, the one that made this.
func (h *hub) goesOn(last, active wire.ID) wire.ID {
	e := h.ring.Tip()
	if e != nil {
		e = h.ring.Ancestor(e, last.Num()+1)
	}
	if e == nil || e.Block.Previous != last || len(e.Origins) == 0 || e.From(active) {
		return active
	}
	return e.Origins[0].ID
}

// toldUntil reports whether an upstream whose head is known has told all that it had got by then: it has answered what it was asked
// later, in a stream that keeps the order. An upstream that is connected and no more may have had a child of the mark for as long as its line stands still.
func (h *hub) toldUntil(then, now time.Time) bool {
	ask := now.Sub(h.round.asked) >= time.Second
	for _, u := range h.upSet {
		if !u.placed || h.lags(u) {
			continue
		}
		if !u.conn.Answered().Asked.Before(then) {
			return true
		}
		if ask {
			h.round.asked = now
			u.conn.Ask()
		}
	}
	return false
}
