package relay

import (
	"time"

	"github.com/thinrelay/thinrelay/relay/conn"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/ring"
	"github.com/thinrelay/thinrelay/relay/wire"
)

const (
	// recallSpan is how far above the chain here a replica's head may be for it to be
	// asked what lies between, in blocks: two rounds. More no round of ours holds.
	recallSpan = 2 * director.RoundSlots
	// recallPause is the least time between two such questions to one replica.
	recallPause = time.Second
)

// asks is what a replica has been asked for.
type asks struct {
	last time.Time // when it was last asked
	// head is what it told when there was nothing here yet that leads near it.
	head wire.ID
}

// recall asks a replica for the blocks between the chain here and its head: a nodeos
// broadcasts a block once, so what it signed while its connection was broken would
// never come, and nothing that it builds on that would link. It answers with what
// follows the block named, or, when that is on another branch, with what follows its
// root, as we have told it last (net_plugin.cpp:1471-1511, 3595-3617). A height that
// it does not have it answers with go_away, which would impair it for good: so
// the block named is never above its head nor below its root. What comes is judged
// like any other block.
func (h *hub) recall(r *replica, head wire.ID, now time.Time) {
	if r.observer || r.syncing || now.Sub(r.asks.last) < recallPause {
		return
	}
	if root := h.ring.Get(r.rootID); root != nil && root.Public {
		h.credit(root) // irreversible there: what one upstream alone has told of it is credible
	}
	last := h.believable(h.front())
	if r.asks.head = (wire.ID{}); h.hangsTogether(head) {
		return
	}
	if last == nil || int64(head.Num())-int64(last.Block.Num()) > recallSpan || last.Block.Num() < r.rootID.Num() {
		r.asks.head = head // a relay that has just begun hears the chain only now
		return
	}
	if head.Num() <= last.Block.Num() || !h.oursAbout(last.Block.Slot, now) {
		return
	}
	r.asks.last = now
	h.refreshRoot(r, head)
	f := wire.Encode(&wire.Request{ReqBlocks: wire.IDList{Mode: wire.ModeCatchUp, IDs: []wire.ID{last.Block.ID}}})
	r.conn.Send(conn.Control, f)
	f.Release()
}

// refreshRoot tells a replica a root that is not much older than its own, before it is asked for anything: the one of our
// echo may be days old, and if it has left the branch of the block named it would send all since then, before its
// live blocks (net_plugin.cpp:641-652, 1504-1508). The root told is on every branch that can still grow; to its own
// head it answers with nothing, or with a notice if it has signed more by now (2243-2248, 2286-2300).
func (h *hub) refreshRoot(r *replica, head wire.ID) {
	lib := min(h.lib(), head.Num())
	root := h.ring.Ancestor(h.front(), lib-min(lib, linkBack))
	if root != nil && root.Block.Num() > r.r.Announced().Num()+recallSpan {
		r.r.Announce(root.Block.ID, head)
	}
}

// recallLater asks for what could not be asked for before the chain was here: the last
// block of a round has no successor that tells of it again. That is so for seconds after a
// replica has come; a head far above that is made up is not looked at for ever.
func (h *hub) recallLater(now time.Time) {
	for _, r := range h.replicaSet {
		if !r.asks.head.IsZero() && now.Sub(r.r.Since()) < strandedFor*h.cfg.SlotLength {
			h.recall(r, r.asks.head, now)
		}
	}
}

// onReplicaBlock takes a block of a replica. If what it builds on is missing, more is.
func (h *hub) onReplicaBlock(r *replica, e *event) {
	h.onOurBlock(e.block, e.frame, ring.Origin{ID: r.id, Watched: h.watched(r, e.block.Previous)}, &r.peer, e.at)
	if h.ring.Get(e.block.Previous) == nil && h.sched.IsOurs(e.block.Producer) {
		h.recall(r, e.block.ID, e.at)
	}
}

// recallTold asks for what a replica has by its notice: it signed a block between its
// handshake and ours, when it broadcast nothing to us yet (net_plugin.cpp:2286-2300).
func (h *hub) recallTold(r *replica, n *wire.Notice) {
	if n.KnownBlocks.Mode == wire.ModeCatchUp && len(n.KnownBlocks.IDs) > 0 {
		h.recall(r, n.KnownBlocks.IDs[0], time.Now())
	}
}

// hangsTogether reports whether a block is here with all that leads to it from the
// public chain.
func (h *hub) hangsTogether(id wire.ID) bool {
	e := h.ring.Get(id)
	for range recallSpan {
		if e == nil || e.Public {
			break
		}
		e = h.ring.Parent(e)
	}
	return e != nil
}

// oursAbout reports whether our round is under way, about to begin, or just over: at
// other times nothing that a replica has and the chain has not can leave. What the
// schedule does not tell may be ours.
func (h *hub) oursAbout(tip wire.Slot, now time.Time) bool {
	next := h.clock.SlotAt(now) + 1
	for _, slot := range [...]wire.Slot{next, next - min(next, director.RoundSlots), tip + 1} {
		if h.sched.Ours(slot) || h.sched.Producer(slot) == 0 {
			return true
		}
	}
	return false
}
