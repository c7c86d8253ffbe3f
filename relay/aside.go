package relay

import (
	"errors"
	"fmt"
	"time"

	"github.com/thinrelay/thinrelay/relay/conn"
	"github.com/thinrelay/thinrelay/relay/quarantine"
	"github.com/thinrelay/thinrelay/relay/ring"
	"github.com/thinrelay/thinrelay/relay/upstream"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// tellerOf is an upstream as a teller of blocks.
func tellerOf(p *upstream.Peer) quarantine.Teller { return quarantine.Teller(p.Index() + 1) }

// told notes that an upstream has e, and so every ancestor. A second upstream
// makes a block credible, unless it has sent other bytes for it.
func (h *hub) told(e *ring.Entry, f *wire.Frame, t quarantine.Teller) {
	if h.contradicts(e, f, t) {
		h.addRival(e, rival{f, t, time.Now()})
		e = h.ring.Parent(e)
	}
	if h.toldUpTo(e, t) {
		h.readmit()
	}
}

// toldUpTo is told for e and what it builds on, parents first: the schedule learns in
// order. It reports whether one was set aside.
func (h *hub) toldUpTo(e *ring.Entry, t quarantine.Teller) (freed bool) {
	if e == nil || e.Vouched || e.Teller == t {
		return false
	}
	freed = h.toldUpTo(h.ring.Parent(e), t)
	switch {
	case len(h.rivals) > 0 && h.rivals[e.Block.ID].frame != nil:
	case e.Teller == 0:
		h.ring.Tell(e, t) // until now on the word of another relay
	default:
		freed = h.believe(e) || freed
	}
	return freed
}

// credit notes that a replica or a finalizer host of ours has e, and so every
// ancestor: it has checked them.
func (h *hub) credit(e *ring.Entry) {
	if h.creditUpTo(e) {
		h.readmit()
	}
}

// creditUpTo is credit for e and what it builds on, like toldUpTo.
func (h *hub) creditUpTo(e *ring.Entry) (freed bool) {
	if e == nil || e.Vouched {
		return false
	}
	freed = h.creditUpTo(h.ring.Parent(e))
	return h.believe(e) || freed
}

// creditParent is credit for what a block of a replica of ours builds on.
func (h *hub) creditParent(e *ring.Entry) {
	if p := h.ring.Parent(e); p != nil {
		h.credit(p)
	}
}

// believe makes a block credible for good. It reports whether it was set aside.
func (h *hub) believe(e *ring.Entry) bool {
	if e.Vouched = true; e.Public {
		h.learn(e)
	}
	h.known = max(h.known, e.Block.Num())
	if !h.aside.Release(e.Block.ID) {
		return false
	}
	h.record(Record{Kind: Readmitted, Block: e.Block, Name: h.tellerName(e.Teller), Text: "another source has it"})
	return true
}

// hungUp judges the blocks on trial after a replica closed its connection: those
// that it had got, and that one upstream alone has told, are set aside. For a
// replica of another relay p is the link to that.
func (h *hub) hungUp(p ring.Peer, replica string) {
	now := time.Now()
	var last *ring.Entry
	var suspects []*ring.Entry
	news := 0
	h.aside.OnTrial(now, func(id wire.ID) {
		e := h.ring.Get(id)
		if e == nil || e.Vouched || len(e.Origins) != 0 || !e.Has(p) {
			return
		}
		if h.yield(e) {
			return
		}
		last, suspects = e, append(suspects, e)
	})
	if last == nil {
		return
	}
	if h.aside.Accuse(last.Block.ID, last.Teller, now) { // first: it tells who lies
		news++
	}
	for _, e := range suspects {
		if e.Held && h.aside.Full() {
			continue // not in place of what it builds on
		}
		if h.aside.Accuse(e.Block.ID, e.Teller, now) {
			news++
		}
	}
	for _, e := range suspects {
		if e.Teller == last.Teller {
			h.aside.Blame(e.Block.ID, e == last, h.borne(e, p))
		}
	}
	if news > 0 {
		h.markAside()
		h.record(Record{
			Kind: SetAside, Block: last.Block, Name: h.tellerName(last.Teller),
			Text: fmt.Sprintf("%s hung up after it, and no other source has it", replica),
		})
	}
	if h.borne(last, p) {
		return
	}
	if u := h.upstreamOf(last.Teller); u != nil && h.aside.Lied(last.Teller) && h.others(last.Teller) {
		u.conn.Close(upstream.ErrLied)
	}
}

// borne reports whether a replica other than p that has the block is still there.
func (h *hub) borne(e *ring.Entry, p ring.Peer) bool {
	for _, r := range h.replicaSet {
		if r.number != p && !r.muted && e.Has(r.number) {
			return true
		}
	}
	for _, s := range h.sources {
		if s.local == nil && s.home != nil && e.Seen > s.fed && e.Has(s.home.number) {
			return true
		}
	}
	return false
}

// others reports whether an upstream other than t is connected, to bear out what t tells
// or to take its place.
func (h *hub) others(t quarantine.Teller) bool {
	for _, u := range h.upSet {
		if u.teller != t && !h.stuck(u) {
			return true
		}
	}
	return false
}

// stuck reports whether an upstream is connected and no more: it has told nothing, and
// been far behind, or so far ahead as nothing here is, for long. What it would have to bear out would never be credible, so
// that no schedule were learned and no mark moved ahead of time. One that is silent
// because the network stands still is not behind, and lies of another one do not make it so
// for long: replicas hang up on them.
func (h *hub) stuck(u *upPeer) bool {
	long := upheldFor * h.cfg.SlotLength
	return !u.lagging.IsZero() && time.Since(u.lagging) >= long && time.Since(u.told) >= long
}

func (h *hub) upstreamOf(t quarantine.Teller) *upPeer {
	for _, u := range h.upSet {
		if u.teller == t {
			return u
		}
	}
	return nil
}

// tellerName is the address of an upstream; of what this relay was told by
// another one it is not known.
func (h *hub) tellerName(t quarantine.Teller) string {
	if t == 0 || int(t) > len(h.cfg.Upstream.Peers) {
		return "the leader"
	}
	return h.cfg.Upstream.Peers[t-1]
}

// reviewAside gives blocks another chance that are set aside when nothing else
// comes.
func (h *hub) reviewAside(now time.Time) {
	if len(h.rivals) > 0 {
		h.dropRivals(func(id wire.ID, r rival) bool { return now.Sub(r.at) > quarantine.Trial || h.ring.Get(id) == nil })
	}
	if h.aside.Known() == 0 {
		return
	}
	out := h.aside.Forget(func(id wire.ID) bool { return h.ring.Get(id) != nil })
	h.aside.Due(now, h.others, h.built, func(id wire.ID) {
		e := h.ring.Get(id)
		e.Shown, out = time.Time{}, true
		h.record(Record{Kind: Readmitted, Block: e.Block, Name: h.tellerName(e.Teller), Text: "nothing else has come: it is tried again"})
	})
	if out {
		h.markAside()
		h.offerAll()
	}
}

// built reports whether the network has told a child of the block.
func (h *hub) built(id wire.ID) (found bool) {
	h.ring.At(id.Num()+1, func(e *ring.Entry) bool {
		found = e.Block.Previous == id && e.Network
		return !found
	})
	return found
}

// credible reports whether a block is known from more than one upstream: a
// replica has it, or it is ours. Of a lie other upstreams would think that it
// comes from here, and a mark moved to it bars its height for our own blocks.
func (h *hub) credible(e *ring.Entry) bool {
	return e.Vouched || e.Emitted || len(e.Origins) != 0
}

// crowdsOut reports whether a block of an upstream is so far above what anybody else has
// that the ring, which the lowest heights leave first, would soon hold nothing but what
// that one alone tells: the chain as another one tells it, in the ring still, would be gone.
func (h *hub) crowdsOut(b wire.Block, from *peer) bool {
	half := uint32(h.cfg.RingBlocks) / 2
	if from.teller == 0 || b.Num() <= half || b.Num()-half <= h.known {
		return false
	}
	for _, u := range h.upSet {
		if at := u.up.Height(); u.teller != from.teller && at >= h.ring.Lowest() && at < b.Num()-half && h.ring.Tip() != nil && !h.stuck(u) {
			return true
		}
	}
	return false
}

// believable returns e or its nearest ancestor to build on: credible, or from the
// only upstream that there is.
func (h *hub) believable(e *ring.Entry) *ring.Entry {
	mark := wire.ID(h.gate.State().Mark.Last)
	for e != nil && !h.credible(e) && e.Block.ID != mark && h.others(e.Teller) {
		e = h.ring.Parent(e)
	}
	return e
}

// readmit gives everyone what has become credible.
func (h *hub) readmit() {
	for _, e := range h.markAside() {
		for _, r := range h.replicaSet {
			h.tellReplica(r, e)
		}
	}
	h.offerAll()
}

// offerAll brings everyone to the front of the chain.
func (h *hub) offerAll() {
	front := h.front()
	if front == nil {
		return
	}
	for _, k := range h.linkSet {
		h.supply(&k.peer, front)
	}
	for _, r := range h.replicaSet {
		h.catchUp(r)
	}
	if h.lead != nil {
		h.align()
	}
}

// markAside works out anew which public blocks are set aside with what they
// build on, and what the head of the rest is. It returns those that no longer are.
func (h *hub) markAside() (freed []*ring.Entry) {
	tip := h.ring.Tip()
	if tip == nil {
		return nil
	}
	var head *ring.Entry
	for num := h.lowest(tip); num <= tip.Block.Num(); num++ {
		h.ring.At(num, func(e *ring.Entry) bool {
			if !e.Public {
				return true
			}
			was := e.Held
			e.Held = h.heldBy(e)
			if was && !e.Held {
				freed = append(freed, e)
			}
			if !e.Held && (head == nil || h.better(e, head) || e.Seen < head.Seen && !h.better(head, e)) {
				head = e
			}
			return true
		})
	}
	if head != nil {
		h.headID = head.Block.ID
	}
	return freed
}

// lowest is where the ring begins, as far as its span reaches.
func (h *hub) lowest(tip *ring.Entry) uint32 {
	span := min(tip.Block.Num(), uint32(h.cfg.RingBlocks))
	return max(h.ring.Lowest(), tip.Block.Num()-span)
}

// heldBy reports whether a public block is set aside, for itself or for its
// parent.
func (h *hub) heldBy(e *ring.Entry) bool {
	if h.aside.Len() == 0 {
		return false
	}
	parent := h.ring.Parent(e)
	return h.aside.Holds(e.Block.ID) || parent != nil && parent.Held
}

// offered returns e, or the nearest ancestor of it that is not kept from the replica:
// what is set aside is, and what builds on that. A replica that has taken the block in
// question goes on from there. An upstream can go on with a lie for as long as the ring
// is, so the way back is gone once; and for longer, so that the block in question is here
// no more.
func (h *hub) offered(r *replica, e *ring.Entry) *ring.Entry {
	for a := e; a != nil && a.Held && !a.Has(r.number); {
		parent := h.ring.Parent(a)
		if parent == nil || h.aside.Holds(a.Block.ID) {
			e = parent
		}
		a = parent
	}
	return e
}

// front returns the highest public block that is not set aside: what replicas
// are brought to. nil when there is none.
func (h *hub) front() *ring.Entry {
	tip := h.ring.Tip()
	if tip == nil || !tip.Held {
		return tip
	}
	lowest := h.lowest(tip)
	for num := tip.Block.Num(); num >= lowest && num > 0; num-- {
		var front *ring.Entry
		h.ring.At(num, func(e *ring.Entry) bool {
			if e.Public && !e.Held {
				front = e // the ring lists the newest first: keep the oldest
			}
			return true
		})
		if front != nil {
			return front
		}
	}
	return nil
}

// isHangUp reports whether a connection ended because the other side closed it.
func isHangUp(err error) bool { return errors.Is(err, conn.ErrPeerClosed) }
