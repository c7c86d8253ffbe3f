//go:build benchpeers

package main

import (
	"crypto/sha256"
	"encoding/binary"
	"net"
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

const (
	ours   = "bpa" // the account our replicas sign for
	theirs = "bpb" // everyone else's

	// headLen is the part of a block frame that differs from block to block: length, type and header. No header extension.
	headLen   = 5 + blockHead
	blockHead = 116

	minBlock, maxBlock = 256, 4 << 20
	genesis            = 100 // height at which chains begin
)

// chainID is the chain that all peers are on.
func chainID() wire.ID { return wire.ID{1} }

// chain makes blocks that link. Of a block only the header is made anew; the rest is one buffer for all, as in a nodeos
// that sends one block to many.
type chain struct {
	last wire.ID
	slot wire.Slot
	head [headLen]byte
	rest []byte
	bufs [2][]byte
}

// newChain returns a chain whose blocks end with what rest has.
func newChain(rest []byte) *chain {
	c := &chain{slot: wire.SlotAt(time.Now()), rest: rest}
	binary.BigEndian.PutUint32(c.last[:], genesis)
	return c
}

// next makes a child of the last block, of size bytes with its frame, and returns it as the caller must write it, with
// its height. It is valid until the next call.
func (c *chain) next(producer wire.Name, size int) (net.Buffers, uint32) {
	c.slot++
	binary.LittleEndian.PutUint32(c.head[:], uint32(size-4))
	c.head[4] = byte(wire.TypeBlock)
	header := c.head[5:]
	binary.LittleEndian.PutUint32(header, uint32(c.slot))
	binary.LittleEndian.PutUint64(header[4:], uint64(producer))
	copy(header[14:], c.last[:])
	num := c.last.Num() + 1
	c.last = sha256.Sum256(header)
	binary.BigEndian.PutUint32(c.last[:], num)
	c.bufs = [2][]byte{c.head[:], c.rest[:size-headLen]}
	return c.bufs[:], num
}

// height reads a block's height from the start of its header: one above that of the block it names as previous.
func height(header []byte) uint32 { return binary.BigEndian.Uint32(header[14:]) + 1 }
