package relay

import (
	"github.com/thinrelay/thinrelay/fsm"
	"github.com/thinrelay/thinrelay/relay/ring"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// sendable reports whether every block of the list may go to the upstream, and
// the first links to something that it has: the rule behind promise S2. What one
// upstream alone has told does not go to another: that would take it for ours.
func (h *hub) sendable(u *upPeer, list []*ring.Entry) bool {
	for i, e := range list {
		if !e.Network && !e.Decided || !h.credible(e) {
			return false
		}
		if i == 0 {
			parent := h.ring.Parent(e)
			if (parent == nil || !parent.Has(u.number)) && e.Block.Previous != u.rootID {
				return false
			}
		}
	}
	return true
}

// supplyDecided gives an upstream whatever the group has decided and it lacks:
// what makes blocks late, not lost, when a leader dies.
func (h *hub) supplyDecided(p *peer) {
	for _, u := range h.upSet {
		if &u.peer != p {
			continue
		}
		if e := h.lastDecided(); e != nil {
			h.supplyUp(u, e)
		}
	}
}

// lastDecided returns the highest block of ours that may be sent: the mark's,
// or a child of it that the gate has granted, while that right stands.
func (h *hub) lastDecided() *ring.Entry {
	mark := h.gate.State().Mark
	last := h.ring.Get(wire.ID(mark.Last))
	h.ring.At(mark.Height()+1, func(e *ring.Entry) bool {
		if e.Decided && h.gate.Sent(fsm.BlockID(e.Block.ID)) {
			last = e
			return false
		}
		return true
	})
	return last
}
