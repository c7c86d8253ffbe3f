package relay

import (
	"time"

	"github.com/thinrelay/thinrelay/relay/ring"
)

// unheardFor is how long an upstream may say nothing while another one tells
// what the network produces, in slots: long enough for what comes a while later
// by another way, shorter than it takes to make a branch irreversible.
const unheardFor = 3

// unheard reports whether an upstream has fallen silent while another one goes
// on telling of the network: a line that is broken one way. What it has by now
// nobody knows, and a branch of ours that it gets may be one that it has dropped.
// Where others vote each slot, only silence is silent; elsewhere an upstream has
// nothing to say while our round runs, and one that lies must not speak for it. Nor must
// it before, when the producers before us miss their rounds: what it tells has to stand.
func (h *hub) unheard(u *upPeer) bool {
	now, limit := time.Now(), unheardFor*h.cfg.SlotLength
	tip := h.ring.Tip()
	if now.Sub(u.heard) < limit || !u.up.Votes() || tip == nil || !tip.Block.Savanna() || now.Sub(h.votes.heard) > votesFor*h.cfg.SlotLength {
		return false
	}
	for _, other := range h.upSet {
		told, slot := other.proved, other.stands
		if e := h.ring.Get(other.last); now.Sub(other.told) <= h.cfg.SlotLength && h.counts(e) {
			told, slot = other.told, e.Block.Slot // whether that stands, replicas say in a moment (see prove): until then nothing goes
		}
		if slot > u.slot && told.Sub(u.heard) > limit && now.Sub(other.heard) < limit {
			return true // what the silent one has told itself is no news
		}
	}
	return false
}

// prove notes that what an upstream last told of the network stands: another source has
// it, or it was given to a replica, which would have hung up on a lie by now.
func (h *hub) prove(u *upPeer, now time.Time) {
	e := h.ring.Get(u.last)
	if u.told.Equal(u.proved) || !h.counts(e) {
		return
	}
	if h.credible(e) || !e.Shown.IsZero() && now.Sub(e.Shown) > h.cfg.SlotLength/2 {
		u.proved, u.stands = u.told, e.Block.Slot
	}
}

// counts reports whether an upstream's block says where the network is: it links, and a replica would hang up on a lie. What is not above the last
// irreversible block a nodeos does not look at.
func (h *hub) counts(e *ring.Entry) bool {
	return e != nil && e.Public && !e.Held && e.Block.Num() > h.finalHere()
}
