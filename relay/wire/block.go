package wire

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/eoscanada/eos-go/ecc"
)

// Block is what a relay needs to know of a signed block: its header, without
// the roots, and its id.
type Block struct {
	ID              ID
	Previous        ID
	Slot            Slot
	Producer        Name
	ScheduleVersion uint32
	HeaderLen       int // bytes of the body the id covers; the producer's signature follows
	QCClaim         QCClaim
}

// QCClaim is what a Savanna header says about the newest quorum certificate
// its branch contains (finality_extension.hpp:10).
type QCClaim struct {
	Num     uint32 // of the block the certificate is for
	Strong  bool
	Present bool // false: no finality extension, a block from before Savanna
}

// savannaSchedule is the schedule_version of every proper Savanna block
// (block_header.hpp:86-93).
const savannaSchedule = 1 << 31

// finalityExtension is the id of the header extension with the QC claim.
const finalityExtension = 2

// maxProducers bounds a schedule inside a header; nodeos's is 125.
const maxProducers = 125

// maxHeight bounds heights: who counts them may go one further than the last.
const maxHeight = 1<<32 - 2

// Num is the block's height.
func (b Block) Num() uint32 { return b.Previous.Num() + 1 }

// Savanna reports whether b is a proper Savanna block: finality by votes, and
// the producer signs the block id itself. A block of the transition is not yet.
func (b Block) Savanna() bool { return b.QCClaim.Present && b.ScheduleVersion == savannaSchedule }

// ParseBlock walks the header of a signed block (block_header.hpp:115-118) and
// computes its id (block_header.cpp:19-26). It does not allocate and reads
// nothing behind the producer's signature. Errors are those of the decoders;
// they also cover what makes nodeos close the connection a block came on: a
// WebAuthn signature (net_plugin.cpp:3074-3087).
func ParseBlock(body []byte) (Block, error) {
	var b Block
	c := cursor{b: body}
	b.Slot = Slot(c.u32())
	b.Producer = Name(c.u64())
	c.u16() // confirmed
	b.Previous = c.id()
	c.take(32 + 32) // transaction_mroot, action_mroot
	b.ScheduleVersion = c.u32()
	if c.flag() { // new_producers
		c.u32()
		for range c.count(maxProducers) {
			c.u64()
			c.publicKey()
		}
	}
	for range c.count(len(body)) {
		b.extension(&c)
		if c.err != nil {
			break
		}
	}
	b.HeaderLen = c.off
	if sig := c.signature(); len(sig) > 0 && sig[0] == keyWA {
		c.fail(ErrValue)
	}
	if b.Previous.Num() >= maxHeight {
		c.fail(ErrValue)
	}
	if c.err != nil {
		return Block{}, fmt.Errorf("decode %s: %w", TypeBlock, c.err)
	}
	b.ID = sha256.Sum256(body[:b.HeaderLen])
	binary.BigEndian.PutUint32(b.ID[:4], b.Num())
	return b, nil
}

// extension reads one header extension.
func (b *Block) extension(c *cursor) {
	id := c.u16()
	data := c.bytes(MaxPayload)
	if id != finalityExtension || c.err != nil {
		return
	}
	e := cursor{b: data}
	claim := QCClaim{Num: e.u32(), Strong: e.flag(), Present: true}
	switch {
	case b.QCClaim.Present:
		c.fail(ErrValue)
	case e.err != nil:
		c.fail(e.err)
	}
	b.QCClaim = claim
}

// Signature is the producer's signature in the body b was parsed from, of which
// it is a part, not a copy.
func (b Block) Signature(body []byte) (Signature, error) {
	if b.HeaderLen > len(body) {
		return nil, fmt.Errorf("signature of block %d: %w", b.Num(), ErrShort)
	}
	c := cursor{b: body, off: b.HeaderLen}
	sig := c.signature()
	if c.err != nil {
		return nil, fmt.Errorf("signature of block %d: %w", b.Num(), c.err)
	}
	return sig, nil
}

// SignatureKey recovers the key that signed b, from the body b was parsed from.
// It works on Savanna blocks, whose producer signs the block id
// (block_state.cpp:73-80), and for K1 keys; older blocks sign a digest that
// needs the chain's state, and give ErrOpaque.
func (b Block) SignatureKey(body []byte) (ecc.PublicKey, error) {
	if !b.Savanna() {
		return ecc.PublicKey{}, fmt.Errorf("signature of block %d from before Savanna: %w", b.Num(), ErrOpaque)
	}
	sig, err := b.Signature(body)
	if err != nil {
		return ecc.PublicKey{}, err
	}
	key, err := recoverKey(sig, b.ID)
	if err != nil {
		return ecc.PublicKey{}, fmt.Errorf("signature of block %d: %w", b.Num(), err)
	}
	return key, nil
}
