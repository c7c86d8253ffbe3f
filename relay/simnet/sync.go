package simnet

import (
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// syncState is nodeos's sync_manager::stages.
type syncState uint8

const (
	inSync syncState = iota
	libCatchup
	headCatchup
)

// syncer is what nodeos's sync_manager knows (net_plugin.cpp:1950-2560).
type syncer struct {
	state   syncState
	target  uint32 // highest irreversible block any peer has told of
	last    uint32 // end of the last range requested; 0: none, or rejected
	next    uint32 // next block expected
	source  *peer
	active  time.Time // last block received or applied
	ordinal uint32
	greet   bool // send handshakes when caught up
}

// resetSyncRoot recomputes the target from the peers there are.
func (n *Node) resetSyncRoot() {
	for _, p := range n.peers {
		if p.current() && p.root > n.sync.target && p.root > n.db.root.Num() {
			n.sync.target = p.root
		}
	}
}

// lowerSyncTarget is what the end of a connection does: what that peer alone had told of does
// not count any more (net_plugin.cpp:1929-1940).
func (n *Node) lowerSyncTarget() {
	n.sync.target = 0
	for _, p := range n.peers {
		if p.blocks && p.current() {
			n.sync.target = max(n.sync.target, p.root)
		}
	}
}

// onNotice is how a peer tells what it has (net_plugin.cpp:3530-3590).
func (n *Node) onNotice(p *peer, m wire.Notice) {
	p.connected = true
	ids := m.KnownBlocks.IDs
	if len(ids) > 1 && n.rel.distance == 0 { // EOS 2.x and Leap 4
		n.closePeer(p, false, "notice with two ids")
		return
	}
	switch m.KnownBlocks.Mode {
	case wire.ModeLastIrrCatchUp, wire.ModeCatchUp:
	default:
		return
	}
	if len(ids) > 1 {
		p.start = ids[1].Num()
	}
	if len(ids) > 0 {
		p.headNum = ids[0].Num()
	}
	if m.KnownBlocks.Mode == wire.ModeLastIrrCatchUp {
		p.root = m.KnownTrx.Pending
		n.startSync(p, m.KnownTrx.Pending)
		return
	}
	if len(ids) == 0 {
		return
	}
	if n.have[ids[0]] {
		n.sendHandshake(p)
		return
	}
	n.verifyCatchup(p, m.KnownBlocks.Pending, ids[0])
}

// verifyCatchup asks a peer for the blocks from this node's head on, unless
// another peer has already been asked (net_plugin.cpp:2321-2366).
func (n *Node) verifyCatchup(p *peer, num uint32, id wire.ID) {
	for _, other := range n.peers {
		if other.blocks && !other.forkHead.IsZero() && (other.forkHead.Num() > num || other.forkHead == id) {
			p.forkHead = wire.ID{}
			n.send(p, &wire.Request{})
			return
		}
	}
	if n.sync.state == libCatchup || num < n.db.root.Num() {
		n.sendHandshake(p)
		return
	}
	n.sync.state = headCatchup
	p.forkHead = id
	n.send(p, &wire.Request{ReqBlocks: wire.IDList{Mode: wire.ModeCatchUp, IDs: []wire.ID{n.db.best.ID}}})
}

// startSync begins to catch up with what a peer calls irreversible.
func (n *Node) startSync(p *peer, target uint32) {
	s := &n.sync
	s.target = max(s.target, target)
	required := s.last < s.target || s.next < s.last
	if !required || target <= n.db.root.Num() {
		n.sendHandshake(p)
		return
	}
	if s.state != libCatchup || time.Since(s.active) >= n.timing.SyncWait {
		s.state, s.last, s.next = libCatchup, 0, n.db.root.Num()+1
		n.requestChunk(p)
	} else if s.last > 0 && n.aheadAllowed(s.next-1) {
		n.requestChunk(nil)
	}
}

// requestChunk asks p, or whoever can serve, for the next range.
func (n *Node) requestChunk(p *peer) {
	s := &n.sync
	if p == nil || !p.current() {
		p = n.syncSource()
	}
	if p == nil || s.last == s.target {
		n.giveUpSync()
		return
	}
	end := min(s.next+n.rel.span-1, s.target)
	if end < s.next {
		n.giveUpSync()
		return
	}
	s.ordinal++
	p.ordinal, s.last, s.source, s.active = s.ordinal, end, p, time.Now()
	n.send(p, &wire.SyncRequest{Start: s.next, End: end})
	n.await(p, end)
}

func (n *Node) giveUpSync() {
	s := &n.sync
	s.source, s.target, s.last = nil, n.db.root.Num(), 0
	s.next = max(s.target+1, s.next)
	s.state = inSync
	n.sendHandshakes()
}

// syncSource is the peer least recently used that can serve the next range
// (net_plugin.cpp:1387-1401, 1960-2010).
func (n *Node) syncSource() (best *peer) {
	need := min(n.sync.next+n.rel.span, n.sync.target)
	for _, p := range n.peers {
		if p.blocks && p.current() && p.noRetry == wire.GoAwayNone && p.start <= n.sync.next && p.headNum >= need &&
			(best == nil || p.ordinal < best.ordinal) {
			best = p
		}
	}
	return best
}

// await starts the timer a sync request has for each of its blocks.
func (n *Node) await(p *peer, end uint32) {
	p.stopWaiting()
	p.waitFor = end
	p.waiting = time.AfterFunc(n.timing.SyncWait, func() {
		n.box.put(event{call: func() { n.syncTimeout(p) }})
	})
}

func (p *peer) stopWaiting() {
	if p.waiting != nil {
		p.waiting.Stop()
		p.waiting = nil
	}
}

// syncTimeout cancels the request, asks another peer and closes the silent one
// (net_plugin.cpp:2183-2208).
func (n *Node) syncTimeout(p *peer) {
	if p.closed || p.waiting == nil {
		return
	}
	n.reassign(p)
	n.tell(Event{Kind: SyncStalled, Peer: p.name(), Inside: p.inside})
	n.closePeer(p, true, "sync timed out")
}

// reassign takes a range away from its source.
func (n *Node) reassign(p *peer) {
	s := &n.sync
	if s.source != p {
		return
	}
	n.send(p, &wire.SyncRequest{})
	p.stopWaiting()
	s.last, s.source = 0, nil
	s.next = max(s.next, n.db.root.Num()+1)
	p.syncing = true // not a source any more
	if s.state == libCatchup {
		n.requestChunk(nil)
	}
	p.syncing = false
}

// aheadAllowed reports whether the next range may be asked for: the last one has
// come, and what has come is not too far ahead of what is applied.
func (n *Node) aheadAllowed(num uint32) bool {
	s := &n.sync
	if num < s.last || s.last >= s.target {
		return false
	}
	applied := n.head.Num()
	return num <= applied || num-applied < n.rel.span
}

// syncReceived is nodeos's sync_recv_block for a block from a peer
// (net_plugin.cpp:2455-2560).
func (n *Node) syncReceived(p *peer, b *Block) {
	s := &n.sync
	p.lastBlock, s.active = time.Now(), time.Now()
	if time.Since(n.chain.Clock.TimeOf(b.Slot)) < n.chain.Clock.Length {
		p.syncing = false
	}
	switch s.state {
	case headCatchup:
		n.headCaughtUp(p, b)
	case libCatchup:
		if b.Num() >= p.waitFor {
			s.source = nil
			p.stopWaiting()
		} else if p.waiting != nil {
			p.waiting.Reset(n.timing.SyncWait)
		}
		if s.last == 0 {
			s.next = n.db.root.Num() + 1
		} else if b.Num() == s.next {
			s.next++
		}
		if b.Num() >= s.target {
			s.greet = true
		} else if n.aheadAllowed(b.Num()) {
			n.requestChunk(nil)
		}
	case inSync:
	}
}

// headCaughtUp leaves head catch-up at the first block that tells it is over.
func (n *Node) headCaughtUp(p *peer, b *Block) {
	s := &n.sync
	s.source = nil
	again := false
	for _, other := range n.peers {
		switch {
		case other.forkHead.IsZero():
		case other.forkHead.Num() < b.Num() || other.forkHead == b.ID:
			if p != nil {
				p.forkHead = wire.ID{}
			}
		default:
			again = true
		}
	}
	if !again {
		s.state = inSync
		s.greet = true
	}
}

// syncApplied is sync_recv_block for a block that has been applied.
func (n *Node) syncApplied(b *Block) {
	s := &n.sync
	s.active = time.Now()
	switch s.state {
	case libCatchup:
		if b.Num() >= s.target {
			s.state = headCatchup
			n.sendHandshakes()
		} else if n.aheadAllowed(b.Num()) {
			n.requestChunk(nil)
		}
	case headCatchup:
		n.headCaughtUp(nil, b)
	case inSync:
		if s.greet && time.Since(n.chain.Clock.TimeOf(b.Slot)) < n.chain.Clock.Length {
			s.greet = false
			n.sendHandshakes()
		}
	}
}

// syncRejected starts the range over after a block that did not link.
func (n *Node) syncRejected(num uint32) {
	if s := &n.sync; s.last != 0 && num <= s.next-1 {
		s.last = 0
		s.next = n.db.root.Num() + 1
	}
}
