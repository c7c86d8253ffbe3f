package simnet

import (
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

const maxBlockTxs = 500

// pool is a node's unapplied transactions.
type pool struct {
	byKey map[[32]byte]*pooled
	order []*pooled
}

type pooled struct {
	tx      *Tx
	applied bool // in a block of the current branch
}

func newPool() pool { return pool{byKey: make(map[[32]byte]*pooled)} }

// add reports false for a transaction it has seen.
func (p *pool) add(tx *Tx) bool {
	if p.byKey[tx.Key] != nil {
		return false
	}
	t := &pooled{tx: tx}
	p.byKey[tx.Key] = t
	p.order = append(p.order, t)
	return true
}

func (p *pool) pending(now time.Time) (out []*Tx) {
	for _, t := range p.order {
		if !t.applied && int64(t.tx.expires) > now.Unix() {
			out = append(out, t.tx)
		}
	}
	return out
}

func (p *pool) remove(keys [][32]byte) {
	for _, k := range keys {
		if t := p.byKey[k]; t != nil {
			t.applied = true
		} else {
			// came in a block before it came alone
			p.byKey[k] = &pooled{tx: &Tx{Key: k}, applied: true}
			p.order = append(p.order, p.byKey[k])
		}
	}
}

// putBack makes the transactions of a forked-out block pending again, but those that have come in blocks alone.
func (p *pool) putBack(keys [][32]byte) {
	for _, k := range keys {
		if t := p.byKey[k]; t != nil && len(t.tx.Packed) > 0 {
			t.applied = false
		}
	}
}

func (p *pool) expire(now time.Time) {
	kept := p.order[:0]
	for _, t := range p.order {
		if t.tx.Packed == nil {
			t.tx.expires = max(t.tx.expires, uint32(now.Unix())+1)
			t.tx.Packed = []byte{} // goes next time
			kept = append(kept, t)
			continue
		}
		if int64(t.tx.expires) > now.Unix() && len(t.tx.Packed) > 0 {
			kept = append(kept, t)
		} else {
			delete(p.byKey, t.tx.Key)
		}
	}
	clear(p.order[len(kept):])
	p.order = kept
}

// Push brings a transaction in through the node's API.
func (n *Node) Push(tx *Tx) {
	n.box.put(event{call: func() { n.spread(nil, tx) }})
}

// onTransaction is a packed_transaction from a peer (net_plugin.cpp:3095-3133).
func (n *Node) onTransaction(p *peer, body []byte) error {
	if n.sync.state == libCatchup {
		return nil
	}
	tx, err := parseTx(body)
	if err != nil {
		return err
	}
	if _, ok := p.knownTrx[tx.Key]; ok {
		return nil
	}
	p.knownTrx[tx.Key] = tx.expires
	n.spread(p, tx)
	return nil
}

// spread keeps a new transaction and sends it to who has not had it.
func (n *Node) spread(from *peer, tx *Tx) {
	if !n.pool.add(tx) {
		return
	}
	var frame []byte
	for _, p := range n.peers {
		if p == from || !p.trxs || !p.current() {
			continue
		}
		if _, ok := p.knownTrx[tx.Key]; ok {
			continue
		}
		p.knownTrx[tx.Key] = tx.expires
		if frame == nil {
			frame = wire.RawFrame(wire.TypeTransaction, tx.Packed).Bytes()
		}
		p.link.send(laneTrx, frame)
	}
	// a transaction after the deadline exhausts a speculative block, which starts
	// the next one: this is what wakes a paused producer between two blocks
	if n.prod.mode == speculating && time.Now().After(n.prod.deadline) {
		n.startBlock()
	}
}

func (p *peer) expireTrx(now time.Time) {
	for k, expires := range p.knownTrx {
		if int64(expires) <= now.Unix() {
			delete(p.knownTrx, k)
		}
	}
}
