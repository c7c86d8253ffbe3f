package simnet

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"
)

// A Tx is a transaction as it travels: the body of a packed_transaction
// message.
type Tx struct {
	Key     [32]byte // sha256 of Packed: what nodes tell transactions apart by
	Packed  []byte
	expires uint32 // seconds since 1970
}

// transferHead is a token transfer up to its memo, as captured from a real
// network, from ref_block_num on.
var transferHead = []byte{
	0x6b, 0x00, 0xb0, 0x75, 0x2e, 0xab, 0, 0, 0, 0, 1, // ref block, no limits, one action
	0, 0xa6, 0x82, 0x34, 0x03, 0xea, 0x30, 0x55, 0, 0, 0, 0x57, 0x2d, 0x3c, 0xcd, 0xcd, // eosio.token transfer
	1, 0, 0, 0, 0, 0, 0x85, 0x5c, 0x34, 0, 0, 0, 0, 0xa8, 0xed, 0x32, 0x32, // alice@active
}

// transferData is the action's data: alice to bob, 0.0001 SYS.
var transferData = []byte{
	0, 0, 0, 0, 0, 0x85, 0x5c, 0x34, 0, 0, 0, 0, 0, 0, 0x0e, 0x3d,
	1, 0, 0, 0, 0, 0, 0, 0, 4, 'S', 'Y', 'S', 0, 0, 0, 0,
}

// newTx is a transfer that no other memo gives, valid until expires.
func newTx(memo string, expires time.Time) *Tx {
	trx := binary.LittleEndian.AppendUint32(nil, uint32(expires.Unix()))
	trx = append(trx, transferHead...)
	trx = appendVaruint(trx, uint32(len(transferData)+1+len(memo)))
	trx = append(trx, transferData...)
	trx = append(append(trx, byte(len(memo))), memo...)
	trx = append(trx, 0) // no extensions
	h := sha256.Sum256(trx)
	sig := fakeSignature(h, 0)
	packed := append([]byte{1}, sig[:]...)
	packed = append(packed, 0, 0) // not compressed, no context-free data
	packed = appendVaruint(packed, uint32(len(trx)))
	packed = append(packed, trx...)
	return &Tx{Key: sha256.Sum256(packed), Packed: packed, expires: uint32(expires.Unix())}
}

// parseTx reads a packed_transaction that came over the wire.
func parseTx(body []byte) (*Tx, error) {
	r := reader{b: body}
	r.packedTx()
	if r.failed || len(r.b) != 0 {
		return nil, fmt.Errorf("transaction of %d bytes is malformed", len(body))
	}
	return &Tx{Key: sha256.Sum256(body), Packed: body, expires: r.expires}, nil
}

// maxCPU bounds the billed time that makes the same transactions differ
// between two producers.
const maxCPU = 1 << 12

// appendReceipt is a transaction inside a block. cpu is the time billed for it,
// in microseconds: each nodeos measures its own, so two replicas that include
// the same transactions in the same order still sign different blocks.
func appendReceipt(dst []byte, tx *Tx, cpu uint32) []byte {
	dst = append(dst, 0) // executed
	dst = binary.LittleEndian.AppendUint32(dst, 100+cpu%maxCPU)
	dst = append(dst, 0x12) // net usage in words
	dst = append(dst, 1)    // packed transaction, not an id
	return append(dst, tx.Packed...)
}
