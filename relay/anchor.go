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
// was a lie, or where a gap can be got from nobody, nothing would ever link, or
// lies beside the span of the ring.
func (h *hub) watchAnchor(now time.Time) {
	if h.ring.Tip() == nil || !h.strayed.After(h.moved) || now.Sub(h.moved) < strandedFor*h.cfg.SlotLength {
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
