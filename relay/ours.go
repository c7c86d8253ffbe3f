package relay

import (
	"time"

	"github.com/thinrelay/thinrelay/fsm"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/gate"
	"github.com/thinrelay/thinrelay/relay/ring"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// onOurBlock takes a block that a replica signed: it is kept, with its origin,
// and offered to the gate (by the leader) or sent to the leader. A replica of
// two relays echoes to the one what it heard from the other, as every nodeos
// does: a block that is public says nothing about who signed it.
func (h *hub) onOurBlock(b wire.Block, f *wire.Frame, o ring.Origin, from *peer, at time.Time) {
	if e := h.ring.Get(b.ID); e != nil && e.Public {
		h.ring.Note(e, from.number)
		h.credit(e)
		return
	}
	if !h.sched.IsOurs(b.Producer) {
		if h.lead != nil { // a follower may hear an echo before the leader's word
			h.record(Record{Kind: Refused, Block: b, Source: o.ID, Name: h.sourceName(o.ID), Reason: gate.NotOurs})
		}
		return
	}
	e := h.keep(b, f)
	if e == nil {
		h.record(Record{Kind: Refused, Block: b, Source: o.ID, Name: h.sourceName(o.ID), Reason: gate.Unlinked})
		return
	}
	h.ring.Note(e, from.number)
	if p := h.ring.Parent(e); p != nil && p.Emitted {
		defer h.credit(p) // it is ours and has gone: nothing here hangs on that, and this one is in a hurry
	} else {
		h.credit(p)
	}
	if e.From(o.ID) {
		if h.vouch(e, o) {
			h.take(e, o, at)
		}
		return
	}
	if h.otherChild(e, o.ID) {
		o.Watched = false
		if h.lead != nil { // a follower may take a sibling's block, echoed by this replica, for its own
			h.record(Record{Kind: Equivocation, Block: b, Source: o.ID, Name: h.sourceName(o.ID)})
		}
	}
	e.Origins = append(e.Origins, o)
	h.dir.Forgive(o.ID)
	h.decideLate(e)
	h.take(e, o, at)
}

// take does with a block of ours what this relay's part is.
func (h *hub) take(e *ring.Entry, o ring.Origin, at time.Time) {
	if h.lead == nil {
		h.passUp(e, o)
		return
	}
	h.offer(e, o, at)
}

// vouch takes the word of a second relay for a block that is here: it may have
// watched the source for longer. It reports whether that is news.
func (h *hub) vouch(e *ring.Entry, o ring.Origin) bool {
	for i := range e.Origins {
		if known := &e.Origins[i]; known.ID == o.ID && o.Watched && !known.Watched && !h.otherChild(e, o.ID) {
			known.Watched = true
			return true
		}
	}
	return false
}

// otherChild reports whether the ring holds another child of e's parent by the
// source.
func (h *hub) otherChild(e *ring.Entry, source wire.ID) bool {
	found := false
	h.ring.At(e.Block.Num(), func(other *ring.Entry) bool {
		found = other != e && other.Block.Previous == e.Block.Previous && other.From(source)
		return !found
	})
	return found
}

// offer puts a block of ours before the gate and does what it says.
func (h *hub) offer(e *ring.Entry, o ring.Origin, at time.Time) {
	h.endOverslept(time.Now())
	v := h.ask(e, o)
	switch v.Action {
	case gate.Emit:
		if !e.Decided { // or it was let go by a leadership here that lost its proposal, and goes to who lacks it (resume)
			h.emit(e, o, at)
		}
		h.propose(v.Propose)
	case gate.Reserve:
		h.propose(v.Propose)
		h.round.wish = wish{e.Block.ID, o.ID}
	case gate.Wait:
		h.displace(e.Block.ID)
		h.round.wish = wish{e.Block.ID, o.ID}
	case gate.Refuse:
		h.refuse(e, o.ID, v.Reason)
	}
}

// ask is what the gate says of e. A block that is lost is not put before it, nor one that
// would need the mark moved to its parent but when its source may speak, nor one that is too early yet.
func (h *hub) ask(e *ring.Entry, o ring.Origin) gate.Verdict {
	mark := h.gate.State().Mark
	var parent gate.Parent
	if p := h.ring.Parent(e); p != nil {
		parent = gate.Parent{Public: p.Network, Slot: uint32(p.Block.Slot)}
	}
	if parent.Public && e.Block.Num() > mark.Height() { // else the gate refuses it, and nobody is to speak for that
		switch {
		case h.lost(e):
			return gate.Verdict{Action: gate.Refuse, Reason: gate.Height}
		case wire.ID(mark.Last) != e.Block.Previous && !h.maySpeak(o.ID):
			return gate.Verdict{Action: gate.Refuse, Reason: gate.Source}
		case h.tooEarly(e, o.ID):
			return gate.Verdict{Action: gate.Wait, Reason: gate.Pending}
		}
	}
	return h.gate.Offer(gate.Block{
		ID:       fsm.BlockID(e.Block.ID),
		Previous: fsm.BlockID(e.Block.Previous),
		Slot:     uint32(e.Block.Slot),
		Source:   fsm.NodeID(o.ID),
		Watched:  o.Watched,
	}, parent)
}

// maySpeak reports whether the right to follow the network's chain may be
// reserved for the source: the active replica, or, where all replicas sign,
// whoever is first while the active one is silent, and no block of that one waits for the group. An observer
// may pass on a block of ours that nobody else is here for: that makes it no producer.
func (h *hub) maySpeak(id wire.ID) bool {
	active := h.dir.Active()
	if active == id {
		return true
	}
	if s := h.sources[id]; s != nil && s.observer {
		return false
	}
	waits := h.gate.Outstanding() && h.round.wish.source == active
	if active == (wire.ID{}) || (h.mode() == director.Passive && !h.fit(active) && !waits) {
		h.dir.Adopt(id)
		h.onActive(director.CauseChosen)
		return true
	}
	return false
}

// emit sends a granted block: first to the upstreams, then to everyone else.
func (h *hub) emit(e *ring.Entry, o ring.Origin, at time.Time) {
	e.Decided, e.Emitted = true, true
	for _, u := range h.upSet {
		h.supplyUp(u, e)
	}
	now := time.Now()
	lead := h.clock.TimeOf(e.Block.Slot).Sub(now)
	h.round.emitted(e.Block.Slot, lead, h.cfg.SlotLength)
	h.record(Record{Kind: Forwarded, At: now, Block: e.Block, Source: o.ID, Name: h.sourceName(o.ID), Delay: now.Sub(at), Lead: lead})
	h.publish(e, nil)
}

// pump offers again what waits for the mark: children of it by its source,
// then the block that last had to wait.
func (h *hub) pump() {
	if h.lead == nil || h.gate.Outstanding() {
		return
	}
	mark := h.gate.State().Mark
	h.offerChildren(wire.ID(mark.Last), mark.Height(), wire.ID(mark.Source))
	if h.gate.Outstanding() {
		return
	}
	w := h.round.wish
	h.round.wish = wish{} // once: what is refused now would be refused at every tick
	if e := h.ring.Get(w.block); e != nil && !e.Decided {
		h.offerOrigin(e, w.source)
	}
}

// displace says that the block that had to wait is given up for another. That
// of the active replica is not: it is found again as a child of the mark.
func (h *hub) displace(by wire.ID) {
	w := h.round.wish
	if e := h.ring.Get(w.block); e != nil && !e.Decided && w.block != by && w.source != h.dir.Active() {
		h.refuse(e, w.source, gate.Pending)
	}
}

// onNewParent offers the active replica's block that came before its parent
// was known to be on the network.
func (h *hub) onNewParent(parent *ring.Entry) {
	if !h.gate.Outstanding() {
		h.offerChildren(parent.Block.ID, parent.Block.Num(), h.dir.Active())
	}
}

// offerChildren offers the source's children of a block that wait in the ring, or
// one that was let go and did not come to be the mark: what builds on it cannot
// go before it is.
func (h *hub) offerChildren(parent wire.ID, height uint32, source wire.ID) {
	if (source == wire.ID{}) {
		return
	}
	var child *ring.Entry
	mark := wire.ID(h.gate.State().Mark.Last)
	h.ring.At(height+1, func(e *ring.Entry) bool {
		if e.Block.Previous == parent && (!e.Decided || parent == mark) && e.From(source) {
			child = e // the ring lists the newest first: keep the oldest
		}
		return true
	})
	if child != nil {
		h.offerOrigin(child, source)
	}
}

// offerOrigin offers e as the block of one of its origins.
func (h *hub) offerOrigin(e *ring.Entry, source wire.ID) {
	for _, o := range e.Origins {
		if o.ID == source {
			h.offer(e, o, time.Now())
			return
		}
	}
}

// align keeps the mark where our next block will need it: on the network's
// head when the next slot is ours, and with the active replica. Doing so ahead
// of time saves the next block a round trip through the group.
func (h *hub) align() {
	active := h.dir.Active()
	tip := h.believable(h.head())
	if h.lead == nil || tip == nil || h.gate.Outstanding() || (active == wire.ID{}) {
		return
	}
	mark := h.gate.State().Mark
	to := fsm.Mark{Last: mark.Last, Slot: mark.Slot, Source: fsm.NodeID(active)}
	if tip.Block.Num() > mark.Height() {
		if !tip.Network || !h.nextIsOurs(tip) || !h.inReach(tip, mark) || h.tooLate(tip) {
			return
		}
		to.Last, to.Slot = fsm.BlockID(tip.Block.ID), uint32(tip.Block.Slot)
	} else if wire.ID(mark.Last) != tip.Block.ID {
		return
	}
	if t, ok := h.gate.Move(to); ok {
		h.propose(t)
	}
}

// nextIsOurs reports whether the slot after the tip, or the one that is being
// built now if that is later, is known to be ours.
func (h *hub) nextIsOurs(tip *ring.Entry) bool {
	next := max(tip.Block.Slot, h.clock.SlotAt(time.Now())) + 1
	return h.sched.Ours(next) || h.sched.Ours(tip.Block.Slot+1)
}

// inReach reports whether a block is as high as one that follows the mark can be: a slot has
// one at most. To an empty ring the upstream that answers first can tell any height, and a
// mark that is moved there never comes down.
func (h *hub) inReach(e *ring.Entry, mark fsm.Mark) bool {
	if h.credible(e) || mark == (fsm.Mark{}) {
		return h.credible(e)
	}
	slot := min(e.Block.Slot, h.clock.SlotAt(time.Now())+AheadOfTime)
	return int64(e.Block.Num())-int64(mark.Height()) <= int64(slot)-int64(mark.Slot)
}
