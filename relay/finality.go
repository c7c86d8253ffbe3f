package relay

import "github.com/thinrelay/thinrelay/relay/wire"

// lib returns the number of the last irreversible block: by the headers in the
// ring where the chain has them (Savanna), else what peers have told, but not more
// than forkDepth below the front: an upstream tells its own when it connects, and
// not again while it has blocks to send. Nothing above the front is: a lie would
// stay the highest for ever, and a replica that is told to sync to it asks for
// blocks that nobody has.
func (h *hub) lib() uint32 {
	tip := h.front()
	if tip == nil {
		return h.heardLIB
	}
	most := tip.Block.Num()
	h.heardLIB = max(h.heardLIB, min(h.finalHere(), most))
	for _, u := range h.upSet {
		h.heardLIB = max(h.heardLIB, min(u.up.Root().Num(), most))
	}
	lib := h.heardLIB
	if !tip.Block.Savanna() && most > forkDepth {
		lib = max(lib, most-forkDepth)
	}
	return min(lib, most)
}

// finalHere is the part of lib that the headers in the ring say; 0 where they do not.
func (h *hub) finalHere() uint32 {
	tip := h.front()
	if tip == nil || !tip.Block.QCClaim.Present {
		return 0
	}
	claimed := h.ring.Ancestor(tip, tip.Block.QCClaim.Num)
	if claimed == nil {
		return 0
	}
	lib, _ := wire.Finality(tip.Block, claimed.Block)
	return lib
}
