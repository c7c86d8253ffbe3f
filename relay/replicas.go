package relay

import (
	"slices"
	"time"

	"github.com/thinrelay/thinrelay/relay/conn"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/downstream"
	"github.com/thinrelay/thinrelay/relay/ring"
	"github.com/thinrelay/thinrelay/relay/upstream"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// maxReplicas is how many replicas are taken, 224, so that upstreams and other relays find
// room however many come.
const maxReplicas = ring.MaxPeers - upstream.MaxPeers - 32

// replica is the hub's view of a nodeos that dialled this relay.
type replica struct {
	peer
	r        *downstream.Replica
	id       wire.ID
	version  int
	observer bool
	// since is the ordinal of the last block known when it connected, and head
	// the height of its own head then: its children of blocks that are later
	// by both cannot have been missed.
	since uint64
	head  uint32
	// headID is that head. A nodeos whose head it is has no child of it yet: its
	// own child would be its head (p2p notes, 7.4).
	headID wire.ID
	// syncing: too far behind for the ring; it gets blocks by sync_request and
	// nothing live (p2p notes, 4.3 iii).
	syncing bool
	// target is the block it was told to sync to, and quiet since when nothing
	// has been on its way to it.
	target uint32
	quiet  time.Time
	// woken: it hears the chain again after a sync, and has not said yet where it is.
	// It may be applying what it got for a while, and is not fit to be active.
	woken bool
	asks  asks
	// muted: another relay of the group feeds it.
	muted bool
	// said is the state last reported.
	said string
}

// replicaSink passes what replicas say to the hub.
type replicaSink struct{ n *Node }

var _ downstream.Sink = replicaSink{}

// ReplicaUp implements downstream.Sink.
func (s replicaSink) ReplicaUp(r *downstream.Replica) {
	s.n.hub.postUrgent(s.n.done, event{kind: evUp, replica: r})
}

// ReplicaDown implements downstream.Sink.
func (s replicaSink) ReplicaDown(r *downstream.Replica, err error) {
	s.n.hub.postUrgent(s.n.done, event{kind: evDown, replica: r, err: err})
}

// ReplicaFrame implements downstream.Sink.
func (s replicaSink) ReplicaFrame(r *downstream.Replica, f *wire.Frame) {
	if err := s.n.hub.post(s.n.done, event{kind: evFrame, replica: r, frame: f}); err != nil {
		r.Conn().Close(err)
	}
}

// fromReplica handles an event of a replica.
func (h *hub) fromReplica(e *event) {
	r := h.replicas[e.replica]
	switch {
	case e.kind == evUp:
		h.replicaUp(e.replica)
	case r == nil:
	case e.kind == evDown:
		h.replicaDown(r, e.err)
	default:
		if err := h.replicaFrame(r, e); err != nil {
			r.conn.Close(err)
		}
	}
}

func (h *hub) replicaUp(d *downstream.Replica) {
	if len(h.replicaSet) >= maxReplicas {
		d.Conn().Close(ring.ErrTooManyPeers)
		return
	}
	number, err := h.peers.Join()
	if err != nil {
		d.Conn().Close(err)
		return
	}
	r := &replica{
		peer: peer{number: number, conn: d.Conn(), name: d.Agent(), judge: true},
		r:    d, id: d.NodeID(), version: d.Version(), since: h.seq,
		observer: slices.Contains(h.cfg.Observers, d.Agent()),
		muted:    h.lead == nil,
	}
	h.replicas[d] = r
	h.replicaSet = append(h.replicaSet, r)
	h.sourceOf(r.id, r.name, r.observer).local = r
	h.record(Record{Kind: ReplicaUp, Source: r.id, Name: r.name, Text: d.Addr().String()})
	hs := d.Handshake()
	r.head, r.headID = hs.HeadNum, hs.HeadID
	h.cfg.Chain.Hear(hs.ChainID)
	h.locate(r, &hs)
	h.sendAttach(r)
	h.sendRosters()
	if h.lead != nil {
		h.direct(time.Now())
	}
}

func (h *hub) replicaDown(r *replica, err error) {
	delete(h.replicas, r.r)
	h.replicaSet = without(h.replicaSet, r)
	if isHangUp(err) {
		h.hungUp(r.number, r.name)
		h.doubtSync(r.syncing || r.woken)
		if h.hearsVotes(r.id, r.observer) {
			h.votes.doubt(time.Now())
		}
	}
	h.peers.Leave(r.number)
	h.record(Record{Kind: ReplicaDown, Source: r.id, Name: r.name, Err: err})
	if s := h.sources[r.id]; s != nil && s.local == r {
		s.local = nil
		h.dropSource(s)
		h.sendDetach(detach{id: r.id, severed: !isHangUp(err)})
	}
	h.sendRosters()
	if h.lead != nil {
		h.direct(time.Now())
	}
}

// replicaFrame handles one frame of a replica.
func (h *hub) replicaFrame(r *replica, e *event) error {
	body := e.frame.Body()
	switch e.frame.Type() {
	case wire.TypeBlock:
		h.onReplicaBlock(r, e)
	case wire.TypeVote:
		h.onOurVote(e.frame, r.id, e.at)
	case wire.TypeTransaction:
		h.onTransaction(e, &r.peer, false)
	case wire.TypeHandshake:
		hs, err := wire.ParseHandshake(body)
		if err != nil {
			return err
		}
		h.locate(r, &hs)
	case wire.TypeSyncRequest:
		q, err := wire.ParseSyncRequest(body)
		if err != nil {
			return err
		}
		r.r.Sync(h.node.done, h.fetcher(), q.Start, q.End)
	case wire.TypeRequest:
		q, err := wire.ParseRequest(body)
		if err != nil {
			return err
		}
		h.onRequest(r, &q)
	case wire.TypeNotice:
		n, err := wire.ParseNotice(body)
		if err != nil {
			return err
		}
		h.recallTold(r, &n)
		h.onNotice(r, &n)
	}
	return nil
}

// onNotice tells a replica that takes this relay for far behind that it is not: until
// then it sends nothing live. It comes to think so when another relay has brought it
// forward while our echo was on the way. A new block that is young would tell it as
// well, but there is none while another relay feeds it, nor in our own round
// (net_plugin.cpp:2256-2276, 2442-2445, 3637-3640).
func (h *hub) onNotice(r *replica, n *wire.Notice) {
	if n.KnownBlocks.Mode != wire.ModeLastIrrCatchUp {
		return
	}
	f := wire.Encode(&wire.Request{})
	r.conn.Send(conn.Control, f)
	f.Release()
}

// watched reports whether the replica has been heard since before the block
// could have a child by it: then its first child of it cannot have been missed.
// A block that is new to this relay alone, because it started late, is not
// enough: the replica had it, and more, when it connected.
func (h *hub) watched(r *replica, previous wire.ID) bool {
	if previous == r.headID {
		return true // when it connected, its child was still to be built
	}
	p := h.ring.Get(previous)
	return p != nil && p.Seen > r.since && p.Block.Num() > r.head
}

// onRequest answers a catch-up request: what the replica lacks is pushed.
func (h *hub) onRequest(r *replica, q *wire.Request) {
	if q.ReqBlocks.Mode != wire.ModeCatchUp {
		return
	}
	if len(q.ReqBlocks.IDs) > 0 {
		if e := h.ring.Get(q.ReqBlocks.IDs[0]); e != nil {
			h.ring.Note(e, r.number)
			h.credit(e)
		}
	}
	h.catchUp(r)
}

// locate places a replica on the chain by its handshake, and gives it what it
// lacks: from the ring, or by telling it to sync (p2p notes, 4.3 i-iii).
func (h *hub) locate(r *replica, hs *wire.Handshake) {
	h.ring.Forget(r.number)
	r.floor, r.rootID = hs.RootNum, hs.RootID
	if e := h.ring.Get(hs.HeadID); e != nil { // public or not: it has what that builds on
		h.ring.Note(e, r.number)
		h.credit(e)
	}
	if r.woken {
		r.woken = false
		h.sendAttach(r)
	}
	h.setSyncing(r, false)
	h.catchUp(r)
	h.recall(r, hs.HeadID, time.Now())
}

// catchUp gives the replica everything up to the front.
func (h *hub) catchUp(r *replica) {
	if front := h.front(); front != nil {
		h.tellReplica(r, front)
	}
}

// tellReplica gives a replica a public block and what it lacks before it, if
// it hears the chain live.
func (h *hub) tellReplica(r *replica, e *ring.Entry) {
	if r.muted || r.syncing {
		return
	}
	for e = h.offered(r, e); e != nil && h.withheld(r, e); {
		e = h.ring.Parent(e)
	}
	if e == nil {
		return
	}
	h.wakeSpare(r, e)
	switch h.supply(&r.peer, e) {
	case supplyUnlinked:
		h.startSync(r)
	case supplyBehind:
		h.replicaState(r)
	case supplyDone:
	}
}

// withheld reports whether a block of ours must not reach the replica yet.
// Releases before Spring drop a sibling's block while they produce, and Leap 5
// then refuses it for ever as a duplicate: they get it when the round is over,
// with the first block of another round (p2p notes, 7.1, 7.2). A round's
// blocks come before their time, the first one before the round has begun.
func (h *hub) withheld(r *replica, e *ring.Entry) bool {
	return r.version < wire.ProtoVotes && !r.observer &&
		h.sched.IsOurs(e.Block.Producer) && !e.From(r.id) &&
		e.Block.Slot/director.RoundSlots >= h.clock.SlotAt(time.Now())/director.RoundSlots
}

func (h *hub) setSyncing(r *replica, syncing bool) {
	if r.syncing == syncing {
		return
	}
	r.syncing = syncing
	h.replicaState(r)
}

// replicaState says what became of a replica, to the operator and the leader.
func (h *hub) replicaState(r *replica) {
	text := "live"
	switch {
	case r.syncing:
		text = "syncing"
	case r.behind:
		text = "behind"
	case r.pulse.silent:
		text = "silent"
	}
	if text != r.said {
		r.said = text
		h.record(Record{Kind: ReplicaState, Source: r.id, Name: r.name, Text: text})
		h.sendAttach(r)
	}
}

// unmute begins to feed a replica that another relay fed until now. What that
// one gave it is not known here: the last blocks are given again, which costs
// a replica that has them nothing.
func (h *hub) unmute(r *replica) {
	if !r.muted {
		return
	}
	r.muted = false
	if tip := h.front(); tip != nil {
		r.floor = max(r.floor, tip.Block.Num()-min(tip.Block.Num(), linkBack))
	}
	h.catchUp(r)
}

// resume goes on with peers whose queue was full and has drained, and with
// replicas that have synced.
func (h *hub) resume(now time.Time) {
	for _, r := range h.replicaSet {
		if r.resumable() {
			r.behind = false
			h.catchUp(r)
			h.replicaState(r)
		}
		h.wake(r, now)
	}
	for _, u := range h.upSet {
		h.resumePeer(&u.peer)
	}
	for _, k := range h.linkSet {
		h.resumePeer(&k.peer)
	}
}

// resumePeer is resume for an upstream or a link.
func (h *hub) resumePeer(p *peer) {
	if p.behind && !p.resumable() {
		return
	}
	p.behind = false
	if p.link == nil {
		h.supplyDecided(p)
		return
	}
	if front := h.front(); front != nil {
		h.supplyLink(p.link, front)
	}
}
