package relay

import (
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// strandedFor is how long the network's blocks may come without linking to
// what is public before the ring is begun anew, in slots: longer than a gap
// takes to be fetched from the next upstream when the first one stalls.
const strandedFor = 20

// watchAnchor begins the ring anew when the network goes on somewhere else: the
// first block of an empty ring is believed without its parent, and where that
// was a lie, or where a gap can be got from nobody, nothing would ever link.
// Blocks beside the span of the ring are no reason where a replica of ours is on
// its chain, or an upstream that is far behind could have the ring cleared while
// the network stands still.
func (h *hub) watchAnchor(now time.Time) {
	if h.ring.Tip() == nil || now.Sub(h.moved) < strandedFor*h.cfg.SlotLength {
		return
	}
	if !h.strayed.After(h.moved) && (!h.beside.After(h.moved) || h.grounded()) {
		return
	}
	h.log.Warn("the network's blocks do not link to what is known here: beginning anew", "tip", h.ring.Tip().Block.Num())
	h.ring.Clear()
	h.headID, h.moved, h.heardLIB = wire.ID{}, now, 0
	for _, r := range h.replicaSet { // what it was may have been measured by the lie
		r.floor = r.rootID.Num()
	}
	for _, k := range h.linkSet {
		k.floor = 0
	}
	for _, u := range h.upSet {
		u.asked = time.Time{}
		h.locateUp(u)
	}
}

// grounded reports whether a replica or a finalizer host of ours, or a second
// upstream, has a block of the ring's chain.
func (h *hub) grounded() bool {
	for e := h.ring.Tip(); e != nil; e = h.ring.Parent(e) {
		if h.credible(e) {
			return true
		}
	}
	return false
}
