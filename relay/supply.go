package relay

import (
	"time"

	"github.com/thinrelay/thinrelay/fsm"
	"github.com/thinrelay/thinrelay/relay/conn"
	"github.com/thinrelay/thinrelay/relay/quarantine"
	"github.com/thinrelay/thinrelay/relay/ring"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// peer is what upstreams, replicas and links have in common: someone who is
// given blocks, parents first.
type peer struct {
	number ring.Peer
	conn   *conn.Conn
	name   string
	// floor: blocks up to this height count as had. rootID, when known, is the
	// block of that height.
	floor  uint32
	rootID wire.ID
	// behind: its queue was full. It gets nothing until it has caught up.
	behind bool
	// best is the highest block it was given.
	best uint32
	// link is set for a relay: blocks travel with their origin.
	link *link
	// teller is set for an upstream.
	teller quarantine.Teller
	pulse  pulse
	// judge: what it is given gets to a replica, which may find that it is not
	// valid.
	judge bool
}

// supplied is how supply ended.
type supplied uint8

const (
	supplyDone     supplied = iota // the peer has the block, or will, in order
	supplyBehind                   // its queue is full; resume later
	supplyUnlinked                 // the ring does not reach back to what it has
)

// supply gives the peer block e and every ancestor it lacks, parents first.
func (h *hub) supply(p *peer, e *ring.Entry) supplied {
	if e.Has(p.number) {
		return supplyDone
	}
	if p.behind {
		return supplyBehind
	}
	if parent := h.ring.Parent(e); parent != nil && parent.Has(p.number) {
		return h.give(p, e)
	}
	missing, ok := h.ring.Missing(h.scratch[:0], e, p.number, p.floor)
	h.scratch = missing[:0]
	if !ok {
		return supplyUnlinked
	}
	for _, m := range missing {
		if s := h.give(p, m); s != supplyDone {
			return s
		}
	}
	return supplyDone
}

// give puts one block on the peer's queue.
func (h *hub) give(p *peer, e *ring.Entry) supplied {
	if p.link != nil {
		return h.giveLink(p, e)
	}
	return h.given(p, e, p.conn.Send(conn.Blocks, e.Frame))
}

// giveNow is give for a single block of ours to an upstream: if the connection
// is idle, the hub itself hands it to the socket.
func (h *hub) giveNow(p *peer, e *ring.Entry) supplied {
	return h.given(p, e, p.conn.SendNow(conn.Blocks, e.Frame))
}

// given notes how putting a block on the peer's queue went.
func (h *hub) given(p *peer, e *ring.Entry, ok bool) supplied {
	if !ok {
		if !p.behind && p.conn.Cause() == nil {
			h.cfg.Meter.QueueOverflow()
		}
		p.behind = true
		return supplyBehind
	}
	h.had(p, e)
	return supplyDone
}

// giveLink is give for another relay: with word of where the block comes from.
// One source is announced before the block, the others after it. A follower that
// lacks much is given as much as its queue takes well, and the rest later: if the
// queue were full the link would end, and with it all that is in there.
func (h *hub) giveLink(p *peer, e *ring.Entry) supplied {
	if !p.link.l.up && !p.conn.Roomy(e.Frame.Len()) {
		p.behind = true
		return supplyBehind
	}
	first := origin{block: e.Block.ID, emitted: e.Emitted, net: e.Network, body: true}
	if len(e.Origins) > 0 {
		first.source, first.watched = e.Origins[0].ID, e.Origins[0].Watched
	}
	if !h.announce(p.link, first) {
		return supplyBehind
	}
	if !p.conn.Send(conn.Blocks, e.Frame) {
		p.conn.Close(conn.ErrSlowReader) // the announcement stands without its block
		return supplyBehind
	}
	h.had(p, e)
	for _, o := range e.Origins[min(1, len(e.Origins)):] {
		if !h.announce(p.link, origin{block: e.Block.ID, source: o.ID, watched: o.Watched, emitted: e.Emitted}) {
			return supplyBehind
		}
	}
	return supplyDone
}

// had notes that the peer was given the block.
func (h *hub) had(p *peer, e *ring.Entry) {
	h.ring.Note(e, p.number)
	if p.judge && !e.Vouched {
		// Once more when a replica gets it later: nobody may have been able to set it
		// aside the first time, among many, or when it was long on its way.
		if now := time.Now(); now.Sub(e.Shown) > quarantine.Trial {
			e.Shown = now
			h.aside.Show(e.Block.ID, now)
		}
	}
	p.best = max(p.best, e.Block.Num())
}

// resumable reports whether a peer that was behind has room again.
func (p *peer) resumable() bool {
	return p.behind && p.conn.Stats().QueuedFrames == 0
}

// supplyDecided gives an upstream whatever the group has decided and it lacks:
// what makes blocks late, not lost, when a leader dies. One that does not lead any more
// does not know what is decided.
func (h *hub) supplyDecided(p *peer) {
	if h.endOverslept(time.Now()); !h.gate.Leading() {
		return
	}
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
