package relay

import (
	"time"

	"github.com/thinrelay/thinrelay/relay/ring"
	"github.com/thinrelay/thinrelay/relay/upstream"
	"github.com/thinrelay/thinrelay/relay/wire"
)

const (
	// laggard is how far an upstream may be behind the tip, in blocks, before
	// it is neither fed nor asked: ours would be unlinkable there, and 13 of
	// those close the connection (net_plugin.cpp:694-724).
	laggard = 30
	// preload is how much of the chain below an upstream's finality is fetched
	// into an empty ring, in blocks, so that replicas a little behind find
	// what they lack.
	preload = 24
	// placeLimit is how long a new upstream may take to send its head.
	placeLimit = 1500 * time.Millisecond
)

// upPeer is the hub's view of an upstream.
type upPeer struct {
	peer
	up    *upstream.Peer
	asked time.Time // when a range was last asked for, or a block of it came; zero once its end has come
	from  uint32    // the begin of that range
	until uint32    // and its end; zero once it has come
	heard time.Time // when it last said something
	told  time.Time // when it last sent a block by others
	last  wire.ID   // and which
	// proved is when it last did that has stood the test, and stands the slot of that block: see prove.
	proved time.Time
	stands wire.Slot
	// lagging is since when it has been far behind, or says that it is far ahead; zero:
	// it is not. See stuck.
	lagging time.Time
	slot    wire.Slot // the latest slot of a block it is known to have
	final   wire.ID   // the highest block that is irreversible there, by the headers of its blocks (Savanna); zero: not known
	since   time.Time // when it connected
	// placed: its head is known here, so that what it lacks is known as well.
	placed bool
	// owes: it has been asked for the blocks up to its head; until it is placed it
	// owes them.
	owes bool
	// apart is the last block it sent that did not link to what is known here. filling:
	// the range asked for is what that lacks.
	apart   wire.ID
	filling bool
}

// upSink passes what upstreams say to the hub.
type upSink struct{ n *Node }

var _ upstream.Sink = upSink{}

// UpstreamUp implements upstream.Sink.
func (s upSink) UpstreamUp(p *upstream.Peer) {
	s.n.hub.postUrgent(s.n.done, event{kind: evUp, up: p})
}

// UpstreamDown implements upstream.Sink.
func (s upSink) UpstreamDown(p *upstream.Peer, err error) {
	s.n.hub.postUrgent(s.n.done, event{kind: evDown, up: p, err: err})
}

// UpstreamFrame implements upstream.Sink.
func (s upSink) UpstreamFrame(p *upstream.Peer, f *wire.Frame) {
	if err := s.n.hub.post(s.n.done, event{kind: evFrame, up: p, frame: f}); err != nil {
		p.Conn().Close(err)
	}
}

// fromUpstream handles an event of an upstream.
func (h *hub) fromUpstream(e *event) {
	u := h.ups[e.up]
	switch {
	case e.kind == evUp:
		h.upstreamUp(e.up)
	case u == nil:
	case e.kind == evDown:
		h.upstreamDown(u, e.err)
	default:
		h.upstreamFrame(u, e)
	}
}

func (h *hub) upstreamUp(p *upstream.Peer) {
	if err := h.cfg.Chain.Learn(p.Handshake().ChainID); err != nil {
		p.Conn().Close(err)
		return
	}
	number, err := h.peers.Join()
	if err != nil {
		p.Conn().Close(err)
		return
	}
	h.dropOtherChains()
	if e := h.believable(h.front()); e != nil {
		h.known = max(h.known, e.Block.Num()) // by whom there was: this one may be far behind
	}
	if len(h.upSet) == 0 {
		h.back = time.Now()
		h.endGap()
	}
	u := &upPeer{peer: peer{number: number, conn: p.Conn(), name: p.Addr(), teller: tellerOf(p)}, up: p, heard: time.Now(), since: time.Now()}
	h.ups[p] = u
	h.upSet = append(h.upSet, u)
	h.record(Record{Kind: UpstreamUp, Name: p.Addr()})
	h.locateUp(u)
	h.sendRosters()
}

// dropOtherChains closes replicas that came before the chain was pinned, and
// are on another.
func (h *hub) dropOtherChains() {
	id, _ := h.cfg.Chain.Get()
	for _, r := range h.replicaSet {
		if r.r.Handshake().ChainID != id {
			r.conn.Close(ErrOtherChain)
		}
	}
}

func (h *hub) upstreamDown(u *upPeer, err error) {
	delete(h.ups, u.up)
	h.upSet = without(h.upSet, u)
	h.peers.Leave(u.number)
	h.record(Record{Kind: UpstreamDown, Name: u.name, Err: err})
	if len(h.upSet) == 0 {
		h.sendRosters() // followers are to know when a gap begins
	}
}

// locateUp places an upstream on the chain by what it last told, asks it for
// what the ring lacks and gives it what it lacks (p2p notes, 4.3 v-vii).
func (h *hub) locateUp(u *upPeer) {
	head, root := u.up.Head(), u.up.Root()
	u.floor, u.rootID = root.Num(), root
	if e := h.ring.Get(head); e != nil {
		u.slot, u.placed = max(u.slot, e.Block.Slot), true
		h.onNetworkBlock(e.Block, e.Frame, &u.peer)
		h.finalize(u, e)
	} else if !h.lags(u) {
		h.fetchHead(u, root, head)
	}
	h.supplyDecided(&u.peer)
}

// fetchHead asks an upstream for its chain from its finality, or from where ours
// may part from it, up to its head; at most once a second. An upstream that has
// left that head for a lower one ends the connection when it is asked for what it
// has no more (go_away benign_other, net_plugin.cpp:1773-1779), and tells of the
// lower one in its next handshake.
func (h *hub) fetchHead(u *upPeer, root, head wire.ID) {
	if time.Since(u.asked) < time.Second || head.Num() == 0 {
		return
	}
	from := max(root.Num(), preload+1) - preload
	if tip := h.ring.Tip(); tip != nil {
		if head.Num() > tip.Block.Num()+uint32(h.cfg.RingBlocks)/2 {
			if now := time.Now(); now.Sub(h.moved) < strandedFor*h.cfg.SlotLength || h.upheld(tip, u, now) {
				return // the chain goes on here, or ends: nobody is that far ahead of it
			}
			h.empty() // away for longer than the ring reaches: begin anew
			h.oweHeads()
		} else {
			from = max(min(h.common(), root.Num()), 1) + 1
		}
	} else if last := u.last.Num(); last > head.Num() { // it has gone on since
		from = max(root.Num(), u.final.Num(), last-min(last, forkDepth, uint32(h.cfg.RingBlocks)/2), preload+1) - preload
		head = u.last
	} else if u.up.Height() > head.Num()+uint32(h.cfg.RingBlocks)/2 {
		return // told long ago: what it sends now would lie beside that
	}
	if from <= head.Num() {
		u.owes = true
		u.ask(from, head.Num(), false, time.Now())
	}
}

// ask asks for a range of blocks. A node serves one range at a time, and an older
// one begins anew when it is asked again: the next is asked for when this one has
// come, or nothing of it for a second. filling: it is for what u.apart lacks. What it
// says it has no more is not asked for.
func (u *upPeer) ask(from, to uint32, filling bool, now time.Time) {
	from = max(from, u.earliest())
	u.asked, u.from, u.until, u.filling = now, from, to, filling
	u.up.RequestRange(from, to)
}

// served notes that a block of the range asked for has come.
func (u *upPeer) served(num uint32, now time.Time) {
	switch {
	case num == u.until: // it has served all it has of that
		if u.asked, u.until = (time.Time{}), 0; u.filling {
			u.apart = wire.ID{}
		}
	case num >= u.from && num < u.until:
		u.asked = now
	}
}

// dun asks upstreams again for what they were asked for and do not serve: the way to
// their heads. Until that has come, what we build on may be a branch they have left.
func (h *hub) dun(now time.Time) {
	for _, u := range h.upSet {
		if now.Sub(u.told) < strandedFor*h.cfg.SlotLength || !h.lags(u) && !h.boasts(u) {
			u.lagging = time.Time{}
		} else if u.lagging.IsZero() {
			u.lagging = now
		}
		h.prove(u, now)
		if u.owes && !u.placed {
			h.locateUp(u)
		}
		if u.apart == (wire.ID{}) {
			continue
		}
		switch e := h.ring.Get(u.apart); {
		case e != nil && !e.Public:
			h.fillGap(u, e, now)
		case e != nil:
			h.finalize(u, e) // another upstream has filled the gap
			fallthrough
		default:
			u.apart = wire.ID{}
		}
	}
}

// upstreamFrame handles one frame of an upstream.
func (h *hub) upstreamFrame(u *upPeer, e *event) {
	u.heard = e.at
	switch e.frame.Type() {
	case wire.TypeBlock:
		h.onUpstreamBlock(u, e)
	case wire.TypeVote:
		if u.up.Votes() {
			h.onOthersVote(e.frame, &u.peer)
		}
	case wire.TypeTransaction:
		h.onTransaction(e, &u.peer, true)
	case wire.TypeHandshake, wire.TypeNotice:
		h.locateUp(u)
	}
}

// onUpstreamBlock takes a block that an upstream has sent.
func (h *hub) onUpstreamBlock(u *upPeer, e *event) {
	u.served(e.block.Num(), e.at)
	if !h.sched.IsOurs(e.block.Producer) {
		u.told, u.last = e.at, e.block.ID
	}
	u.slot = max(u.slot, e.block.Slot)
	u.placed = u.placed || e.block.Num() >= u.up.Head().Num()
	if old := h.ring.Get(e.block.ID); old != nil && old.Public && old.Network && old.Has(u.number) && old.Teller == u.teller && !old.Vouched {
		return // it has said so before, and nobody else: the way down a long lie is gone once
	}
	entry := h.onNetworkBlock(e.block, e.frame, &u.peer)
	if entry == nil {
		if e.block.Num() >= u.up.Head().Num() { // nothing that it was asked for
			h.beside = e.at
			h.oppose(&u.peer, e.at)
		}
		h.locateUp(u)
		return
	}
	if !entry.Public {
		u.apart = entry.Block.ID
		h.fillGap(u, entry, e.at)
	}
	h.finalize(u, entry)
	h.align()
}

// finalize notes what is irreversible at an upstream that has e.
func (h *hub) finalize(u *upPeer, e *ring.Entry) {
	if !e.Block.QCClaim.Present {
		return
	}
	claimed := h.ring.Ancestor(e, e.Block.QCClaim.Num)
	if claimed == nil {
		return
	}
	if lib, ok := wire.Finality(e.Block, claimed.Block); ok && lib > u.final.Num() {
		// Its child may be known where it is not: after a gap.
		if child := h.ring.Ancestor(claimed, lib+1); child != nil {
			u.final = child.Block.Previous
		}
	}
}

// lags reports whether the upstream is too far behind the chain to be asked.
func (h *hub) lags(u *upPeer) bool {
	tip := h.front()
	return tip != nil && u.below(tip.Block.Num())
}

// boasts reports whether the upstream says that it is far ahead of the chain.
func (h *hub) boasts(u *upPeer) bool {
	tip := h.front()
	return tip != nil && int64(max(u.up.Height(), u.up.Head().Num()))-int64(tip.Block.Num()) > laggard
}

// below reports whether the upstream is too far below the height to be fed from there.
func (u *upPeer) below(num uint32) bool {
	return int64(num)-int64(max(u.up.Height(), u.up.Head().Num(), u.best)) > laggard
}

// supplyUp gives an upstream a block that the gate has granted, and what it
// lacks before it. A block that would not link there is not sent. What another upstream
// tells above e is no reason: it may be made up.
func (h *hub) supplyUp(u *upPeer, e *ring.Entry) {
	if u.below(e.Block.Num()) || e.Has(u.number) || h.passed(u, e) || h.dead(u, e) || h.unheard(u) {
		return
	}
	missing, ok := h.ring.Missing(h.scratch[:0], e, u.number, u.floor)
	h.scratch = missing[:0]
	if !ok || !h.sendable(u, missing) {
		return
	}
	if len(missing) == 1 { // nearly always: our new block
		h.giveNow(&u.peer, missing[0])
		return
	}
	for _, m := range missing {
		if h.give(&u.peer, m) != supplyDone {
			return
		}
	}
}

// passed reports whether an upstream has gone on without the block: it has one
// of that slot or a later one, on another branch. The block lost its place;
// there it would be ignored, if its height is final by now, and its children
// would not link. Until the upstream's head is known here nothing is sent: as
// far as the ring reaches back, e does not build on that head. Where nothing
// could be asked for, that lasts no longer than placeLimit: then it is for the
// rule of links alone to say.
func (h *hub) passed(u *upPeer, e *ring.Entry) bool {
	if !u.placed {
		u.placed = !u.owes && time.Since(u.since) > placeLimit
		return !u.placed
	}
	return u.slot >= e.Block.Slot
}

// dead reports whether e is on a branch that an upstream has dropped, since
// another one is irreversible there: e would not link, whatever was sent before,
// or is not even looked at.
func (h *hub) dead(u *upPeer, e *ring.Entry) bool {
	if u.apart != (wire.ID{}) && h.besideApart(u, e) {
		return true
	}
	if u.final == (wire.ID{}) {
		return false
	}
	if e.Block.Num() <= u.final.Num() {
		return true
	}
	a := h.ring.Ancestor(e, u.final.Num())
	return a != nil && a.Block.ID != u.final
}

// besideApart reports whether e is beside what the upstream's last block certifies, which came after a gap: until that
// is filled it is all that is known of that branch. What it certifies is no block that is later than it, nor above such a one.
func (h *hub) besideApart(u *upPeer, e *ring.Entry) bool {
	last := h.ring.Get(u.apart)
	if last == nil || !last.Block.QCClaim.Present {
		return false
	}
	a := h.ring.Ancestor(e, min(last.Block.QCClaim.Num, e.Block.Num()))
	return a != nil && a.Block.Slot > last.Block.Slot
}

// sendable reports whether every block of the list may go to the upstream, and
// the first links to something that it has: the rule behind promise S2. What one
// upstream alone has told does not go to another: that would take it for ours.
func (h *hub) sendable(u *upPeer, list []*ring.Entry) bool {
	for i, e := range list {
		if !e.Network && !e.Decided || !h.credible(e) {
			return false
		}
		if i == 0 {
			parent := h.ring.Parent(e)
			if (parent == nil || !parent.Has(u.number)) && e.Block.Previous != u.rootID {
				return false
			}
		}
	}
	return true
}
