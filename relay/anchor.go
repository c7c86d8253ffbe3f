package relay

import (
	"time"

	"github.com/thinrelay/thinrelay/relay/ring"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// strandedFor is how long the network's blocks may come without linking to
// what is public before the ring is begun anew, in slots: longer than a gap
// takes to be fetched from the next upstream when the first one stalls.
const strandedFor = 20

// adriftFor is how long the network's blocks may go on not to link while blocks of ours become public, in slots.
const adriftFor = 40

// upheldFor is how long one upstream's silence counts against what another one tells,
// in slots: longer than several producers in a row miss their rounds.
const upheldFor = 120

// watchAnchor begins the ring anew when the network goes on somewhere else: the
// first block of an empty ring is believed without its parent, and where that
// was a lie, or where a gap can be got from nobody, nothing would ever link.
// Blocks beside the span of the ring are no reason where a replica of ours is on
// its chain, or an upstream that is far behind could have the ring cleared while
// the network stands still; nor are others as long as the chain here is upheld.
func (h *hub) watchAnchor(now time.Time) {
	tip := h.ring.Tip()
	alone := h.isAlone(now)
	still := min(now.Sub(h.moved), now.Sub(h.back)) >= strandedFor*h.cfg.SlotLength // nothing comes while nobody is there
	switch {
	case tip == nil:
		if still {
			h.shunned = 0 // nobody else has come
		}
		return
	case h.disputed(tip, now):
		h.shunned = tip.Teller
	case !still && !alone:
		return
	case h.upheld(tip, nil, now):
		if alone {
			h.adrift = now // for as long as that upholds it, and for a while after
		}
		return
	case !alone && !h.strayed.After(h.moved) && (!h.beside.After(h.moved) || h.grounded()):
		return
	}
	h.log.Warn("the network's blocks do not link to what is known here: beginning anew", "tip", tip.Block.Num())
	h.empty()
	h.headID, h.moved, h.theirs, h.heardLIB = wire.ID{}, now, now, 0
	h.doubted = time.Time{}
	for _, r := range h.replicaSet { // what it was may have been measured by the lie
		r.floor = r.rootID.Num()
		h.setSyncing(r, false)
	}
	for _, k := range h.linkSet {
		k.floor = 0
	}
	for _, u := range h.upSet {
		u.asked = time.Time{}
		h.locateUp(u)
	}
}

// isAlone reports whether the network's blocks go on not to link while ours become public: a branch of our own, which no upstream takes. Where our
// rounds are close to one another something of it always comes.
func (h *hub) isAlone(now time.Time) bool {
	return h.adrift.After(h.theirs) && min(now.Sub(h.adrift), now.Sub(h.back)) >= adriftFor*h.cfg.SlotLength && now.Sub(h.strayed) < strandedFor*h.cfg.SlotLength
}

// empty forgets all blocks, and how high they were: that may have been a lie.
func (h *hub) empty() {
	h.ring.Clear()
	h.known = 0
}

// oweHeads has all upstreams asked for their heads in a second, see dun: that the chain is
// elsewhere may be a lie of one that tells nothing of it.
func (h *hub) oweHeads() {
	for _, u := range h.upSet {
		u.asked, u.owes, u.placed = time.Now(), true, false
	}
}

// disputed reports whether the ring has for long been one upstream's word alone, with
// no replica on its chain, while what another one tells does not link to it. An upstream
// that lies may go on for ever: then the other one is to begin, and a replica on its
// chain ends the dispute.
func (h *hub) disputed(tip *ring.Entry, now time.Time) bool {
	switch {
	case now.Sub(h.opposed) > strandedFor*h.cfg.SlotLength/2 || h.opponent == tip.Teller || tip.Teller == 0 || h.grounded():
		h.doubted = time.Time{}
	case h.doubted.IsZero():
		h.doubted = now
	}
	return !h.doubted.IsZero() && now.Sub(h.doubted) >= strandedFor*h.cfg.SlotLength
}

// upheld reports whether the chain here may well be all there is although an upstream
// tells of another: a replica is on it, and another upstream has its tip and tells of
// nothing else. While the network stands still, before our round perhaps, one alone
// could have the ring cleared otherwise, and what our blocks build on with it.
func (h *hub) upheld(tip *ring.Entry, against *upPeer, now time.Time) bool {
	if now.Sub(h.moved) >= upheldFor*h.cfg.SlotLength || !h.grounded() {
		return false
	}
	for _, u := range h.upSet {
		if u != against && tip.Has(u.number) && u.apart.IsZero() {
			return true
		}
	}
	return false
}

// oppose notes that a block of an upstream does not link to what is public.
func (h *hub) oppose(p *peer, now time.Time) {
	if tip := h.ring.Tip(); tip != nil && p.teller != 0 && p.teller != tip.Teller {
		h.opponent, h.opposed = p.teller, now
	}
}

// vouchedFor takes a replica's word, when it connected or last said where it is, for a
// block that has become public since.
func (h *hub) vouchedFor(e *ring.Entry) {
	for _, r := range h.replicaSet {
		if !e.Vouched && (r.headID == e.Block.ID || r.rootID == e.Block.ID) {
			h.credit(e)
		}
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
