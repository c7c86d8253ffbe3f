package relay

import (
	"bytes"

	"github.com/thinrelay/thinrelay/relay/ring"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// head returns the public block that a nodeos takes for the head of the chain,
// nil when there is none. The highest one it need not be: a producer that
// missed its predecessor's last blocks can build a whole round that the network
// then drops. The mark must not be moved to such a branch ahead of time, for its
// height would bar the blocks that our replicas build on the other one.
func (h *hub) head() *ring.Entry {
	if e := h.ring.Get(h.headID); e != nil {
		return e
	}
	return h.front()
}

// follow makes e, which has become public, the head if it is better.
func (h *hub) follow(e *ring.Entry) {
	if e.Held {
		return
	}
	if head := h.ring.Get(h.headID); head == nil || h.better(e, head) {
		h.headID = e.Block.ID
	}
}

// better is nodeos' fork choice: on Savanna the newest certificate, then the
// later slot, then the greater id (fork_database.cpp:68-75); before it the
// greater height, and the first seen stays.
func (h *hub) better(a, b *ring.Entry) bool {
	if !a.Block.Savanna() || !b.Block.Savanna() {
		return a.Block.Num() > b.Block.Num()
	}
	if qa, qb := h.certified(a), h.certified(b); qa != qb {
		return qa > qb
	}
	if a.Block.Slot != b.Block.Slot {
		return a.Block.Slot > b.Block.Slot
	}
	return bytes.Compare(a.Block.ID[:], b.Block.ID[:]) > 0
}

// certified returns the slot of the block that e's newest certificate is about,
// 0 when the ring does not reach back to it. It is looked for once: while finality
// stands that block is thousands below, and all of them are compared when one is set
// aside.
func (h *hub) certified(e *ring.Entry) wire.Slot {
	num := e.Block.QCClaim.Num
	if e.Certified != 0 || num < h.ring.Lowest() {
		return e.Certified
	}
	if p := h.ring.Parent(e); p != nil && p.Block.QCClaim.Num == num && p.Certified != 0 {
		e.Certified = p.Certified // it brings no newer one
	} else if claimed := h.ring.Ancestor(e, num); claimed != nil {
		e.Certified = claimed.Block.Slot
	}
	return e.Certified
}
