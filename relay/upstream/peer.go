package upstream

import (
	"encoding/binary"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/thinrelay/thinrelay/relay/conn"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// Peer is one live connection to a configured peer, from UpstreamUp to UpstreamDown. After a reconnect it is another
// Peer with the same Index. Its methods are safe for concurrent use and never block.
type Peer struct {
	index        int
	addr         string
	version      int
	node         wire.ID
	agent        string
	transactions bool
	handshake    wire.Handshake
	voice        *voice
	done         chan struct{} // closed after the last frame
	pruned       time.Time     // until when nothing below its root is counted on, if it does not tell its first block
	tap          tap

	mu     sync.Mutex
	told   view
	start  uint32
	height atomic.Uint32
}

func newPeer(t *target, v *voice, g greeting, start uint32) *Peer {
	p := &Peer{
		index:        t.index,
		addr:         t.addr,
		version:      g.version,
		node:         g.handshake.NodeID,
		agent:        printable(g.handshake.Agent),
		transactions: takesTransactions(g.handshake.P2PAddress),
		handshake:    g.handshake,
		voice:        v,
		done:         make(chan struct{}),
		pruned:       t.pruned(),
		told:         g.told,
		start:        start,
	}
	p.height.Store(g.told.head.Num())
	return p
}

// takesTransactions reads the suffix that a node with p2p-accept-transactions=false puts behind its address in the
// answering handshake (net_plugin.cpp:4247-4252).
func takesTransactions(address string) bool {
	host, _, _ := strings.Cut(address, " - ")
	return !strings.HasSuffix(host, ":blk")
}

// Addr is the address as configured.
func (p *Peer) Addr() string { return p.addr }

// Index is the position in Config.Peers, less than MaxPeers.
func (p *Peer) Index() int { return p.index }

// Version is the peer's protocol version.
func (p *Peer) Version() int { return p.version }

// Agent is the peer's agent name, fit for logs.
func (p *Peer) Agent() string { return p.agent }

// NodeID is the peer's node id, new with each start of its process.
func (p *Peer) NodeID() wire.ID { return p.node }

// Handshake is the peer's first handshake on this connection.
func (p *Peer) Handshake() wire.Handshake { return p.handshake }

// Conn is the connection, to send on.
func (p *Peer) Conn() *conn.Conn { return p.voice.conn }

// Votes reports whether votes may be sent to the peer: an older one closes on the unknown index (net_plugin.cpp:2697).
func (p *Peer) Votes() bool { return p.version >= wire.ProtoVotes }

// Transactions reports whether the peer takes transactions.
func (p *Peer) Transactions() bool { return p.transactions }

// Head is the head the peer last told, in a handshake or notice.
func (p *Peer) Head() wire.ID {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.told.head
}

// Root is the root (last irreversible block) the peer last told, in a handshake.
func (p *Peer) Root() wire.ID {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.told.root
}

// Start is the number of the first block the peer can serve, 0 while unknown: it is told in notices only. Of one that does
// not tell, and has just gone away since it was asked for what it has not, it is taken to be the root it came with.
func (p *Peer) Start() uint32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.start == 0 && time.Now().Before(p.pruned) {
		return p.handshake.RootNum
	}
	return p.start
}

// Height is the highest block number the peer has told or sent. It is the peer's word and nothing more.
func (p *Peer) Height() uint32 { return p.height.Load() }

// RequestCatchUp asks for the blocks after id on the peer's chain (request catch_up). A peer that does not know id
// answers with go_away; one that has id on a fork, or gets the zero id, sends everything after the root we announced
// (net_plugin.cpp:1491-1527): Announce first if that is old. False: the queue is full.
func (p *Peer) RequestCatchUp(id wire.ID) bool {
	r := &wire.Request{ReqBlocks: wire.IDList{Mode: wire.ModeCatchUp}}
	if !id.IsZero() {
		r.ReqBlocks.IDs = []wire.ID{id}
	}
	return p.voice.send(r) == nil
}

// RequestRange asks for the blocks start to end by number (sync_request); they arrive as frames of this connection. A
// peer that lacks one of them answers with go_away. False: the queue is full, or the range is empty.
func (p *Peer) RequestRange(start, end uint32) bool {
	if start == 0 || end < start {
		return false
	}
	return p.voice.send(&wire.SyncRequest{Start: start, End: end}) == nil
}

// Announce sends a further handshake with this root and head. They must not be ahead of the peer's own: see p2p notes,
// 3.6. A root above the head is announced as nothing.
func (p *Peer) Announce(root, head wire.ID) bool {
	return p.voice.say(view{root: root, head: head}.sane()) == nil
}

// hear records a later handshake.
func (p *Peer) hear(told view) {
	p.mu.Lock()
	p.told = told
	p.mu.Unlock()
	p.rise(told.head.Num())
}

// heed records a notice and returns what to echo after it. The notice carries no root id, so the one from the last
// handshake stands.
func (p *Peer) heed(n noticed) view {
	p.mu.Lock()
	if !n.head.IsZero() {
		p.told.head = n.head
		p.rise(n.head.Num())
	}
	if n.start > 0 {
		p.start = n.start
	}
	told := p.told
	p.mu.Unlock()
	if told.root.Num() > told.head.Num() {
		told.root = wire.ID{}
	}
	return told
}

// rise raises Height. Only the connection's reader calls it.
func (p *Peer) rise(num uint32) {
	if num > p.height.Load() {
		p.height.Store(num)
	}
}

// blockNum reads a block's number from its body, where the id of the previous block is at byte 14; 0 if it is cut off.
func blockNum(body []byte) uint32 {
	const at = 14
	if len(body) < at+32 {
		return 0
	}
	return binary.BigEndian.Uint32(body[at:]) + 1
}
