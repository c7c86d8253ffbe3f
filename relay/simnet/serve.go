package simnet

import (
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// servedAtOnce is how many blocks are queued before the peer's connection has
// to take them. nodeos has one; a few more keep simulated syncs fast.
const servedAtOnce = 32

// onRequest serves "catch up" from a peer's head, and "none" which means that
// the peer is not syncing (net_plugin.cpp:3593-3652).
func (n *Node) onRequest(p *peer, m wire.Request) {
	if len(m.ReqBlocks.IDs) > 1 && n.rel.version < wire.ProtoBlockNack || m.ReqTrx.Mode == wire.ModeNormal {
		n.closePeer(p, false, "request that is not served")
		return
	}
	switch m.ReqBlocks.Mode {
	case wire.ModeCatchUp:
		if p.blocks {
			var id wire.ID
			if k := len(m.ReqBlocks.IDs); k > 0 {
				id = m.ReqBlocks.IDs[k-1]
			}
			n.serveBranch(p, id)
		}
	case wire.ModeNormal:
		if n.rel.version < wire.ProtoBlockNack || p.version < wire.ProtoBlockNack || len(m.ReqBlocks.IDs) != 2 {
			n.closePeer(p, false, "request for blocks by id")
			return
		}
		n.serveUpTo(p, m.ReqBlocks.IDs[0].Num(), n.head.Num())
	case wire.ModeNone:
		if m.ReqTrx.Mode == wire.ModeNone {
			p.syncing = false
		}
	}
}

// serveBranch sends what follows the block a peer has, or what follows its root
// if that block is on another branch (net_plugin.cpp:1486-1510).
func (n *Node) serveBranch(p *peer, from wire.ID) {
	if p.root == 0 {
		return
	}
	num := from.Num()
	if num != 0 {
		if b := n.db.served(num); b == nil {
			n.goAway(p, wire.GoAwayBenign)
			return
		} else if b.ID != from {
			num = 0
		}
	}
	if num == 0 {
		num = p.root
		if p.serving.active {
			num = min(num, p.serving.next-1)
		}
	}
	n.serveUpTo(p, num+1, n.head.Num())
}

// serveUpTo serves what a request asked for. While another range is being served it takes the place
// of that one, and what was left of it is not sent, unless all of it is in there (net_plugin.cpp:1534-1554).
func (n *Node) serveUpTo(p *peer, start, end uint32) {
	if s := &p.serving; s.active {
		end = max(end, s.end)
		if s.start <= start && s.end >= end {
			return
		}
	}
	p.serving = span{start: start, next: start, end: end, active: start <= end, catchUp: true}
	n.serve(p)
}

// onSyncRequest serves a range; a second request only moves its end
// (net_plugin.cpp:3654-3676).
func (n *Node) onSyncRequest(p *peer, m wire.SyncRequest) {
	if m.End == 0 {
		p.serving = span{}
		p.link.flush()
		return
	}
	if p.blocks {
		if s := &p.serving; s.active {
			s.end = max(s.end, m.End)
		} else {
			*s = span{start: m.Start, next: m.Start, end: m.End, active: true}
		}
		n.serve(p)
	}
}

// serve queues the next blocks of the range a peer has asked for: those of the best branch
// that there is, applied or not (controller.cpp:5622-5629).
func (n *Node) serve(p *peer) {
	for i := 0; p.serving.active && i < servedAtOnce; i++ {
		if p.serving.next > p.serving.end {
			p.serving = span{}
			return
		}
		b := n.db.served(p.serving.next)
		if b == nil {
			quiet := p.serving.catchUp && n.rel.version >= wire.ProtoGossip
			if p.serving = (span{}); !quiet { // Spring 1.2 takes it for the middle of a fork switch
				n.goAway(p, wire.GoAwayBenign)
			}
			return
		}
		if n.faults.serveStall() {
			p.serving = span{}
			return
		}
		p.link.send(laneSync, b.frame)
		p.lastBlock = time.Now()
		p.serving.next++
	}
	if p.serving.active {
		p.link.watch(true)
	}
}
