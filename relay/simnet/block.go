package simnet

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/thinrelay/thinrelay/relay/wire"
)

const (
	savannaSchedule = 0x80000000 // schedule_version of a proper Savanna block (block_header.hpp:86-93)
	extFinality     = 2          // header extension (finality_extension.hpp:10)
	extQC           = 3          // block extension (block.hpp:55-66)
)

// ErrBlock is returned for bytes that are no block of this chain.
var ErrBlock = errors.New("invalid block")

// A Claim is the newest quorum certificate a Savanna block builds on.
type Claim struct {
	Num    uint32
	Strong bool
}

// newer orders claims as nodeos does: by block, then strong over weak.
func (c Claim) newer(than Claim) bool {
	return c.Num > than.Num || c.Num == than.Num && c.Strong && !than.Strong
}

// A Block is a parsed signed_block. It is immutable and shared by all nodes of
// a process.
type Block struct {
	ID       wire.ID
	Previous wire.ID
	Slot     wire.Slot
	Producer wire.Name
	Savanna  bool
	Claim    Claim // Savanna only
	HasQC    bool  // carries the certificate of Claim as a block extension
	Body     []byte
	Txs      [][32]byte

	sig   [sigLen]byte
	frame []byte
	qc    []byte  // the certificate's bytes
	root  wire.ID // of the transactions, by the header
	torn  bool    // and by what the block holds it is another
}

// Num is the height.
func (b *Block) Num() uint32 { return b.ID.Num() }

// String is what people read in a log.
func (b *Block) String() string {
	return fmt.Sprintf("#%d %s slot %d by %s", b.Num(), b.ID.Short(), b.Slot, b.Producer)
}

// Frame is the whole block message, ready for a socket.
func (b *Block) Frame() []byte { return b.frame }

// draft is what a producer decides about a block.
type draft struct {
	parent    *Block
	slot      wire.Slot
	producer  wire.Name
	confirmed uint16
	claim     Claim
	qc        []byte // body of the QC extension; nil: none
	receipts  []byte
	txs       [][32]byte
	legacy    bool
}

// seal turns a draft into a signed block.
func (d draft) seal(sign func(wire.ID) ([sigLen]byte, error)) (*Block, error) {
	var previous wire.ID
	if d.parent != nil {
		previous = d.parent.ID
	}
	buf := make([]byte, 5, 5+256+len(d.receipts)+len(d.qc))
	buf = binary.LittleEndian.AppendUint32(buf, uint32(d.slot))
	buf = binary.LittleEndian.AppendUint64(buf, uint64(d.producer))
	buf = binary.LittleEndian.AppendUint16(buf, d.confirmed)
	buf = append(buf, previous[:]...)
	root := receiptsRoot(d.receipts)
	buf = append(buf, root[:]...)
	action := sha256.Sum256(previous[:]) // a function of the parent, as finality_mroot is
	buf = append(buf, action[:]...)
	if d.legacy {
		buf = binary.LittleEndian.AppendUint32(buf, 1)
		buf = append(buf, 0, 0) // no new producers, no extensions
	} else {
		buf = binary.LittleEndian.AppendUint32(buf, savannaSchedule)
		buf = append(buf, 0, 1, extFinality, 0, 7)
		buf = binary.LittleEndian.AppendUint32(buf, d.claim.Num)
		buf = append(buf, flag(d.claim.Strong), 0, 0)
	}
	id := wire.ID(sha256.Sum256(buf[5:]))
	num := uint32(1)
	if d.parent != nil {
		num = d.parent.Num() + 1
	}
	binary.BigEndian.PutUint32(id[:], num)
	sig, err := sign(id)
	if err != nil {
		return nil, fmt.Errorf("sign block %d: %w", num, err)
	}
	buf = append(buf, sig[:]...)
	buf = appendVaruint(buf, uint32(len(d.txs)))
	buf = append(buf, d.receipts...)
	if d.qc != nil {
		buf = append(buf, 1, extQC, 0)
		buf = appendVaruint(buf, uint32(len(d.qc)))
		buf = append(buf, d.qc...)
	} else {
		buf = append(buf, 0)
	}
	binary.LittleEndian.PutUint32(buf, uint32(len(buf)-4))
	buf[4] = byte(wire.TypeBlock)
	return &Block{
		ID: id, Previous: previous, Slot: d.slot, Producer: d.producer, Savanna: !d.legacy, Claim: d.claim,
		HasQC: d.qc != nil, Body: buf[5:], Txs: d.txs, sig: sig, frame: buf, qc: d.qc,
	}, nil
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// parseBlock reads the payload of a frame whose type is a block: type byte and
// body. It checks the layout, not the chain's rules.
func parseBlock(payload []byte) (*Block, error) {
	body := payload[1:]
	r := reader{b: body}
	b := &Block{Body: body, Slot: wire.Slot(r.u32()), Producer: wire.Name(r.u64())}
	r.u16() // confirmed
	b.Previous = r.id()
	b.root = r.id()
	r.take(32) // merkle root of the actions
	b.Savanna = r.u32() == savannaSchedule
	if r.byte() == 1 {
		r.u32()
		for range r.varuint() {
			if r.take(8 + 34); r.failed {
				return nil, fmt.Errorf("%w: schedule ends early", ErrBlock)
			}
		}
	}
	for range r.varuint() {
		id, ext := r.u16(), reader{b: r.bytes()}
		if r.failed {
			return nil, fmt.Errorf("%w: header ends early", ErrBlock)
		}
		if id == extFinality {
			b.Claim = Claim{Num: ext.u32(), Strong: ext.byte() == 1}
		}
	}
	header := body[:len(body)-len(r.b)]
	copy(b.sig[:], r.take(sigLen))
	if err := b.parseRest(&r); err != nil {
		return nil, err
	}
	b.ID = sha256.Sum256(header)
	binary.BigEndian.PutUint32(b.ID[:], b.Previous.Num()+1)
	b.frame = make([]byte, 4+len(payload))
	binary.LittleEndian.PutUint32(b.frame, uint32(len(payload)))
	copy(b.frame[4:], payload)
	b.Body = b.frame[5:]
	return b, nil
}

// receiptsRoot stands for the merkle root of a block's transactions.
func receiptsRoot(receipts []byte) (root wire.ID) {
	if len(receipts) > 0 {
		root = sha256.Sum256(receipts)
	}
	return root
}

// parseRest reads what follows the producer's signature.
func (b *Block) parseRest(r *reader) error {
	n := r.varuint()
	start := r.b
	for range n {
		r.take(5)
		r.varuint()
		switch r.byte() {
		case 0:
			r.id()
		case 1:
			before := r.b
			r.packedTx()
			b.Txs = append(b.Txs, sha256.Sum256(before[:len(before)-len(r.b)]))
		default:
			r.failed = true
		}
		if r.failed {
			return fmt.Errorf("%w: transactions are malformed", ErrBlock)
		}
	}
	b.torn = b.root != receiptsRoot(start[:len(start)-len(r.b)])
	for range r.varuint() {
		id := r.u16()
		ext := r.bytes()
		if r.failed {
			return fmt.Errorf("%w: extensions are malformed", ErrBlock)
		}
		if id == extQC && len(ext) >= 4 && binary.LittleEndian.Uint32(ext) == b.Claim.Num {
			b.HasQC, b.qc = true, ext
		}
	}
	if r.failed || len(r.b) != 0 {
		return fmt.Errorf("%w: %d bytes left over", ErrBlock, len(r.b))
	}
	return nil
}
