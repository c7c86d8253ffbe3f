package simnet

import "github.com/thinrelay/thinrelay/relay/wire"

// polls holds what is promised of votes against what relays send to upstreams: each is
// sent once, for a block that the network knows, and the slots that a finalizer's key votes
// for only increase. That is a promise of one process, which is what remembers. Two that
// lead at one time, or one after the other without having heard of the vote, may let two
// votes for one slot pass: those are kept apart.
type polls struct {
	slots  map[wire.ID]wire.Slot // of the blocks that the network knows
	newest wire.Slot
	pruned wire.Slot                  // the newest when old ones were forgotten last
	cast   map[poll]map[string]ballot // by process
	left   int
	broken []Violation
	apart  []Violation
}

// poll is a finalizer's key and a slot.
type poll struct {
	key  [32]byte
	slot wire.Slot
}

// ballot is what is voted for.
type ballot struct {
	block  wire.ID
	strong bool
}

// pollSlots is how many slots are remembered.
const pollSlots = 600

// knows remembers a block that the network has.
func (p *polls) knows(b *Block) {
	if p.slots == nil {
		p.slots = make(map[wire.ID]wire.Slot)
	}
	p.slots[b.ID] = b.Slot
	if p.newest = max(p.newest, b.Slot); p.newest < p.pruned+pollSlots/4 {
		return
	}
	p.pruned = p.newest
	for id, slot := range p.slots {
		if slot+pollSlots < p.newest {
			delete(p.slots, id)
		}
	}
	for k := range p.cast {
		if k.slot+pollSlots < p.newest {
			delete(p.cast, k)
		}
	}
}

// voted is a vote that a relay has written to an upstream.
func (o *Oracle) voted(s *sent, vote wire.Vote) {
	o.mu.Lock()
	defer o.mu.Unlock()
	p, key := &o.polls, vote.Finalizer()
	p.left++
	v := Violation{Node: s.upstream, Relay: s.relay, Height: vote.Block.Num(), ID: vote.Block.String()}
	slot, known := p.slots[vote.Block]
	last, again := s.votes[key]
	if !known || again && slot <= last.slot {
		v.Other = last.block.String()
		p.broken = append(p.broken, v)
		return
	}
	b := ballot{vote.Block, vote.Strong}
	s.votes[key] = lastVote{b, slot}
	at := poll{key, slot}
	if p.cast[at] == nil {
		p.cast[at] = make(map[string]ballot)
	}
	if first, ok := p.cast[at][s.relay]; ok && first != b {
		v.Other = first.block.String()
		p.broken = append(p.broken, v)
		return
	}
	for relay, other := range p.cast[at] {
		if relay != s.relay && other != b {
			v.Other = other.block.String()
			p.apart = append(p.apart, v)
			break
		}
	}
	p.cast[at][s.relay] = b
}

// lastVote is the latest vote of a key on a connection.
type lastVote struct {
	ballot
	slot wire.Slot
}

// Votes are the votes that broke what is promised of those of one process: for a block that
// the network does not know, or not for a later slot than the ones before (Other is the
// block of the vote before, zero if there was none). Apart are votes of a key for a slot
// for which another process had let a different one pass. left is how many votes were seen
// leaving, to each upstream: what was given to Sent.
func (o *Oracle) Votes() (broken, apart []Violation, left int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	p := &o.polls
	return append([]Violation(nil), p.broken...), append([]Violation(nil), p.apart...), p.left
}
