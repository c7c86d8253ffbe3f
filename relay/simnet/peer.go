package simnet

import (
	"context"
	"net"
	"slices"
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// A peer is one connection of a node. It belongs to the node's loop.
type peer struct {
	serial  uint64
	link    link
	dialled bool
	addr    string // what was dialled, or who connected
	host    string // of an accepted connection
	inside  bool   // another node of the same network, not counted per host
	relink  func() // opens an inside link again

	closed    bool
	fast      bool // reconnect at once rather than at the next cleanup tick
	noRetry   wire.GoAwayReason
	connected bool // a handshake or a notice has come
	shook     bool // its handshake of generation 1 has come
	hello     wire.Handshake
	version   int
	blocks    bool // connection type, from the address suffix
	trxs      bool

	generation int16 // of the last handshake sent
	announce   int   // version announced
	sentHead   wire.ID
	sentAt     time.Time

	root      uint32 // last announced by the peer
	headNum   uint32
	start     uint32 // earliest block it can serve
	syncing   bool   // peer_syncing_from_us: gets nothing broadcast
	forkHead  wire.ID
	ordinal   uint32  // when it was last the sync source
	tail      wire.ID // its last block that linked when it came
	tailAt    time.Time
	known     map[wire.ID]bool
	knownTrx  map[[32]byte]uint32
	rejects   rejects
	serving   span
	waiting   *time.Timer // for the blocks of a sync request
	waitFor   uint32      // last block of that request
	nacks     int
	lastNack  uint32
	asked     wire.ID // last block asked for after an unknown block notice
	earlyVote int

	rtt       time.Duration
	probed    int64 // transmit time of the last probe answered
	lastFrame time.Time
	lastBlock time.Time
}

// span is a range of blocks being served.
type span struct {
	start, next, end uint32
	active           bool
	catchUp          bool // asked for by a request, not a sync_request
}

// current reports whether the peer gets what is broadcast
// (net_plugin.cpp:1382-1384).
func (p *peer) current() bool { return !p.closed && p.connected && !p.syncing }

func (n *Node) newPeer(addr string, dialled bool) *peer {
	n.serial++
	return &peer{
		serial: n.serial, addr: addr, dialled: dialled, blocks: true, trxs: true, announce: n.rel.version,
		known: make(map[wire.ID]bool), knownTrx: make(map[[32]byte]uint32),
	}
}

// accept takes connections until the listener ends.
func (n *Node) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		if !n.do(func() { n.admit(conn) }) {
			_ = conn.Close() // the node has ended
		}
	}
}

// admit takes an accepted connection, or closes it without a word if its host
// has too many (net_plugin.cpp:2780-2838).
func (n *Node) admit(conn net.Conn) {
	addr := conn.RemoteAddr().String()
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	if limit := n.cfg.MaxNodesPerHost; limit > 0 && n.perHost[host] >= limit {
		n.log.Debug("too many connections from host", "addr", addr)
		n.tell(Event{Kind: ConnRefused, Peer: host})
		_ = conn.Close()
		return
	}
	p := n.newPeer(addr, false)
	p.host = host
	n.perHost[host]++
	n.join(p, conn)
}

func (n *Node) join(p *peer, conn net.Conn) {
	s := newSocket(p, conn, n.box, &n.gate)
	p.link = s
	n.peers = append(n.peers, p)
	n.wg.Go(s.read)
	n.wg.Go(s.write)
}

// dial opens a connection; the opener speaks first: time, then handshake.
func (n *Node) dial(addr string) {
	n.wg.Go(func() {
		if !n.gate.wait(n.done) {
			return
		}
		ctx, cancel := context.WithTimeout(n.ctx, 5*time.Second)
		defer cancel()
		conn, err := n.cfg.Transport.Dial(ctx, addr)
		if err != nil {
			n.box.put(event{call: func() { n.redial(addr, false) }})
			return
		}
		if !n.do(func() {
			p := n.newPeer(addr, true)
			p.noRetry = n.noRetry[addr] // nothing resets it, and no sync goes on from there (net_plugin.cpp:1393)
			n.join(p, conn)
			n.sendTime(p, 0, 0)
			n.sendHandshake(p)
		}) {
			_ = conn.Close() // the node has ended
		}
	})
}

// redial dials again: in Retry, or at the next tick of the connection monitor,
// as after a plain close in Spring (net_plugin.cpp:2937-2970). Once a connection has ended
// for silence, none to that address is dialled within a whole period (net_plugin.cpp:4817-4823).
func (n *Node) redial(addr string, fast bool) {
	wait, benign := n.timing.Retry, n.noRetry[addr] == wire.GoAwayBenign
	if !fast && !n.rel.fast || benign {
		wait = n.timing.Cleanup - time.Since(n.started)%n.timing.Cleanup
	}
	if benign {
		wait += n.timing.Cleanup
	}
	time.AfterFunc(wait, func() { n.box.put(event{call: func() { n.dial(addr) }}) })
}

// closePeer ends a connection. fast: a dialled one is opened again at once.
func (n *Node) closePeer(p *peer, fast bool, why string) {
	n.log.Debug("closing connection", "peer", p.name(), "reason", why)
	p.fast = fast
	p.link.end(false)
	n.drop(p, nil)
}

// drop forgets a connection that has ended.
func (n *Node) drop(p *peer, err error) {
	i := slices.Index(n.peers, p)
	if i < 0 {
		return
	}
	p.closed = true
	n.peers = slices.Delete(n.peers, i, i+1)
	if p.host != "" {
		n.perHost[p.host]--
	}
	p.stopWaiting()
	p.link.end(false)
	if err != nil {
		n.log.Debug("connection ended", "peer", p.name(), "error", err)
	}
	n.lowerSyncTarget()
	if n.sync.source == p {
		n.reassign(p)
	}
	if p.relink != nil {
		time.AfterFunc(n.timing.Retry, p.relink)
	}
	if !p.dialled || p.inside {
		return
	}
	n.noRetry[p.addr] = p.noRetry
	switch p.noRetry {
	case wire.GoAwayNone, wire.GoAwayWrongVersion, wire.GoAwayBenign, wire.GoAwayDuplicate:
		n.redial(p.addr, p.fast)
	default: // never again in the life of the process (net_plugin.cpp:4798-4807)
		n.log.Debug("peer is not dialled again", "peer", p.name(), "reason", p.noRetry)
	}
}

func (p *peer) name() string {
	if p.hello.Agent != "" {
		return p.hello.Agent
	}
	return p.addr
}

// goAway says why and closes once that is written.
func (n *Node) goAway(p *peer, reason wire.GoAwayReason) {
	n.log.Debug("sending go_away", "peer", p.name(), "reason", reason)
	n.send(p, &wire.GoAway{Reason: reason, NodeID: n.id})
	p.noRetry = reason
	p.closed = true
	p.link.end(true)
}

func (n *Node) send(p *peer, m wire.Message) {
	if !p.closed {
		p.link.send(laneGeneral, wire.Append(nil, m))
	}
}

// frame is a message from a peer.
func (n *Node) frame(p *peer, payload []byte) {
	p.lastFrame = time.Now()
	var err error
	body := payload[1:]
	switch wire.Type(payload[0]) {
	case wire.TypeHandshake:
		var m wire.Handshake
		if m, err = wire.ParseHandshake(body); err == nil {
			n.onHandshake(p, m)
		}
	case wire.TypeChainSize:
	case wire.TypeGoAway:
		var m wire.GoAway
		if m, err = wire.ParseGoAway(body); err == nil {
			n.onGoAway(p, m)
		}
	case wire.TypeTime:
		var m wire.Time
		if m, err = wire.ParseTime(body); err == nil {
			n.onTime(p, m)
		}
	case wire.TypeNotice:
		var m wire.Notice
		if m, err = wire.ParseNotice(body); err == nil {
			n.onNotice(p, m)
		}
	case wire.TypeRequest:
		var m wire.Request
		if m, err = wire.ParseRequest(body); err == nil {
			n.onRequest(p, m)
		}
	case wire.TypeSyncRequest:
		var m wire.SyncRequest
		if m, err = wire.ParseSyncRequest(body); err == nil {
			n.onSyncRequest(p, m)
		}
	case wire.TypeBlock:
		n.onBlock(p, payload)
	case wire.TypeTransaction:
		err = n.onTransaction(p, body)
	default:
		err = n.onNewer(p, wire.Type(payload[0]), body)
	}
	if err != nil { // any decode exception closes (net_plugin.cpp:3008-3012)
		n.closePeer(p, false, err.Error())
	}
}

// onGoAway remembers the reason; everything closes (net_plugin.cpp:3438-3458).
func (n *Node) onGoAway(p *peer, m wire.GoAway) {
	p.noRetry = m.Reason
	n.tell(Event{Kind: GoneAway, Peer: p.name(), Detail: m.Reason.String()})
	n.closePeer(p, false, "peer sent go_away: "+m.Reason.String())
}

// rejects counts windows of rejected blocks (net_plugin.cpp:694-724, 1870-1888).
type rejects struct {
	rejecting bool
	since     time.Time
	count     int
}

const (
	rejectWindow = 2 * time.Millisecond
	rejectLimit  = 13
)

func (r *rejects) accepted() { *r = rejects{} }

func (r *rejects) rejected(now time.Time) {
	if !r.rejecting {
		*r = rejects{rejecting: true, since: now}
		return
	}
	if now.Sub(r.since) >= rejectWindow {
		r.count++
		r.since = now
	}
}
