package simnet

import (
	"fmt"
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

const (
	cacheLimit  = 30              // unlinkable blocks kept by Leap 5 and Spring 1.0
	futureLimit = 7 * time.Second // how far ahead a producer node takes blocks

	// A network that was broken has held back what comes within a burst, and a
	// block that comes more than lateSlots after its time.
	burst     = 100 * time.Millisecond
	lateSlots = 1
)

// onBlock is a block frame from a peer (net_plugin.cpp:3016-3090).
func (n *Node) onBlock(p *peer, payload []byte) {
	if p.inside && n.faults.delay(n, p, payload) {
		return
	}
	b, err := n.chain.parse(payload)
	if err != nil {
		n.tell(Event{Kind: Invalid, Peer: p.name(), Inside: p.inside, Detail: err.Error()})
		n.closePeer(p, false, err.Error())
		return
	}
	p.lastBlock = time.Now()
	// A block that is final or too late to matter is dropped unread: bytes that a
	// broken network held back for long arrive so, and link to nothing any more.
	// The last of them may be above what is final by now: they come with their parents,
	// or long after their time, when the parent has come before the network broke: from
	// them, or from others, and has been dropped since.
	now := time.Now()
	late := now.Sub(n.chain.Clock.TimeOf(b.Slot)) > lateSlots*n.chain.Clock.Length
	held := now.Sub(p.tailAt) < burst || late
	linked := n.db.has(b.Previous) || b.Num() <= n.db.root.Num() || p.tail == b.Previous && held || n.have[b.Previous] && late
	if linked {
		p.tail, p.tailAt = b.ID, now
	}
	ev := Event{Kind: Duplicate, Peer: p.name(), Inside: p.inside, Block: b, Linked: linked}
	if !p.known[b.ID] {
		ev.Kind = Received
	}
	n.tell(ev)
	if n.have[b.ID] {
		p.known[b.ID] = true
		n.sendNack(p, b)
		n.syncReceived(p, b)
		return
	}
	if root := n.db.root.Num(); n.sync.state != libCatchup {
		if b.Num() <= root {
			n.belowRoot(p, b)
			return
		}
	} else {
		n.syncReceived(p, b)
		if b.Num() <= root {
			return
		}
	}
	n.take(p, b)
}

// belowRoot is a block that cannot matter any more: Spring ignores it, Leap asks
// the peer to stop, EOSIO 2.0 closes (p2p notes, 4.3 ii).
func (n *Node) belowRoot(p *peer, b *Block) {
	n.tell(Event{Kind: Ignored, Peer: p.name(), Inside: p.inside, Block: b, Detail: "below root"})
	p.known[b.ID] = true
	switch {
	case n.rel.version >= wire.ProtoVotes:
		n.sendNack(p, b)
		p.stopWaiting()
	case n.rel.version >= wire.ProtoLeap:
		n.send(p, &wire.SyncRequest{})
		n.sendHandshake(p)
	default:
		n.closePeer(p, false, "block below root")
	}
}

// take puts a block into the fork database and passes it on.
func (n *Node) take(p *peer, b *Block) {
	producer := len(n.cfg.Producers) > 0
	if producer && n.chain.Clock.TimeOf(b.Slot).After(time.Now().Add(n.chain.Clock.Scale(futureLimit))) {
		n.invalid(p, b, fmt.Errorf("%w: %s is from the future", ErrBlock, b))
		return
	}
	if n.prod.busy() && n.dropSibling(p, b) {
		return
	}
	e, added, err := n.db.add(b)
	switch {
	case err != nil:
		n.invalid(p, b, err)
		return
	case added == addUnlinkable:
		n.keepUnlinkable(b)
		n.reject(p, b)
		return
	}
	n.have[b.ID] = true
	p.known[b.ID] = true
	p.rejects.accepted()
	n.accepted(e, added)
}

// accepted passes a block on, and applies it unless this node is producing.
func (n *Node) accepted(e *entry, added added) {
	n.broadcast(e.Block)
	n.replayVotes(e)
	if added == addHead || added == addSwitch {
		n.processBlocks()
	}
	n.retryCache(e.Block)
}

// dropSibling is what Leap and EOSIO do with blocks while they produce
// (p2p notes, 7.1).
func (n *Node) dropSibling(p *peer, b *Block) bool {
	switch n.rel.siblings {
	case siblingPoison:
		if n.db.byID[b.Previous] != nil {
			n.have[b.ID] = true // stays known although it was dropped
			p.known[b.ID] = true
		}
		n.keepUnlinkable(b)
	case siblingDropped:
	default:
		return false
	}
	n.tell(Event{Kind: Ignored, Peer: p.name(), Inside: p.inside, Block: b, Detail: "producing"})
	return true
}

func (n *Node) keepUnlinkable(b *Block) {
	if !n.rel.cache {
		return
	}
	n.cache = append(n.cache, b)
	if len(n.cache) > cacheLimit {
		delete(n.have, n.cache[0].ID)
		n.cache = n.cache[1:]
	}
}

// retryCache links what was waiting for a parent.
func (n *Node) retryCache(parent *Block) {
	for i, b := range n.cache {
		if b.Previous != parent.ID {
			continue
		}
		n.cache = append(append([]*Block(nil), n.cache[:i]...), n.cache[i+1:]...)
		if e, added, err := n.db.add(b); err == nil && added != addUnlinkable && added != addKnown {
			n.have[b.ID] = true
			n.accepted(e, added)
		}
		return
	}
}

// reject is a block that did not link: each brings a handshake, and 13 windows
// of them in a row a close (net_plugin.cpp:2401-2419).
func (n *Node) reject(p *peer, b *Block) {
	n.tell(Event{Kind: Unlinkable, Peer: p.name(), Inside: p.inside, Block: b})
	p.rejects.rejected(time.Now())
	n.syncRejected(b.Num())
	if p.rejects.count >= rejectLimit {
		n.closePeer(p, true, "max violations reached")
		return
	}
	n.sendHandshake(p)
}

func (n *Node) invalid(p *peer, b *Block, err error) {
	n.tell(Event{Kind: Invalid, Peer: p.name(), Inside: p.inside, Block: b, Detail: err.Error()})
	if n.rel.version < wire.ProtoVotes {
		n.reject(p, b) // EOSIO and Leap count it like any other
		return
	}
	n.closePeer(p, false, err.Error())
}

// broadcast sends a block to every peer that is current, has not had it and has
// not announced a root above it (net_plugin.cpp:2647-2691).
func (n *Node) broadcast(b *Block) {
	n.have[b.ID] = true
	if n.sync.state == libCatchup {
		return
	}
	var notice []byte
	for _, p := range n.peers {
		if !p.blocks || !p.current() || p.known[b.ID] {
			continue
		}
		p.known[b.ID] = true
		p.lastBlock = time.Now()
		if n.rel.nacks && p.version >= wire.ProtoBlockNack && p.nacks > nackLimit && !n.produces(b.Producer) {
			if notice == nil {
				notice = blockNotice(b)
			}
			p.link.send(laneGeneral, notice)
			continue
		}
		if p.root < b.Num() {
			p.link.send(laneGeneral, b.frame)
		}
	}
}

func (n *Node) produces(name wire.Name) bool {
	for _, own := range n.cfg.Producers {
		if own == name {
			return true
		}
	}
	return false
}
