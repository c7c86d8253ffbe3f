package relay

import (
	"slices"
	"time"

	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/ring"
	"github.com/thinrelay/thinrelay/relay/wire"
)

const (
	// leadGrace is how long a new leader waits for the replica that holds the
	// mark to show up (over a link, say) before it chooses another; see grace.
	leadGrace = 300 * time.Millisecond
	// votesFor is how long after the last vote of others the vote gate is
	// taken to work, in slots.
	votesFor = 20
	// wakeSlots is how long a standby takes to begin signing, in slots: it looks
	// at its votes when it begins a block, and late in a round that is up to
	// 450 ms before the slot before (p2p notes, 7.5 and 14.5).
	wakeSlots = 2
	// trxRotate is the generation of the transaction filter: nodeos itself
	// remembers them for 10 s (net_plugin.cpp:3127).
	trxRotate = 10 * time.Second
	// trxWindow bounds a generation of that filter, in transactions.
	trxWindow = 1 << 16
)

// rounds is what the hub remembers of our slots.
type rounds struct {
	last   wire.Slot // last slot for which a block of ours was emitted
	next   time.Time // when that slot and the one after it are over, by the monotonic clock
	judged wire.Slot // slots up to here have been looked at
	closed wire.Slot // and here: they are a slot older
	since  time.Time // when the active replica became so
	wish   wish      // the block that last had to wait for a proposal
	mode   director.Mode
	moded  bool
	stuck  time.Time // since when the mark is unresolved
	asked  time.Time // when upstreams were last asked for all they have because of that
}

// wish is a block, by a source, that waits for the mark.
type wish struct{ block, source wire.ID }

func (r *rounds) reset(now wire.Slot) {
	r.judged, r.closed = max(r.judged, now), max(r.closed, now)
	r.wish, r.stuck = wish{}, time.Time{}
}

// emitted notes that a block for the slot, whose time comes in so long, was emitted.
func (r *rounds) emitted(s wire.Slot, lead, length time.Duration) {
	r.last = max(r.last, s)
	r.next = time.Now().Add(min(lead, director.RoundSlots*length) + 2*length)
}

// onTick does what depends on the clock.
func (h *hub) onTick(now time.Time) {
	h.endOverslept(now)
	h.watchSilence(now)
	h.dun(now) // what it proves is for resume to know
	h.resume(now)
	h.recallLater(now)
	h.votes.expire(now)
	if now.Sub(h.rotated) >= trxRotate {
		h.rotated = now
		h.trx.Rotate()
	}
	h.checkMode(now)
	h.watchAnchor(now)
	h.reviewAside(now)
	h.spreadNotes(now)
	h.judge(now)
	if h.lead == nil {
		return
	}
	h.direct(now)
	h.pump()
	h.align()
	h.watchUnresolved(now)
}

// mode is the mode in force: votes only where votes are seen.
func (h *hub) mode() director.Mode { return h.round.mode }

// checkMode falls back to passive where no votes are seen, and says so.
func (h *hub) checkMode(now time.Time) {
	mode := director.Passive
	if h.cfg.Mode == director.Votes && now.Sub(h.votes.heard) < votesFor*h.cfg.SlotLength && h.votable() {
		mode = director.Votes
	}
	if h.round.moded && mode == h.round.mode {
		return
	}
	h.round.mode, h.round.moded = mode, true
	h.record(Record{Kind: ModeChange, Text: mode.String()})
}

// votable reports whether votes can be cast on this chain at all. An upstream can make
// votes up, and replicas before Savanna, which all sign, do not judge them. It can make a
// block up as well, but not one that the mark names: our replicas built that, or on it.
func (h *hub) votable() bool {
	e := h.ring.Get(wire.ID(h.gate.State().Mark.Last))
	if e == nil {
		e = h.believable(h.head())
	}
	return e == nil || e.Block.Savanna()
}

// judge looks at each slot of ours whose time, and LateAfter, have passed. A
// block that is not there, and has had the time to come, makes the active replica late; that the slot is
// missed for good is recorded a slot later.
func (h *hub) judge(now time.Time) {
	due := h.clock.SlotAt(now.Add(-h.cfg.LateAfter))
	h.eachOurs(&h.round.judged, h.clock.SlotAt(now.Add(-h.cfg.LateAfter-h.wayFrom(h.dir.Active()))), func(slot wire.Slot) { h.judgeSlot(slot, now) })
	h.eachOurs(&h.round.closed, max(due, 1)-1, func(slot wire.Slot) {
		if !h.filled(slot) && (h.lead == nil || now.Sub(h.lead.began) >= leadGrace) {
			h.record(Record{Kind: Missed, Block: wire.Block{Slot: slot}})
		}
	})
}

// wayFrom is how long a block of the replica is on its way at most. Where every replica is far
// away the first block of a round would be late from each of them, and a change at each
// round costs two slots of it.
func (h *hub) wayFrom(id wire.ID) time.Duration { return min(h.wayTo(id), h.cfg.SlotLength/2) }

// eachOurs calls yield for our slots after from, which it moves up to due, or
// back to it when the clock was set back: what was looked at has yet to come.
func (h *hub) eachOurs(from *wire.Slot, due wire.Slot, yield func(wire.Slot)) {
	if *from > due+director.RoundSlots {
		*from = due
	}
	*from = max(*from, max(due, director.RoundSlots)-director.RoundSlots)
	for *from < due {
		if *from++; h.sched.Ours(*from) {
			yield(*from)
		}
	}
}

// filled reports whether the slot has a block of ours that left, or is known of
// the network.
func (h *hub) filled(slot wire.Slot) (found bool) {
	for e := h.front(); e != nil && e.Block.Slot >= slot && !found; e = h.ring.Parent(e) {
		h.ring.At(e.Block.Num(), func(other *ring.Entry) bool {
			found = other.Public && other.Block.Slot == slot && h.sched.IsOurs(other.Block.Producer)
			return !found
		})
	}
	return found
}

// judgeSlot judges one slot of ours.
func (h *hub) judgeSlot(slot wire.Slot, now time.Time) {
	switch {
	case h.lead == nil, now.Sub(h.lead.began) < h.grace():
		return
	case h.round.last >= slot, h.tipSlot() >= slot:
		return
	}
	active := h.dir.Active()
	switch {
	case active == wire.ID{}:
		return // nobody is to blame
	case h.waiting(active, slot):
		return // the block is here, and the group is slow
	case h.clock.TimeOf(slot).Sub(h.round.since) < wakeSlots*h.cfg.SlotLength:
		return // it was a standby when it began this block
	}
	h.dir.Late(now)
}

// tipSlot returns the slot of the tip. One that an upstream alone tells, while there is
// another, may be made up to excuse a replica that hangs.
func (h *hub) tipSlot() wire.Slot {
	if tip := h.believable(h.front()); tip != nil {
		return tip.Block.Slot
	}
	return 0
}

// waiting reports whether a block of the source for the slot, or a later one,
// has come and waits, for the group and not in vain: it builds on the mark. The first
// of a round may do so while the mark is still at our round before.
func (h *hub) waiting(source wire.ID, slot wire.Slot) bool {
	w := h.round.wish
	if e := h.ring.Get(w.block); e != nil && w.source == source && e.Block.Slot >= slot && h.gate.Outstanding() {
		return true
	}
	found := false
	mark := h.gate.State().Mark
	for num := mark.Height() + 1; num <= mark.Height()+2 && !found; num++ {
		h.ring.At(num, func(e *ring.Entry) bool {
			parent := h.ring.Ancestor(e, mark.Height()+1)
			found = e.Block.Slot >= slot && e.From(source) && parent != nil && parent.Block.Previous == wire.ID(mark.Last)
			return !found
		})
	}
	return found
}

// direct lets the director choose, and follows its choice.
func (h *hub) direct(now time.Time) {
	if now.Sub(h.lead.began) < h.grace() && !h.fit(h.dir.Active()) {
		return // the followers have not all said yet who is connected to them
	}
	before := h.dir.Active()
	_, cause := h.dir.Choose(h.candidates(), now)
	if cause == "" {
		return
	}
	ready := h.readySource(before)
	switch {
	case ready != wire.ID{}:
		h.dir.Adopt(ready)
	case cause == director.CauseLate && h.mode() == director.Passive:
		// All replicas sign, each its own branch: another one's next block
		// would not link, and the late one's still may.
		h.dir.Adopt(before)
		h.dir.Forgive(before)
		return
	}
	h.onActive(cause)
	h.align()
}

// grace is how long a new leader waits for the replica that holds the mark. In our round that
// replica is at work, and another one begins two slots later at the earliest: there it is
// waited for as long as a follower on the other side of the world takes to say who is
// connected to it, three round trips. Before our round no other one is woken while no upstream has
// told what was missed: it would begin the round on what it has.
func (h *hub) grace() time.Duration {
	switch slot := h.clock.SlotAt(time.Now()); {
	case h.mode() == director.Votes && !h.sched.Ours(slot) && !h.shown():
		return gapFor
	case h.sched.Ours(slot + 1):
		return max(leadGrace, 2*h.cfg.SlotLength)
	}
	return leadGrace
}

// shown reports whether an upstream is connected whose head is known: what was missed has come.
func (h *hub) shown() bool {
	return slices.ContainsFunc(h.upSet, func(u *upPeer) bool { return u.placed && !h.lags(u) })
}

// readySource returns a live replica other than except whose child of the mark, or of the
// network's head that the mark was not moved to, has come already: it can go on at once. Zero when there is none.
func (h *hub) readySource(except wire.ID) wire.ID {
	mark := h.gate.State().Mark
	ready := h.readyOn(wire.ID(mark.Last), except)
	if head := h.believable(h.head()); ready.IsZero() && head != nil && head.Network && head.Block.Num() > mark.Height() {
		ready = h.readyOn(head.Block.ID, except)
	}
	return ready
}

// readyOn is readySource for the children of one block.
func (h *hub) readyOn(parent, except wire.ID) (ready wire.ID) {
	h.ring.At(parent.Num()+1, func(e *ring.Entry) bool {
		if e.Block.Previous != parent || e.Decided {
			return true
		}
		for _, o := range e.Origins {
			if o.ID != except && h.fit(o.ID) {
				ready = o.ID
				return false
			}
		}
		return true
	})
	return ready
}
