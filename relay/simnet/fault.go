package simnet

import (
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// faults is how a node misbehaves on purpose. It belongs to the node's loop.
type faults struct {
	equivocate int           // next own blocks that get a twin
	backdate   int           // next own blocks before which one with the slot of their parent is sent
	skip       int           // blocks of its predecessor the next round ignores
	base       *entry        // what that round builds on
	baseSlot   wire.Slot     // in which slot
	lag        time.Duration // blocks from inside the network come this much later
	lagged     []laggedBlock
	overdue    bool          // a lagged block is being taken up
	stall      bool          // accepts sync requests and does not serve them
	stalled    int           // requests that were not served so
	full       time.Duration // how long it takes until an own block is full; 0: it never is
}

type laggedBlock struct {
	peer    *peer
	payload []byte
}

// delay keeps a block back. It reports true if it did.
func (f *faults) delay(n *Node, p *peer, payload []byte) bool {
	if f.overdue || f.lag <= 0 && len(f.lagged) == 0 {
		return false
	}
	f.lagged = append(f.lagged, laggedBlock{p, payload})
	time.AfterFunc(f.lag, func() {
		n.box.put(event{call: func() {
			next := f.lagged[0]
			f.lagged = f.lagged[1:]
			if next.peer.closed {
				return
			}
			f.overdue = true
			n.onBlock(next.peer, next.payload)
			f.overdue = false
		}})
	})
	return true
}

func (f *faults) serveStall() bool {
	if f.stall {
		f.stalled++
	}
	return f.stall
}

// startRound picks an older parent for the first block of a round if a
// micro-fork was asked for.
func (f *faults) startRound(n *Node) {
	if f.skip == 0 || f.baseSlot == n.prod.slot {
		return
	}
	base := n.prod.parent
	for i := 0; i < f.skip && base.parent != nil && base.Producer == n.prod.parent.Producer; i++ {
		base = base.parent
	}
	f.base, f.baseSlot, f.skip = base, n.prod.slot, 0
}

// parent is what the pending block is really built on.
func (f *faults) parent(n *Node, parent *entry) *entry {
	if f.base == nil || f.baseSlot != n.prod.slot {
		return parent
	}
	base := f.base
	f.base = nil
	return base
}

// Equivocate makes the node sign two different blocks for each of its next
// slots.
func (n *Node) Equivocate(slots int) { n.do(func() { n.faults.equivocate = slots }) }

// backdated sends, before a block, one like it with the slot of its parent.
func (f *faults) backdated(n *Node, d draft) {
	if f.backdate == 0 {
		return
	}
	f.backdate--
	d.slot = d.parent.Slot
	if b, err := n.chain.seal(d); err == nil {
		n.broadcast(b)
	}
}

// Backdate makes the node send, before each of its next blocks, one that has the
// slot of its parent, which no nodeos takes.
func (n *Node) Backdate(blocks int) { n.do(func() { n.faults.backdate = blocks }) }

// Again makes the node sign, at once, another child of a block that it has built
// on. It does not build on it itself.
func (n *Node) Again(parent wire.ID) {
	n.do(func() {
		e := n.db.byID[parent]
		slot := n.chain.Clock.SlotAt(time.Now()) + 1
		if e == nil || !n.produces(n.chain.ProducerAt(slot)) {
			return
		}
		d := draft{parent: e.Block, slot: slot, producer: n.chain.ProducerAt(slot)}
		if !n.chain.Legacy {
			d.claim, d.qc = n.bestClaim(e)
		}
		d.receipts, d.txs = n.fill(true)
		if b, err := n.chain.seal(d); err == nil {
			n.tell(Event{Kind: Produced, Block: b})
			n.broadcast(b)
		}
	})
}

// Full makes transactions fill the node's own blocks within that time: it sends each when it is
// full, not at its deadline, and begins the next at once, so that those of a round
// come up to a round ahead of their slots (producer_plugin.cpp:2160-2171, 2845-2856, 2919-2937). 0 ends it.
func (n *Node) Full(after time.Duration) { n.do(func() { n.faults.full = after }) }

// Microfork makes the node's next round begin before its predecessor's last
// blocks, as if they had come too late: they are forked out.
func (n *Node) Microfork(blocks int) { n.do(func() { n.faults.skip = blocks }) }

// Lag delays every block that reaches the node from inside the network. It is
// for listening nodes: a producer that lags forks.
func (n *Node) Lag(d time.Duration) { n.do(func() { n.faults.lag = d }) }

// StallSync makes the node accept sync requests without serving them.
func (n *Node) StallSync(on bool) { n.do(func() { n.faults.stall = on }) }

// Pause is /v1/producer/pause: it takes effect at the next start of a block.
func (n *Node) Pause() { n.do(func() { n.prod.held = true }) }

// Resume is /v1/producer/resume: it also ends a vote pause, and takes effect at
// once (producer_plugin.cpp:1190-1209).
func (n *Node) Resume() {
	n.do(func() {
		n.prod.held = false
		n.votes.own.block, n.votes.other.block = time.Time{}, time.Time{}
		if !n.prod.busy() {
			n.startBlock()
		}
	})
}

// A Lie is something a dishonest node sends to its outside peers.
type Lie uint8

// The lies.
const (
	LieSignature Lie = iota // the next block with a signature that is not its producer's
	LieSchedule             // the next block by somebody whose turn it is not
	LieVote                 // a vote with a bad signature
	LieGarbage              // a block frame that is no block
)

// Lie sends one lie to every outside peer that gets live traffic, and returns how many
// those are.
func (n *Node) Lie(kind Lie) (told int) {
	n.do(func() {
		frame := n.lie(kind)
		for _, p := range n.peers {
			if !p.inside && p.current() && frame != nil {
				p.link.send(laneGeneral, frame)
				told++
			}
		}
	})
	return told
}

func (n *Node) lie(kind Lie) []byte {
	slot := n.head.Slot + 1
	d := draft{parent: n.head.Block, slot: slot, producer: n.chain.ProducerAt(slot), claim: n.head.Claim, legacy: n.chain.Legacy}
	sign := func(id wire.ID) (sig [sigLen]byte, err error) {
		sig = fakeSignature(id, d.producer)
		sig[20] ^= 1
		return sig, nil
	}
	switch kind {
	case LieVote:
		f := &n.chain.finalizers[0]
		v := wire.Vote{Block: n.head.ID, Strong: true, Key: f.key, Sig: f.sign(n.head.ID, true)}
		v.Sig[7] ^= 1
		return wire.Append(nil, &v)
	case LieGarbage:
		return rawFrame(wire.TypeBlock, n.head.ID, n.head.ID)
	case LieSchedule:
		d.producer = n.chain.ProducerAt(slot + roundSlots)
		sign = n.chain.signer(d.producer)
	case LieSignature:
	}
	b, err := d.seal(sign)
	if err != nil {
		return nil
	}
	return b.frame
}
