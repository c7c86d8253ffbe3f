package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/thinrelay/thinrelay/relay/conn"
	"github.com/thinrelay/thinrelay/relay/ring"
	"github.com/thinrelay/thinrelay/relay/wire"
)

var (
	// errNotLeader ends the links of a relay that no longer leads.
	errNotLeader = errors.New("this relay does not lead any more")
	// errReplaced ends a link when the same relay opens another.
	errReplaced = errors.New("the same relay has opened another link")
)

// linkBack is how far below the mark a follower hands a new leader what it
// has, in blocks: two rounds, so that the successor can re-send them.
const linkBack = 24

// linkBytes bounds the same in bytes, but for our own blocks: half of what the queue
// takes, since a link whose queue is full ends.
const linkBytes = 16 << 20

// Link is a stream to another relay of the group.
type Link struct {
	name string
	up   bool // towards the leader
	conn *conn.Conn
}

// link is the hub's view of one.
type link struct {
	peer
	l        *Link
	pending  origin  // announced for the next block
	ours     wire.ID // announced for the next vote
	attached map[wire.ID]presence
	ready    bool // the follower has said hello
	alone    bool // the leader has no upstream
	served   bool // it has had one since the link is up
}

// presence is the state of a replica at the other relay.
type presence struct{ fit, silent bool }

// ServeLink is the leader's end of a follower's feed. It returns why the
// stream ended; nc is closed by then.
func (n *Node) ServeLink(ctx context.Context, name string, nc net.Conn) error {
	return n.serveLink(ctx, &Link{name: name}, nc)
}

// FollowLink is the follower's end of the feed to the leader.
func (n *Node) FollowLink(ctx context.Context, leader string, nc net.Conn) error {
	return n.serveLink(ctx, &Link{name: leader, up: true}, nc)
}

func (n *Node) serveLink(ctx context.Context, l *Link, nc net.Conn) error {
	l.conn = conn.New(nc, conn.Config{Logger: n.cfg.Logger.Named("link").With("relay", l.name), KeepAlive: linkBeat})
	l.conn.Start()
	n.hub.postUrgent(n.done, event{kind: evUp, link: l})
	err := l.conn.Serve(ctx, func(f *wire.Frame) error {
		return n.hub.post(ctx, event{kind: evFrame, link: l, frame: f})
	})
	n.hub.postUrgent(n.done, event{kind: evDown, link: l, err: err})
	return err
}

// fromLink handles an event of a link.
func (h *hub) fromLink(e *event) {
	k := h.links[e.link]
	switch {
	case e.kind == evUp:
		h.linkUp(e.link)
	case k == nil:
	case e.kind == evDown:
		h.linkDown(k, e.err)
	default:
		if err := h.linkFrame(k, e); err != nil {
			k.conn.Close(err)
		}
	}
}

func (h *hub) linkUp(l *Link) {
	for _, old := range h.links {
		if old.name == l.name && old.l.up == l.up {
			old.conn.Close(errReplaced)
			h.linkDown(old, errReplaced)
		}
	}
	number, err := h.peers.Join()
	if err != nil {
		l.conn.Close(fmt.Errorf("take link of %s: %w", l.name, err))
		return
	}
	k := &link{peer: peer{number: number, conn: l.conn, name: l.name, judge: !l.up}, l: l, attached: make(map[wire.ID]presence)}
	k.link = k
	h.links[l] = k
	h.record(Record{Kind: LinkUp, Name: l.name})
	if l.up {
		h.leader = k
		if h.lead == nil {
			h.endGap()
		}
		h.introduce(k)
	} else {
		k.behind = true // until its hello says what it has
	}
}

func (h *hub) linkDown(k *link, err error) {
	if h.links[k.l] == nil {
		return
	}
	delete(h.links, k.l)
	h.linkSet = without(h.linkSet, k)
	h.peers.Leave(k.number)
	for id := range k.attached {
		h.detach(k, id)
	}
	if h.leader == k {
		h.leader = nil
	}
	h.record(Record{Kind: LinkDown, Name: k.name, Err: err})
	h.sendRosters()
}

// introduce tells a new leader who is connected here and what this relay has
// that the leader may lack.
func (h *hub) introduce(k *link) {
	var tip wire.ID
	if t := h.ring.Tip(); t != nil {
		tip = t.Block.ID
	}
	h.sendFeed(k, typeHello, appendHello(h.buf[:0], tip))
	for _, r := range h.replicaSet {
		h.sendAttach(r)
	}
	t := h.ring.Tip()
	if t == nil {
		return
	}
	// From below the mark, if the network is still about there, up to the
	// highest block of a replica: those that had no leader to go to as well.
	tipNum := t.Block.Num()
	from := min(h.gate.State().Mark.Height(), tipNum)
	from = max(from-min(from, linkBack), tipNum-min(tipNum, 2*linkBack), h.ring.Lowest())
	all := tipNum // from here on the network's as well: for older ones of those the leader has its upstreams
	for bytes := 0; all > from && bytes <= linkBytes; all-- {
		h.ring.At(all, func(e *ring.Entry) bool { bytes += e.Frame.Len(); return true })
	}
	for num, more := from, true; more; num++ {
		more = num <= tipNum
		h.ring.At(num, func(e *ring.Entry) bool {
			more = num < all && len(e.Origins) == 0 && !e.Emitted || h.give(&k.peer, e) == supplyDone
			return more
		})
	}
}

// linkFrame handles one frame of a link.
func (h *hub) linkFrame(k *link, e *event) error {
	body := e.frame.Body()
	switch e.frame.Type() {
	case typeHello:
		tip, err := parseHello(body)
		if err != nil {
			return err
		}
		h.onHello(k, tip)
	case typeAttach:
		a, err := parseAttach(body)
		if err != nil {
			return err
		}
		h.onAttach(k, a)
	case typeDetach:
		d, err := parseDetach(body)
		if err != nil {
			return err
		}
		h.onDetach(k, d)
	case typeOrigin:
		o, err := parseOrigin(body)
		if err != nil {
			return err
		}
		return h.onOrigin(k, o)
	case typeOurs:
		id, err := parseNodeID(body)
		if err != nil {
			return err
		}
		k.ours = id
	case typeRoster:
		r, err := parseRoster(body)
		if err != nil {
			return err
		}
		h.onRoster(k, r)
	case typeNote:
		return h.onNote(k, body)
	case wire.TypeBlock:
		return h.onLinkBlock(k, e)
	case wire.TypeVote:
		h.onLinkVote(k, e)
	case wire.TypeTransaction:
		h.onTransaction(e, &k.peer, k.l.up)
	}
	return nil
}

// onHello starts feeding a follower, from what it has.
func (h *hub) onHello(k *link, tip wire.ID) {
	if k.ready || k.l.up {
		return
	}
	k.ready, k.behind = true, false
	h.linkSet = append(h.linkSet, k)
	if e := h.ring.Get(tip); e != nil {
		h.ring.Note(e, k.number)
	} else {
		h.begin(k)
	}
	h.resumePeer(&k.peer)
	for _, v := range h.votes.ours {
		h.sendOurVote(k, v.frame, v.source)
	}
	h.votes.replay(k.conn)
	h.sendRosters()
}

// begin has a follower begin with our last blocks, and with those above finality:
// a replica there that is far behind syncs up to that, and needs the rest.
func (h *hub) begin(k *link) {
	if tip := h.ring.Tip(); tip != nil {
		from := min(tip.Block.Num()-min(tip.Block.Num(), 2*linkBack), max(h.lib(), preload)-preload)
		k.floor = max(h.ring.Lowest(), from) - 1
	}
}

// supplyLink gives a follower block e and what it lacks before it. It begins anew
// when it is not known to have anything that e builds on: our ring was empty when it
// came, or has been since.
func (h *hub) supplyLink(k *link, e *ring.Entry) {
	if h.supply(&k.peer, e) == supplyUnlinked {
		h.begin(k)
		h.supply(&k.peer, e)
	}
}

// onLinkBlock takes a block from another relay. What it is was announced; a
// block without its announcement is refused with the link, since a block of
// ours taken for one of the network's could be built upon.
func (h *hub) onLinkBlock(k *link, e *event) error {
	o := k.pending
	k.pending = origin{}
	if o.block != e.block.ID {
		return fmt.Errorf("block %s without its origin: %w", e.block.ID, errFeed)
	}
	if k.l.up && h.lead == nil {
		h.rebase(e.block)
	}
	if o.net && k.l.up && h.onNetworkBlock(e.block, e.frame, &k.peer) == nil {
		h.beside = e.at
	}
	if !o.source.IsZero() {
		h.onSignedBlock(k, e.block, e.frame, o, e.at)
	} else if kept := h.keep(e.block, e.frame); kept != nil {
		// A follower's word that the network has it is not proof: the block is
		// kept, and an upstream will show, or has.
		h.ring.Note(kept, k.number)
		h.inherit(kept)
	}
	return nil
}

// onSignedBlock takes a block of ours from another relay.
func (h *hub) onSignedBlock(k *link, b wire.Block, f *wire.Frame, o origin, at time.Time) {
	signed := ring.Origin{ID: o.source, Watched: o.watched || o.emitted}
	if !k.l.up {
		h.onOurBlock(b, f, signed, &k.peer, at)
		return
	}
	e := h.keep(b, f)
	if e == nil {
		return
	}
	h.ring.Note(e, k.number)
	h.creditParent(e)
	if !e.From(signed.ID) {
		e.Origins = append(e.Origins, signed)
	} else {
		h.vouch(e, signed)
	}
	if o.emitted {
		e.Emitted = true
		h.publish(e, &k.peer)
	}
}

// onOrigin takes word of where a block comes from: the next one, or one that is
// here.
func (h *hub) onOrigin(k *link, o origin) error {
	if o.body {
		if k.pending != (origin{}) {
			return fmt.Errorf("origin of %s, and the block before is missing: %w", o.block, errFeed)
		}
		k.pending = o
		return nil
	}
	if e := h.ring.Get(o.block); e != nil && !o.source.IsZero() {
		h.onSignedBlock(k, e.Block, e.Frame, o, time.Now())
	}
	return nil
}

// rebase empties the ring when the leader's next block does not link to it:
// this relay was away for longer than the leader's ring reaches back.
func (h *hub) rebase(b wire.Block) {
	tip := h.ring.Tip()
	if tip != nil && b.Num() > tip.Block.Num()+1 && h.ring.Get(b.Previous) == nil {
		h.empty()
	}
}

// onLinkVote takes a vote from another relay: by ours when announced so, else
// by others.
func (h *hub) onLinkVote(k *link, e *event) {
	source := k.ours
	k.ours = wire.ID{}
	switch {
	case source == wire.ID{} && k.l.up:
		h.onOthersVote(e.frame, &k.peer)
	case source != wire.ID{} && k.l.up:
		h.witness(e.frame, source)
		h.spreadOurVote(e.frame, source)
	case source != wire.ID{} && h.lead != nil:
		// Who does not lead passes nothing on that came over a link: two
		// relays that each take the other for the leader would go on for ever.
		h.onOurVote(e.frame, source, e.at)
	}
}
