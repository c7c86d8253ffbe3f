package wire

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// ID is a sha256 as the protocol uses it: of a block, a node, a chain, a transaction.
type ID [32]byte

// ParseID reads an ID from 64 hex digits.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != hex.EncodedLen(len(id)) {
		return ID{}, fmt.Errorf("parse id: %d characters, want 64", len(s))
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil {
		return ID{}, fmt.Errorf("parse id: %w", err)
	}
	return id, nil
}

// Num is the block number a block id starts with, big-endian
// (block_header.cpp:19-26). It means nothing for other ids.
func (id ID) Num() uint32 { return binary.BigEndian.Uint32(id[:4]) }

// IsZero reports whether id is all zeroes, the protocol's "none".
func (id ID) IsZero() bool { return id == ID{} }

// String is the whole id, 64 hex digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Short is what people read in a log: the 8 hex digits after the block number.
func (id ID) Short() string { return hex.EncodeToString(id[4:8]) }

// StartID is the second id of a notice to a peer with version ProtoBlockRange
// or later: not a hash, only the number of the first block that can be served,
// big-endian, then zeroes (net_plugin.cpp:2269-2272, 3575-3577).
func StartID(num uint32) ID {
	var id ID
	binary.BigEndian.PutUint32(id[:4], num)
	return id
}
