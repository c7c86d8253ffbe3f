package relay

import (
	"time"

	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/ring"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// takesSlot is the part of a slot that a replica may take to apply a block, and its clock
// and ours may differ by.
const takesSlot = 5

// forkedOut is how many of its predecessor's last blocks a producer that had not got them
// in time leaves out, and the network with it, at most.
const forkedOut = 2

// tooLate reports whether the active replica may have begun our next block before it had
// the tip, which another producer made: a nodeos begins the first one of a round a slot
// before its time, and does not look at what comes then. Its block is as high as the tip,
// so with the mark there it would be refused, and with it all of the round, while the
// network takes it in place of the tip. What the replica builds on its block will tell.
// Where more was missing, or the tip certifies some of that, the network does not come back to
// what the replica had (Savanna: the newest certificate decides, not the length).
func (h *hub) tooLate(tip *ring.Entry) bool {
	if h.sched.IsOurs(tip.Block.Producer) {
		return false // no other one builds beside it
	}
	next := max(tip.Block.Slot, h.clock.SlotAt(time.Now())) + 1
	if !h.sched.Ours(next) {
		next = tip.Block.Slot + 1
	}
	begins := h.clock.TimeOf(next - next%director.RoundSlots).Add(-h.cfg.SlotLength - h.cfg.SlotLength/takesSlot)
	if h.cameBy(tip, begins) || h.builtOn(tip, h.dir.Active()) || h.leftBehind(tip) {
		return false
	}
	late, e := 0, tip
	for ; e != nil && e.Since.After(begins); e = h.ring.Parent(e) {
		late++
	}
	if e != nil && h.certified(tip) > e.Block.Slot {
		return false // by what it certifies it goes before ours, however long that gets
	}
	return late <= forkedOut
}

// tooEarly reports whether the active replica, its clock being ahead, begins our round while the producer before us is
// still at its own, and another replica is there: its branch would go out beside the chain, and each block of it
// count as what fills a slot. So its first block waits until half a slot before its time: by then the chain has gone past
// what it builds on. Not so on a block of ours, beside which nobody builds: the last ones of a round have no time to
// spare. Our clock may be behind: it does not wait either once as much time has passed since its
// parent was here as lies between their slots, nor when it follows in the next one, for full blocks come long ahead of time.
func (h *hub) tooEarly(e *ring.Entry, source wire.ID) bool {
	parent, now := h.ring.Parent(e), time.Now()
	if source != h.dir.Active() || e.Decided || e.Block.Slot <= parent.Block.Slot+1 || h.sched.IsOurs(parent.Block.Producer) ||
		time.Duration(e.Block.Slot-parent.Block.Slot)*h.cfg.SlotLength <= now.Sub(parent.Since) ||
		!now.Before(h.clock.TimeOf(e.Block.Slot).Add(-h.cfg.SlotLength/2)) {
		return false
	}
	for id := range h.sources {
		if id != source && h.fit(id) {
			return true
		}
	}
	return false
}

// lost reports whether a block of ours builds beside what the tip certifies: the network does not
// come back to that, and a round on it would go out beside the chain. A replica's line alone may have held
// that up.
func (h *hub) lost(e *ring.Entry) bool {
	tip, parent := h.believable(h.head()), h.ring.Parent(e)
	return tip != nil && parent != nil && h.overtaken(e, parent, tip)
}

// overtaken is lost for a block and the parent it has.
func (h *hub) overtaken(e, parent, tip *ring.Entry) bool {
	claim := tip.Block.QCClaim
	return claim.Present && claim.Num > parent.Block.Num() && claim.Num-parent.Block.Num() <= director.RoundSlots &&
		h.ring.Ancestor(tip, parent.Block.Num()) == parent && h.ring.Ancestor(tip, e.Block.Num()) != e
}

// leftBehind reports whether the active replica has begun our round with a block that is lost: the mark
// need not wait for it. Where all replicas sign, another one's is found as a child of the mark.
func (h *hub) leftBehind(tip *ring.Entry) (left bool) {
	claim := tip.Block.QCClaim.Num
	for num := claim; num > 0 && num+director.RoundSlots > claim && !left; num-- {
		h.ring.At(num, func(e *ring.Entry) bool {
			parent := h.ring.Parent(e)
			left = e.Block.Slot > tip.Block.Slot && e.From(h.dir.Active()) && parent != nil && h.overtaken(e, parent, tip)
			return !left
		})
	}
	return left
}

// builtOn reports whether the replica has built on the block.
func (h *hub) builtOn(parent *ring.Entry, replica wire.ID) (built bool) {
	h.ring.At(parent.Block.Num()+1, func(e *ring.Entry) bool {
		built = e.Block.Previous == parent.Block.ID && e.From(replica)
		return !built
	})
	return built
}

// cameBy reports whether the active replica had the block by then. One that answers is asked, or
// the relay that feeds it: there is no telling how long a line holds a block up. Of an answer that
// was long on its way it may be the question that was held up, and the block with it: so no more
// is taken off for the way back than that took at its best.
func (h *hub) cameBy(e *ring.Entry, then time.Time) bool {
	p := h.wayOf(h.dir.Active())
	if p == nil {
		return false // a new leader has yet to hear where it is
	}
	if p.pulse.last.At.IsZero() {
		return !e.Since.After(then) && !h.round.since.After(then)
	}
	return !e.Reached.IsZero() && !e.Reached.Add(-p.pulse.way()).After(then)
}
