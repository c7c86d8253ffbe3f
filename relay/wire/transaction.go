package wire

import (
	"bytes"
	"compress/zlib"
	"crypto/sha256"
	"fmt"
	"io"
)

// TrxKey identifies a packed transaction for dedup: the sha256 of its body. It
// is not the transaction id, which would need the inflated transaction; nodeos
// serialises a transaction to the same bytes wherever it passes it on.
func TrxKey(body []byte) [32]byte { return sha256.Sum256(body) }

const (
	// maxTrx bounds an inflated transaction (nodeos
	// libraries/chain/transaction.cpp, zlib_decompress: 1 MiB).
	maxTrx = 1 << 20
	// inflation is what an inflation costs besides the bytes it yields: the tables that are set up for it.
	inflation = 4 << 10
	// maxTrxList bounds the elements of any list in a transaction; each takes a
	// byte at least.
	maxTrxList = maxTrx
)

// CheckTransaction reports whether a nodeos can decode a packed_transaction
// body. It unpacks the transaction as it reads the message, and an exception
// there ends the connection (net_plugin.cpp:3008): one such message passed on
// to everybody would cost the relay every peer at once. It checks form only,
// and allocates nothing unless the transaction is compressed.
//
// A compressed transaction of 1 kB can inflate to 1 MiB and cost milliseconds,
// so room is how many bytes may be inflated at most, and cost how many were (4 KiB
// more each time). One that would need more than room is refused with ErrLimit.
func CheckTransaction(body []byte, room int) (cost int, err error) {
	c := cursor{b: body}
	for range c.count(maxTrxList) {
		if c.signature(); c.err != nil {
			break
		}
	}
	compression := c.u8()
	if compression > 1 {
		c.fail(ErrValue)
	}
	free, trx := c.bytes(MaxPayload), c.bytes(MaxPayload)
	if err := c.end(); err != nil {
		return 0, fmt.Errorf("decode packed_transaction: %w", err)
	}
	if compression == 1 {
		if trx, err = inflate(trx, room, &cost); err == nil && len(free) > 0 {
			free, err = inflate(free, room, &cost)
		}
		if err != nil {
			return cost, fmt.Errorf("decode packed_transaction: %w", err)
		}
	}
	if err := checkTrx(trx); err != nil {
		return cost, fmt.Errorf("decode transaction: %w", err)
	}
	if len(free) > 0 {
		c := cursor{b: free}
		c.skip(func() { c.bytes(MaxPayload) })
		if c.err != nil {
			return cost, fmt.Errorf("decode context-free data: %w", c.err)
		}
	}
	return cost, nil
}

// skip passes over a list.
func (c *cursor) skip(element func()) {
	for range c.count(maxTrxList) {
		if element(); c.err != nil {
			return
		}
	}
}

// checkTrx walks an inflated transaction (nodeos
// libraries/chain/include/eosio/chain/transaction.hpp). What follows it is
// ignored, as nodeos does.
func checkTrx(b []byte) error {
	c := cursor{b: b}
	c.take(4 + 2 + 4) // expiration, reference block
	c.varuint()       // max_net_usage_words
	c.u8()            // max_cpu_usage_ms
	c.varuint()       // delay_sec
	for range 2 {     // context-free actions, actions
		c.skip(func() {
			c.take(8 + 8) // account, name
			c.skip(func() { c.take(8 + 8) })
			c.bytes(MaxPayload)
		})
	}
	c.skip(func() { // extensions
		c.u16()
		c.bytes(MaxPayload)
	})
	return c.err
}

// inflate decompresses up to maxTrx bytes, if that costs no more than room with
// what it has cost before, and adds what it costs.
func inflate(b []byte, room int, cost *int) ([]byte, error) {
	limit := min(maxTrx, room-*cost-inflation)
	if limit < 0 {
		return nil, ErrLimit
	}
	*cost += inflation
	r, err := zlib.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	out, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	*cost += len(out)
	if err == nil && len(out) > limit {
		err = ErrLimit
	}
	return out, err
}
