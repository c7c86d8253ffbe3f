package relay

import (
	"bytes"
	"time"

	"github.com/thinrelay/thinrelay/dedup"
	"github.com/thinrelay/thinrelay/relay/conn"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/quarantine"
	"github.com/thinrelay/thinrelay/relay/wire"
)

const (
	// voteWindow bounds a generation of the vote filter: at most some 63 votes
	// a block (p2p notes, 8.5), so a minute of blocks.
	voteWindow = 8192
	// finalizers bounds how many finalizer keys of ours are watched.
	finalizers = 64
	// replayed is how many votes of others a newly active replica is handed.
	replayed = 64
	// ourReplayed is how many of our own are: without a recent one of its own producer's
	// finalizer a replica does not begin either (producer_plugin.cpp:2099-2122), and
	// nobody votes before there is another block.
	ourReplayed = 16
	// heldVotes bounds the votes that wait for their block.
	heldVotes = 256
	// slotVotes bounds the votes that one of our nodes tells in a slot: its own, and
	// those of others twice over.
	slotVotes = 256
	// holdVote is how long a vote waits for its block.
	holdVote = 500 * time.Millisecond
	// shunVotes is how long an upstream's votes are left out that it alone has told, and
	// noVotes how long nobody else may tell any for that: no replica produces without. Who else
	// is under suspicion does not count.
	shunVotes, noVotes = time.Minute, 2 * time.Second
)

// ballot is what a vote says: two votes of one finalizer with the same ballot
// are the same.
type ballot struct {
	block  wire.ID
	strong bool
}

// voteID names one vote of one finalizer.
type voteID struct {
	ballot
	finalizer [32]byte
}

// heldVote is a vote of ours whose block is not public yet.
type heldVote struct {
	frame  *wire.Frame
	vote   voteID
	source wire.ID
	until  time.Time
}

// keptVote is a vote of others that is kept for replay.
type keptVote struct {
	frame  *wire.Frame // nil: none
	vote   voteID
	teller quarantine.Teller
	twice  bool      // a second upstream has told the same
	given  time.Time // when replicas last got it
	judged bool      // one has hung up since
	blamed int       // how often that was so
}

// votes is the state of the vote gate.
type votes struct {
	seen   *dedup.Window[voteID]
	exact  *dedup.Window[[32]byte] // the same to the byte: see onOurVote
	keys   *dedup.Monotony[[32]byte, ballot]
	recent [replayed]keptVote // votes of others, a ring
	next   int
	ours   []heldVote // the last ones of ours that were cast, the oldest first
	held   []heldVote
	heard  time.Time                       // when the last vote of others came
	clean  time.Time                       // and the last one of an upstream whose are not left out
	shun   map[quarantine.Teller]time.Time // whose are left out, and until when
}

func newVotes() *votes {
	return &votes{
		seen:  dedup.NewWindow[voteID](voteWindow),
		exact: dedup.NewWindow[[32]byte](voteWindow),
		keys:  dedup.NewMonotony[[32]byte, ballot](finalizers),
		held:  make([]heldVote, 0, heldVotes),
		shun:  make(map[quarantine.Teller]time.Time),
	}
}

// onOthersVote takes a vote from the network's side. In votes mode it reaches
// the active replica and the observers only: that is the vote gate. An upstream can
// make up any number: they leave room for what cannot be left out.
func (h *hub) onOthersVote(f *wire.Frame, from *peer) {
	id, ok := parseVote(f)
	if !ok {
		return
	}
	h.votes.exact.Add(wire.VoteKey(f.Body()))
	if h.votes.shunned(from.teller, time.Now()) || !h.votes.seen.Add(id) {
		h.votes.again(f, id, from.teller)
		return
	}
	h.votes.heard = time.Now()
	if !h.votes.suspects(from.teller, h.votes.heard) {
		h.votes.clean = h.votes.heard
	}
	if h.mode() == director.Passive {
		h.checkMode(h.votes.heard) // the gate closes before the first one has passed it
	}
	h.votes.remember(keptVote{frame: f.Retain(), vote: id, teller: from.teller, given: h.votes.heard})
	for _, r := range h.replicaSet {
		if h.hearsVotes(r.id, r.observer) && r.conn.Roomy(f.Len()) {
			h.tellVote(r, f)
		}
	}
	for _, l := range h.linkSet {
		if &l.peer != from && l.conn.Roomy(f.Len()) {
			l.conn.Send(conn.Control, f)
		}
	}
}

// hearsVotes reports whether the replica gets the votes of others.
func (h *hub) hearsVotes(id wire.ID, observer bool) bool {
	return h.mode() == director.Passive || observer || id == h.dir.Active()
}

// onOurVote takes a vote by a replica or finalizer node of ours. The leader
// judges it; a follower passes it on. What a replica has heard of others it may tell
// as well, to another relay: that is dropped for being the same to the byte, since an
// upstream can make up a vote in our name, but not the signature.
func (h *hub) onOurVote(f *wire.Frame, source wire.ID, now time.Time) {
	if s := h.sources[source]; s != nil && !s.mayVote(h.clock.SlotAt(now)) {
		return
	}
	if h.lead == nil {
		h.creditVoted(f)
		h.passVoteUp(f, source)
		return
	}
	id, ok := parseVote(f)
	if !ok || !h.votes.exact.Add(wire.VoteKey(f.Body())) {
		return
	}
	h.votes.seen.Add(id) // when the network tells it, it is not by others
	if e := h.ring.Get(id.block); e == nil || !e.Public {
		if len(h.votes.held) < heldVotes {
			h.votes.held = append(h.votes.held, heldVote{f.Retain(), id, source, now.Add(holdVote)})
		}
		return
	}
	h.castVote(f, id, source)
}

// creditVoted takes a vote passed on as word for a block that is set aside here.
func (h *hub) creditVoted(f *wire.Frame) {
	if h.aside.Len() == 0 {
		return
	}
	if id, ok := parseVote(f); ok {
		if e := h.ring.Get(id.block); e != nil {
			h.credit(e)
		}
	}
}

// castVote sends a vote of ours up, and to our other nodes, if its finalizer
// key only votes forward.
func (h *hub) castVote(f *wire.Frame, id voteID, source wire.ID) {
	e := h.ring.Get(id.block)
	if e == nil {
		return
	}
	h.credit(e) // nodeos votes for what the scheduled producer has signed (controller.cpp:4270-4297)
	if h.votes.keys.Judge(id.finalizer, uint32(e.Block.Slot), id.ballot) == dedup.Conflict {
		h.record(Record{Kind: VoteConflict, Block: e.Block, Source: source, Name: h.sourceName(source)})
		return
	}
	h.votes.keep(f, source)
	for _, u := range h.upSet {
		if u.up.Votes() && e.Has(u.number) {
			u.conn.Send(conn.Control, f)
		}
	}
	h.record(Record{Kind: VoteUp, Block: e.Block, Source: source})
	h.spreadOurVote(f, source)
	for _, l := range h.linkSet {
		h.sendOurVote(l, f, source)
	}
}

// witness remembers a vote of ours that the leader has cast: should this relay lead
// next, its finalizer key has voted.
func (h *hub) witness(f *wire.Frame, source wire.ID) {
	id, ok := parseVote(f)
	if !ok || !h.votes.exact.Add(wire.VoteKey(f.Body())) {
		return
	}
	h.votes.keep(f, source)
	h.votes.seen.Add(id)
	if e := h.ring.Get(id.block); e != nil {
		h.votes.keys.Judge(id.finalizer, uint32(e.Block.Slot), id.ballot)
	}
}

// spreadOurVote gives a vote of ours to this relay's other replicas.
func (h *hub) spreadOurVote(f *wire.Frame, source wire.ID) {
	for _, r := range h.replicaSet {
		if r.id != source {
			h.tellVote(r, f)
		}
	}
}

// tellVote gives a replica a vote, if it hears the chain live and knows votes.
func (h *hub) tellVote(r *replica, f *wire.Frame) {
	if !r.muted && !r.syncing && !r.behind && r.version >= wire.ProtoVotes {
		r.conn.Send(conn.Control, f)
	}
}

// flush casts the votes that waited for the block.
func (v *votes) flush(h *hub, block wire.ID) {
	if h.lead == nil {
		return
	}
	kept := v.held[:0]
	for _, held := range v.held {
		if held.vote.block != block {
			kept = append(kept, held)
			continue
		}
		h.castVote(held.frame, held.vote, held.source)
		held.frame.Release()
	}
	v.held = kept
}

// expire drops the votes that waited too long: their block was suppressed.
func (v *votes) expire(now time.Time) {
	kept := v.held[:0]
	for _, held := range v.held {
		if now.Before(held.until) {
			kept = append(kept, held)
			continue
		}
		held.frame.Release()
	}
	v.held = kept
}

// remember keeps a vote of others for replay.
func (v *votes) remember(k keptVote) {
	if old := v.recent[v.next].frame; old != nil {
		old.Release()
	}
	v.recent[v.next] = k
	v.next = (v.next + 1) % replayed
}

// keep keeps a vote of ours for replay.
func (v *votes) keep(f *wire.Frame, source wire.ID) {
	if len(v.ours) == ourReplayed {
		v.ours[0].frame.Release()
		v.ours = append(v.ours[:0], v.ours[1:]...)
	}
	v.ours = append(v.ours, heldVote{frame: f.Retain(), source: source})
}

// again notes that a vote has come a second time: from another upstream, and
// the same to the byte, it is none that one of them has made up.
func (v *votes) again(f *wire.Frame, id voteID, t quarantine.Teller) {
	if t == 0 {
		return
	}
	for i := 1; i <= replayed; i++ { // the newest first
		k := &v.recent[(v.next+replayed-i)%replayed]
		if k.frame != nil && k.vote == id {
			k.twice = k.twice || k.teller != t && bytes.Equal(k.frame.Body(), f.Body())
			return
		}
	}
}

// shunned reports whether an upstream's votes are left out.
func (v *votes) shunned(t quarantine.Teller, now time.Time) bool {
	return v.suspects(t, now) && now.Sub(v.clean) < noVotes
}

// suspects reports whether an upstream's votes are to be left out, as long as others tell any.
func (v *votes) suspects(t quarantine.Teller, now time.Time) bool { return now.Before(v.shun[t]) }

// doubt drops votes that would make one active replica after another hang up:
// those that one upstream alone has told, after which a second replica has hung up
// now, and for a while what that upstream tells first: it would be the next one's turn.
// Most of what was given then has to come from two: votes are not to be lost
// where one upstream alone passes them on, for without them no standby begins.
func (v *votes) doubt(now time.Time) {
	once, twice := 0, 0
	for i := range v.recent {
		k := &v.recent[i]
		switch {
		case k.frame == nil || now.Sub(k.given) > quarantine.Trial:
		case k.twice:
			twice++
		default:
			if once++; !k.judged {
				k.judged = true
				k.blamed++
			}
		}
	}
	if once >= twice {
		return
	}
	for i := range v.recent {
		if k := &v.recent[i]; k.frame != nil && !k.twice && k.blamed >= quarantine.HangUps {
			if k.teller != 0 {
				v.shun[k.teller] = now.Add(shunVotes)
			}
			k.frame.Release()
			*k = keptVote{}
		}
	}
}

// replayVotes hands the last votes, ours and those of others, to a newly active replica, if it knows
// votes. To one that another relay feeds, that relay does.
func (h *hub) replayVotes(s *source) {
	if r := s.local; r == nil {
		h.votes.replay(nil)
	} else if r.version >= wire.ProtoVotes {
		for _, v := range h.votes.ours {
			r.conn.Send(conn.Control, v.frame)
		}
		h.votes.replay(r.conn)
	}
}

// replay sends the last votes of others, oldest first; nil: another relay does.
func (v *votes) replay(c *conn.Conn) {
	now := time.Now()
	for i := range replayed {
		if k := &v.recent[(v.next+i)%replayed]; k.frame != nil {
			if k.given, k.judged = now, false; c == nil {
				continue
			}
			c.Send(conn.Control, k.frame)
		}
	}
}

// release gives back all frames.
func (v *votes) release() {
	for i := range v.recent {
		if f := v.recent[i].frame; f != nil {
			f.Release()
		}
		v.recent[i] = keptVote{}
	}
	for _, v := range v.ours {
		v.frame.Release()
	}
	v.ours = nil
	for _, held := range v.held {
		held.frame.Release()
	}
	v.held = v.held[:0]
}

// parseVote reads what the filters need of a vote; false when it is malformed.
func parseVote(f *wire.Frame) (voteID, bool) {
	v, err := wire.ParseVote(f.Body())
	if err != nil {
		return voteID{}, false
	}
	return voteID{ballot{v.Block, v.Strong}, v.Finalizer()}, true
}
