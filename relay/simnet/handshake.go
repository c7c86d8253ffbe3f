package simnet

import (
	"encoding/hex"
	"math"
	"strings"
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// sendHandshake announces this node's chain, unless nothing has changed within
// 50 ms (net_plugin.cpp:4228-4231).
func (n *Node) sendHandshake(p *peer) {
	head := n.db.best
	now := time.Now()
	if p.closed || p.sentHead == head.ID && now.Sub(p.sentAt) < 50*time.Millisecond {
		return
	}
	p.sentHead, p.sentAt = head.ID, now
	if p.generation == math.MaxInt16 {
		p.generation = 1
	}
	p.generation++
	n.send(p, &wire.Handshake{
		NetworkVersion: wire.VersionBase + uint16(p.announce), ChainID: n.chain.ID, NodeID: n.id, Time: now.UnixNano(),
		P2PAddress: n.p2pAddress(), RootNum: n.db.root.Num(), RootID: n.db.root.ID,
		HeadNum: head.Num(), HeadID: head.ID, OS: "linux", Agent: n.cfg.Name, Generation: p.generation,
	})
}

// p2pAddress is ": - 1234567" when the node does not listen
// (net_plugin.cpp:1215-1216).
func (n *Node) p2pAddress() string {
	addr := n.Addr()
	if addr == "" {
		addr = ":"
	}
	return addr + " - " + hex.EncodeToString(n.id[:4])[:7]
}

func (n *Node) sendHandshakes() {
	for _, p := range n.peers {
		if p.connected {
			n.sendHandshake(p)
		}
	}
}

// onHandshake checks a first handshake in nodeos's order, answers it, and takes
// the sync decision (net_plugin.cpp:3285-3420).
func (n *Node) onHandshake(p *peer, m wire.Handshake) {
	if m.Valid() != nil {
		n.goAway(p, wire.GoAwayFatal)
		return
	}
	first := m.Generation == 1
	p.root, p.headNum, p.hello, p.connected = m.RootNum, m.HeadNum, m, true
	if first && !n.checkFirst(p, m) {
		return
	}
	if first && p.version >= wire.ProtoPruned && p.version < wire.ProtoLeap && n.rel.version >= wire.ProtoLeap {
		// the 2.1 family is told that this is 2.0 (net_plugin.cpp:3404-3410)
		p.generation, p.announce, p.sentAt = 0, 1, time.Time{}
		n.sendHandshake(p)
		return
	}
	answer := first && p.generation == 0 // goes out after what the decision sends, as captured
	n.decide(p, m)
	if answer {
		n.sendHandshake(p)
	}
}

// checkFirst is what only a handshake of generation 1 goes through.
func (n *Node) checkFirst(p *peer, m wire.Handshake) bool {
	if m.NodeID == n.id {
		n.goAway(p, wire.GoAwaySelf)
		return false
	}
	if !p.dialled {
		addr, _, _ := strings.Cut(m.P2PAddress, " ")
		p.trxs = !strings.HasSuffix(addr, ":blk")
		p.blocks = !strings.HasSuffix(addr, ":trx")
	}
	for _, other := range n.peers {
		if other != p && other.connected && !other.closed && other.hello.NodeID == m.NodeID &&
			string(n.id[:]) >= string(m.NodeID[:]) {
			n.goAway(p, wire.GoAwayDuplicate)
			return false
		}
	}
	if m.ChainID != n.chain.ID {
		n.goAway(p, wire.GoAwayWrongChain)
		return false
	}
	p.version = m.Version()
	if !p.shook {
		p.shook = true
		n.tell(Event{Kind: Connected, Peer: m.Agent, Inside: p.inside})
	}
	if m.RootNum > 0 && m.RootNum <= n.db.root.Num() {
		if b := n.db.logged(m.RootNum); b != nil && b.ID != m.RootID { // an unknown number is tolerated
			n.goAway(p, wire.GoAwayForked)
			return false
		}
	}
	return true
}

// decide is nodeos's sync decision from a peer's handshake, row by row
// (net_plugin.cpp:2217-2319; the rows are those of the p2p notes, 3.6).
func (n *Node) decide(p *peer, m wire.Handshake) {
	if !p.blocks {
		return
	}
	n.resetSyncRoot()
	head, root := n.db.best, n.db.root
	var lat uint32
	if n.rel.distance > 0 {
		lat = uint32(math.Round(float64(p.rtt) / float64(n.chain.Clock.Length)))
	}
	switch {
	case head.ID == m.HeadID: // row 0
		p.syncing = false
	case head.Num() < m.RootNum: // row 1
		p.syncing = false
		if p.generation > 0 {
			n.sendHandshake(p)
		}
	case root.Num() > m.HeadNum+lat+n.rel.distance: // row 2
		if m.Generation > 1 || p.version > 0 {
			n.send(p, n.notice(p, wire.ModeLastIrrCatchUp))
			p.syncing = true
		}
	case head.Num()+lat < m.HeadNum: // row 3
		p.syncing = false
		n.verifyCatchup(p, m.HeadNum, m.HeadID)
	case head.Num() >= m.HeadNum+lat: // row 4
		if m.Generation > 1 || p.version > 0 {
			n.send(p, n.notice(p, wire.ModeCatchUp))
		}
		p.syncing = false
		if n.onFork(m.HeadID) {
			n.send(p, &wire.Request{ReqBlocks: wire.IDList{Mode: wire.ModeCatchUp}})
		}
	default: // row 5
		p.syncing = false
	}
}

// notice tells a peer what there is to catch up with.
func (n *Node) notice(p *peer, mode wire.ListMode) *wire.Notice {
	head := n.db.best
	m := &wire.Notice{KnownBlocks: wire.IDList{Mode: mode, Pending: head.Num(), IDs: []wire.ID{head.ID}}}
	if mode == wire.ModeLastIrrCatchUp {
		m.KnownTrx = wire.IDList{Mode: mode, Pending: n.db.root.Num()}
	}
	if p.version >= wire.ProtoBlockRange && n.rel.distance > 0 { // Leap 5 knows it and announces 7 (leap v5.0.3, net_plugin.cpp:665-668, 2296)
		m.KnownBlocks.IDs = append(m.KnownBlocks.IDs, wire.StartID(n.db.earliest()))
	}
	return m
}

// onFork reports whether a block is not on this node's best branch
// (net_plugin.cpp:1190-1202).
func (n *Node) onFork(id wire.ID) bool {
	b := n.db.served(id.Num())
	return b == nil || b.ID != id
}

// onTime answers probes at once and measures with answers
// (net_plugin.cpp:3476-3529).
func (n *Node) onTime(p *peer, m wire.Time) {
	now := time.Now()
	if m.Xmt == 0 || m.Xmt == p.probed && m.Org == 0 {
		return
	}
	if m.Org == 0 {
		p.probed = m.Xmt
		n.sendTime(p, m.Xmt, now.UnixNano())
		if !p.dialled && p.generation == 0 && p.connected {
			n.sendHandshake(p)
		}
		return
	}
	p.rtt = now.Sub(time.Unix(0, m.Org))
}

func (n *Node) sendTime(p *peer, org, rec int64) {
	n.send(p, &wire.Time{Org: org, Rec: rec, Xmt: time.Now().UnixNano()})
}

// heartbeat runs every KeepAlive on all connections (net_plugin.cpp:1578-1600).
func (n *Node) heartbeat() {
	now := time.Now()
	for _, p := range append([]*peer(nil), n.peers...) {
		limit := n.timing.AcceptedSilence
		if p.dialled {
			limit = n.timing.DialledSilence
		}
		if p.closed || p.lastFrame.IsZero() {
			if !p.closed {
				n.sendTime(p, 0, 0)
			}
			continue
		}
		if n.rel.version >= wire.ProtoLeap && now.Sub(p.lastFrame) > limit {
			p.noRetry = wire.GoAwayBenign
			n.tell(Event{Kind: Silent, Peer: p.name(), Inside: p.inside})
			n.closePeer(p, p.dialled, "heartbeat timed out")
			continue
		}
		quiet := max(limit/2, 2*n.chain.Clock.Length)
		if n.rel.version >= wire.ProtoLeap && n.sync.state != libCatchup && now.Sub(p.lastBlock) > quiet && p.connected {
			n.sendHandshake(p)
			continue
		}
		n.sendTime(p, 0, 0)
	}
}
