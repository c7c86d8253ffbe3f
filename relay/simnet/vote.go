package simnet

import (
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// earlyVotes is how many votes for unknown blocks one connection may have
// pending before it is closed (vote_processor.hpp:23).
const earlyVotes = 2500

// staleVote is for how long a vote waits for its block (vote_processor.hpp:23-26, 89-94).
const staleVote = 5 * time.Second

// A Voter is a finalizer key in use and what it has voted for: the safety file.
// It belongs to one node at a time.
type Voter struct {
	chain *Chain
	index int

	last, lock     wire.ID
	lastAt, lockAt wire.Slot
}

// NewVoter is the finalizer with that description. It reports false if the
// policy has none.
func NewVoter(c *Chain, description wire.Name) (*Voter, bool) {
	for i := range c.finalizers {
		if c.finalizers[i].description == description {
			return &Voter{chain: c, index: i}, true
		}
	}
	return nil, false
}

// decide applies the voting rules: monotony, then lock or liveness; strong if
// the block's certificate is not older than the last vote, or the block extends
// what was voted for (finalizer.cpp:8-114).
func (v *Voter) decide(n *Node, e *entry) (strong, ok bool) {
	if e.Slot <= v.lastAt {
		return false, false
	}
	if !v.lock.IsZero() && e.qcSlot <= v.lockAt && !n.extends(e, v.lock) {
		return false, false
	}
	strong = e.qcSlot >= v.lastAt || n.extends(e, v.last)
	v.last, v.lastAt = e.ID, e.Slot
	if strong && e.qcSlot > v.lockAt {
		if b := n.db.at(e, e.Claim.Num); b != nil {
			v.lock, v.lockAt = b.ID, b.Slot
		}
	}
	return strong, true
}

func (n *Node) extends(e *entry, id wire.ID) bool { return e.contains(id) || n.db.final(id) }

// castVotes lets this node's finalizers vote for a block it has applied.
func (n *Node) castVotes(e *entry) {
	if !e.Savanna || len(n.cfg.Voters) == 0 || time.Since(n.chain.Clock.TimeOf(e.Slot)) > n.timing.VoteAge {
		return
	}
	for _, v := range n.cfg.Voters {
		strong, ok := v.decide(n, e)
		if !ok {
			continue
		}
		n.tell(Event{Kind: Voted, Block: e.Block})
		f := &n.chain.finalizers[v.index]
		n.count(nil, e, v.index, wire.Vote{Block: e.ID, Strong: strong, Key: f.key, Sig: f.sign(e.ID, strong)})
	}
}

// An earlyVote came before its block.
type earlyVote struct {
	peer *peer
	vote wire.Vote
	at   time.Time
}

// onVote checks a vote; an unknown key or a bad signature closes the peer
// (net_plugin.cpp:4099-4110).
func (n *Node) onVote(p *peer, v wire.Vote) {
	i, ok := n.chain.byKey[v.Key]
	if !ok || n.chain.finalizers[i].sign(v.Block, v.Strong) != v.Sig {
		n.tell(Event{Kind: Invalid, Peer: p.name(), Inside: p.inside, Detail: "vote"})
		n.closePeer(p, false, "invalid vote")
		return
	}
	if v.Block.Num() <= n.db.root.Num() {
		return // not heard at all, nor does it end a pause (vote_processor.hpp:213-215)
	}
	e := n.db.byID[v.Block]
	if e == nil {
		n.early[v.Block] = append(n.early[v.Block], earlyVote{p, v, time.Now()})
		if p.earlyVote++; p.earlyVote > earlyVotes {
			n.closePeer(p, false, "too many votes for unknown blocks")
		}
		return
	}
	n.count(p, e, i, v)
}

// replayVotes counts the votes that came before their block.
func (n *Node) replayVotes(e *entry) {
	for _, ev := range n.early[e.ID] {
		if ev.peer.earlyVote--; time.Since(ev.at) > staleVote {
			continue
		}
		n.count(ev.peer, e, n.chain.byKey[ev.vote.Key], ev.vote)
	}
	delete(n.early, e.ID)
}

// count adds a valid vote to its block and passes it on if it is new.
func (n *Node) count(from *peer, e *entry, i int, v wire.Vote) {
	bit := uint64(1) << i
	if (e.strong|e.weak)&bit != 0 {
		return // nor does it end a pause: the producer plugin does not hear of it (vote_processor.hpp:68-75)
	}
	n.votes.vote(time.Now(), n.produces(n.chain.finalizers[i].description))
	if v.Strong {
		e.strong |= bit
	} else {
		e.weak |= bit
	}
	if n.sync.state == libCatchup {
		return
	}
	var frame []byte
	for _, p := range n.peers {
		if p == from || !p.blocks || !p.current() || p.version < wire.ProtoVotes {
			continue
		}
		if frame == nil {
			frame = wire.Append(nil, &v)
		}
		p.link.send(laneGeneral, frame)
	}
}

// voteClock decides the vote pause as production_pause_vote_tracker.hpp does:
// a kind of vote is missing when the first block since the latest one is older
// than the timeout. Votes of the node's own producer and of others count apart.
type voteClock struct {
	own, other voteTimes
	active     bool // a block has been applied since the start: votes before it are not counted (producer_plugin.cpp:441-445, 493-535)
}

// voteTolerance is for how long after a vote a block counts as one from before it
// (production_pause_vote_tracker.hpp:13, 220-230): that is how much later a pause begins.
const voteTolerance = time.Second

type voteTimes struct {
	vote, block time.Time
}

func (t *voteTimes) sawBlock(at time.Time, tolerance time.Duration) {
	if !at.Add(-tolerance).After(t.vote) || t.vote.Before(t.block) && !t.block.After(at) {
		return
	}
	t.block = at
}

func (t *voteTimes) missing(before time.Time) bool {
	return t.vote.Before(t.block) && t.block.Before(before)
}

func (c *voteClock) vote(now time.Time, own bool) {
	if !c.active {
		return
	}
	t := &c.other
	if own {
		t = &c.own
	}
	t.vote = now
}

// block counts a block that was signed here, or applied: one that only has come does not count yet
// (controller.cpp:3490-3499, 3794-3799).
func (c *voteClock) block(clock Clock, slot wire.Slot) {
	c.active = true
	at, tolerance := clock.TimeOf(slot), clock.Scale(voteTolerance)
	if now := time.Now(); now.Before(at) {
		at = now
	}
	c.own.sawBlock(at, tolerance)
	c.other.sawBlock(at, tolerance)
}

// pause is the reason for not producing; empty: there is none.
func (n *Node) votePause(now time.Time) string {
	if n.chain.Legacy || n.timing.VotePause < 0 || !n.rel.votes {
		return ""
	}
	before := now.Add(-n.timing.VotePause)
	own, other := n.votes.own.missing(before), n.votes.other.missing(before)
	switch {
	case own && other:
		return "no recent votes"
	case own:
		return "no recent votes received from configured producer"
	case other:
		return "no recent votes received from others"
	}
	return ""
}
