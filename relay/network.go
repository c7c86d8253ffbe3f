package relay

import (
	"time"

	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/ring"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// keep adds a block to the ring. It returns nil for a block that lies outside
// the span the ring can hold around its tip: bytes from a peer must not be
// able to push the chain out of the ring.
func (h *hub) keep(b wire.Block, f *wire.Frame) *ring.Entry {
	if tip := h.ring.Tip(); tip != nil && b.Num() > tip.Block.Num()+uint32(h.cfg.RingBlocks) {
		return nil
	}
	e, isNew := h.ring.Add(b, f)
	if isNew {
		h.seq++
		e.Seen = h.seq
	}
	return e
}

// maxForks is how many blocks of one height are taken of what one upstream alone tells.
const maxForks = 16

// forksOn reports whether an upstream has told as many blocks of that height, and nobody
// else has one of them. A block of a few bytes costs a kilobyte, and what is below looks at
// all of its height for its children: without a bound there would be millions.
func (h *hub) forksOn(b wire.Block, from *peer) bool {
	if from.teller == 0 || h.ring.Get(b.ID) != nil {
		return false
	}
	n := 0
	h.ring.At(b.Num(), func(e *ring.Entry) bool {
		if e.Teller == from.teller && !h.credible(e) {
			n++
		}
		return n < maxForks
	})
	return n == maxForks
}

// onNetworkBlock takes a block that the network has: from an upstream, or,
// while following, from the leader. from is the peer it came from.
func (h *hub) onNetworkBlock(b wire.Block, f *wire.Frame, from *peer) *ring.Entry {
	if from != nil && (h.crowdsOut(b, from) || h.forksOn(b, from)) {
		return nil
	}
	e := h.keep(b, f)
	if e == nil {
		return nil
	}
	if from != nil {
		h.confirm(e, f, from)
	}
	if e.Network {
		return e
	}
	e.Network = true
	if e.Public && h.lead != nil {
		h.onNewParent(e)
	}
	h.publish(e, from)
	if !e.Public {
		now := time.Now()
		if !h.adrift.After(h.theirs) || now.Sub(h.strayed) >= strandedFor*h.cfg.SlotLength {
			h.adrift = now
		}
		h.strayed = now
		if from != nil {
			h.oppose(from, h.strayed)
		}
	}
	return e
}

// confirm notes that the peer, an upstream or the leader, has e, and therefore
// every ancestor of it: those are the network's as well. f is what it has sent.
func (h *hub) confirm(e *ring.Entry, f *wire.Frame, from *peer) {
	for a := h.ring.Parent(e); a != nil && !a.Network; a = h.ring.Parent(a) {
		a.Network = true
		h.publish(a, from)
	}
	h.ring.Note(e, from.number)
	if from.teller != 0 {
		h.told(e, f, from.teller)
	} else if h.lead == nil {
		h.corrected(e, f)
	}
}

// inherit makes e the network's, and what it builds on, if a child of it is: that was told
// before e was here, when nothing led from it to e. Nobody would say so once more.
func (h *hub) inherit(e *ring.Entry) {
	told := false
	h.ring.At(e.Block.Num()+1, func(child *ring.Entry) bool {
		told = child.Network && child.Block.Previous == e.Block.ID
		return !told
	})
	for a := e; told && a != nil && !a.Network; a = h.ring.Parent(a) {
		a.Network = true
		h.publish(a, nil)
	}
}

// publish makes e public once its parent is, gives it to all who hear the
// network, and does the same for children that were waiting for it. The first
// block of an empty ring needs no parent. That may be one of ours, when a relay
// leads before it hears the network: what it builds on comes later, and is as
// public as it is, or other branches would never hang together with it.
func (h *hub) publish(e *ring.Entry, from *peer) {
	if e.Public {
		return
	}
	parent := h.ring.Parent(e)
	if h.ring.Tip() != nil && (parent == nil || !parent.Public) && !h.borneOut(e) {
		return
	}
	if h.ring.Tip() == nil && h.shunned != 0 && e.Teller == h.shunned && h.others(h.shunned) {
		return
	}
	h.publishOne(e, from)
	if parent != nil {
		h.publish(parent, nil)
	}
	newest := true
	h.ring.At(e.Block.Num()+1, func(child *ring.Entry) bool {
		if !child.Public && child.Block.Previous == e.Block.ID && (child.Network || child.Decided) {
			newest = false
			h.publish(child, nil)
		}
		return true
	})
	if newest && e.Network && h.lead != nil {
		h.onNewParent(e)
	}
}

// borneOut reports whether a public block builds on e.
func (h *hub) borneOut(e *ring.Entry) (found bool) {
	h.ring.At(e.Block.Num()+1, func(child *ring.Entry) bool {
		found = child.Public && child.Block.Previous == e.Block.ID
		return !found
	})
	return found
}

// AheadOfTime is how far a block may be ahead of our clock for the schedule to be
// learned from it, in slots: the schedule takes nothing older than what it has
// learned, and one block of a far future would be the last. nodeos takes none that
// is more than 14 slots ahead (net_plugin.cpp:3903).
const AheadOfTime = 2 * director.RoundSlots

// aheadAlone is the same for a block on the word of one peer, the only one there is: as
// much as clocks that are in order differ. A lie must not claim a round before its time.
const aheadAlone = 3

// learn has the schedule learn from a public block, once that is credible, or from what it
// builds on: while our clock is behind, the last ancestor whose time has come.
func (h *hub) learn(e *ring.Entry) {
	ahead := wire.Slot(AheadOfTime)
	if !h.credible(e) {
		if h.others(e.Teller) {
			return // it may be made up, and will be told by another one if it is not
		}
		ahead = aheadAlone
	}
	most := h.clock.SlotAt(time.Now()) + ahead
	for i := 0; i < AheadOfTime && e != nil && e.Block.Slot > most; i++ {
		e = h.ring.Parent(e)
	}
	if e != nil && e.Public && e.Block.Slot <= most {
		h.sched.Observe(e.Block.Slot, e.Block.Producer)
	}
}

// publishOne is publish for one block.
func (h *hub) publishOne(e *ring.Entry, from *peer) {
	h.moved = time.Now()
	if e.Network {
		h.theirs = h.moved
	}
	h.ring.Publish(e)
	e.Since = h.moved
	if e.Held = h.heldBy(e); !e.Held {
		h.aside.Grew(h.moved)
	}
	h.vouchedFor(e)
	h.follow(e)
	h.learn(e)
	h.record(Record{Kind: Network, Block: e.Block, Source: firstOrigin(e)})
	for _, l := range h.linkSet {
		if &l.peer != from && !e.Held {
			h.supplyLink(l, e)
		}
	}
	for _, r := range h.replicaSet {
		h.tellReplica(r, e)
	}
	if p := h.wayOf(h.dir.Active()); p != nil && h.lead != nil && !h.sched.IsOurs(e.Block.Producer) && h.nextIsOurs(e) {
		p.conn.Ask()
	}
	h.votes.flush(h, e.Block.ID)
}

func firstOrigin(e *ring.Entry) wire.ID {
	if len(e.Origins) == 0 {
		return wire.ID{}
	}
	return e.Origins[0].ID
}

// fillGap asks the upstream for what lies between the ring and a block that does
// not link to it, at most once a second.
func (h *hub) fillGap(u *upPeer, e *ring.Entry, now time.Time) {
	tip := h.ring.Tip()
	if e.Public || tip == nil || now.Sub(u.asked) < time.Second {
		return
	}
	// Of its ancestors some may be here, and wait for the same gap to be filled.
	for p := h.ring.Parent(e); p != nil && !p.Public; p = h.ring.Parent(e) {
		e = p
	}
	if p := h.ring.Parent(e); p != nil { // nothing is missing, and it has it all
		e.Network = true
		h.publish(e, nil)
		return
	}
	from, to := h.common()+1, e.Block.Num()-1
	if from > to { // a fork below our tip
		from = max(h.shared(u)+1, e.Block.Num()-min(e.Block.Num()-1, forkDepth))
	}
	if from > to {
		return
	}
	u.ask(from, to, true, now)
}

// shared returns a height up to which the upstream's branch is surely the one here: its
// finality, if that block is known here, or what is final by the headers here. While it
// was away the network may have left out blocks that we have, and be final beyond them.
func (h *hub) shared(u *upPeer) uint32 {
	if e := h.ring.Get(u.rootID); e != nil && e.Public {
		return u.floor
	}
	return h.finalHere()
}

// common returns the height up to which the tip's branch is surely the
// network's: of blocks by others that is known, while our last ones may be on a
// branch that the network has passed by, when they came too late for it.
func (h *hub) common() uint32 {
	e := h.front()
	for e != nil && (!e.Network || h.sched.IsOurs(e.Block.Producer)) {
		e = h.ring.Parent(e)
	}
	if e == nil {
		return max(h.ring.Lowest(), 1) - 1
	}
	return e.Block.Num()
}

// forkDepth is how far back a fork is fetched, in blocks: a legacy chain's
// finality lags some 330 blocks (p2p notes, 14.9).
const forkDepth = 400
