package simnet

import (
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// ParseBlock exposes the simulator's own block parser.
func ParseBlock(payload []byte) (*Block, error) { return parseBlock(payload) }

// Parse exposes the check of a block that came over the wire.
func (c *Chain) Parse(payload []byte) (*Block, error) { return c.parse(payload) }

// Child is a signed block on parent, with a certificate for it if claim is set.
func (c *Chain) Child(parent *Block, slot wire.Slot, claim Claim, memo string) (*Block, error) {
	d := draft{parent: parent, slot: slot, producer: c.ProducerAt(slot), claim: claim}
	if claim != parent.Claim {
		d.qc = c.certificate(parent.ID, claim, 7, 0)
	}
	if memo != "" {
		tx := newTx(memo, c.Clock.TimeOf(slot+100))
		d.receipts, d.txs = appendReceipt(nil, tx, 1), [][32]byte{tx.Key}
	}
	return c.seal(d)
}

// Forks exposes a fork database.
type Forks struct{ db *forkDB }

// NewForks starts with a chain under the fork choice of a release.
func NewForks(c *Chain, r Release, blocks []*Block) Forks {
	return Forks{newForkDB(c, r.forkChoice(c.Legacy), blocks)}
}

// Add links a block and returns the best one and whether the block was kept.
func (f Forks) Add(b *Block) (best *Block, kept bool, err error) {
	_, added, err := f.db.add(b)
	return f.db.best.Block, added != addUnlinkable, err
}

// Advance moves the root with the best block and returns it.
func (f Forks) Advance() *Block {
	f.db.advance(f.db.best)
	return f.db.root.Block
}

// Pool exposes what a node keeps of transactions.
type Pool struct{ p pool }

// NewPool returns an empty one.
func NewPool() *Pool { return &Pool{newPool()} }

// Applied, PutBack and Expire tell it of a block, of one that is forked out, and of the time.
func (p *Pool) Applied(keys ...[32]byte)  { p.p.remove(keys) }
func (p *Pool) PutBack(keys ...[32]byte)  { p.p.putBack(keys) }
func (p *Pool) Expire(now time.Time)      { p.p.expire(now) }
func (p *Pool) Pending(now time.Time) int { return len(p.p.pending(now)) }
