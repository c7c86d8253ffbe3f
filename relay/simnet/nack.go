package simnet

import (
	"encoding/binary"
	"fmt"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// nackLimit is how many consecutive nacks a peer may send before it gets notices
// instead of blocks (net_plugin.cpp:883).
const nackLimit = 2

// rawFrame is a message with a body of fixed 32-byte ids.
func rawFrame(t wire.Type, ids ...wire.ID) []byte {
	out := make([]byte, 5, 5+32*len(ids))
	binary.LittleEndian.PutUint32(out, uint32(1+32*len(ids)))
	out[4] = byte(t)
	for _, id := range ids {
		out = append(out, id[:]...)
	}
	return out
}

func blockNotice(b *Block) []byte { return rawFrame(wire.TypeBlockNotice, b.Previous, b.ID) }

// sendNack tells a peer of Spring 1.1 or later that its block was known.
func (n *Node) sendNack(p *peer, b *Block) {
	if n.rel.nacks && p.version >= wire.ProtoBlockNack && n.sync.state != libCatchup {
		p.link.send(laneGeneral, rawFrame(wire.TypeBlockNack, b.ID))
	}
}

// onNewer is a message of Spring 1.0 or later; older releases close on an index
// they do not know.
func (n *Node) onNewer(p *peer, t wire.Type, body []byte) error {
	r := reader{b: body}
	switch {
	case t == wire.TypeVote && n.rel.version >= wire.ProtoVotes:
		v, err := wire.ParseVote(body)
		if err == nil {
			n.onVote(p, v)
		}
		return err
	case t == wire.TypeBlockNack && n.rel.version >= wire.ProtoBlockNack:
		n.onNack(p, r.id())
	case t == wire.TypeBlockNotice && n.rel.version >= wire.ProtoBlockNack:
		n.onBlockNotice(p, r.id(), r.id())
	case t == wire.TypeGossipPeers && n.rel.version >= wire.ProtoGossip:
		return nil
	default:
		return fmt.Errorf("message %d is unknown to %s", t, n.rel.name)
	}
	if r.failed || len(r.b) != 0 {
		return fmt.Errorf("%s of %d bytes", t, len(body))
	}
	return nil
}

// onNack counts blocks that the peer had already (net_plugin.cpp:3690-3716).
func (n *Node) onNack(p *peer, id wire.ID) {
	num := id.Num()
	if num == 0 {
		p.nacks, p.lastNack = 0, 0
		return
	}
	if num <= n.db.root.Num() || n.have[id] {
		if num-1 == p.lastNack {
			p.nacks++
		} else {
			p.nacks = 0
		}
		p.known[id] = true
	}
	p.lastNack = num
}

// onBlockNotice asks for a block whose parent is missing as well
// (net_plugin.cpp:3721-3757).
func (n *Node) onBlockNotice(p *peer, previous, id wire.ID) {
	if id.Num()-1 != previous.Num() {
		n.closePeer(p, false, "invalid block notice")
		return
	}
	if id.Num() <= n.db.root.Num() {
		return
	}
	if n.have[id] {
		p.known[id] = true
		return
	}
	if n.have[previous] || n.db.has(previous) {
		return
	}
	for _, other := range n.peers {
		if other.asked == previous {
			return
		}
	}
	p.asked = previous
	p.link.send(laneGeneral, rawFrame(wire.TypeBlockNack, wire.ID{}))
	n.send(p, &wire.Request{ReqBlocks: wire.IDList{Mode: wire.ModeNormal, IDs: []wire.ID{previous, n.head.ID}}})
}
