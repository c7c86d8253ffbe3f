package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// MaxHandshakeString is the longest p2p_address, os or agent nodeos takes, in
// bytes (net_plugin.cpp:3245-3266, net_utils.hpp:19-20).
const MaxHandshakeString = 384

// ErrHandshake is returned for a handshake that nodeos answers with go_away.
var ErrHandshake = errors.New("invalid handshake")

// Handshake is message 0, the same in every release (protocol.hpp:19-36).
//
// The first one on a connection must have Generation 1: only that one is
// checked and only its version counts. Root is the last irreversible block;
// Spring's Head is the head of its fork database, which it may not have applied.
type Handshake struct {
	NetworkVersion uint16 // see DecodeVersion
	ChainID        ID
	NodeID         ID // random per nodeos process
	Key            PublicKey
	Time           int64 // nanoseconds since 1970; what Token is the hash of
	Token          ID
	Sig            Signature
	P2PAddress     string // "host:port[:trx|:blk] - 1234567", or ": - 1234567"; for people
	RootNum        uint32
	RootID         ID
	HeadNum        uint32
	HeadID         ID
	OS             string
	Agent          string // the node's agent-name option, sometimes in quotes
	Generation     int16
}

// ParseHandshake decodes the body of a handshake. It checks the layout and the
// lengths only: see Valid and CheckHandshake.
func ParseHandshake(body []byte) (Handshake, error) {
	c := cursor{b: body}
	m := Handshake{
		NetworkVersion: c.u16(),
		ChainID:        c.id(),
		NodeID:         c.id(),
		Key:            bytes.Clone(c.publicKey()),
		Time:           int64(c.u64()),
		Token:          c.id(),
		Sig:            bytes.Clone(c.signature()),
		P2PAddress:     string(c.bytes(MaxHandshakeString)),
		RootNum:        c.u32(),
		RootID:         c.id(),
		HeadNum:        c.u32(),
		HeadID:         c.id(),
		OS:             string(c.bytes(MaxHandshakeString)),
		Agent:          string(c.bytes(MaxHandshakeString)),
		Generation:     int16(c.u16()),
	}
	return decoded(TypeHandshake, m, c.end())
}

// Version is the protocol version announced.
func (m *Handshake) Version() int { return DecodeVersion(m.NetworkVersion) }

// Valid reports, as an ErrHandshake, what would make nodeos refuse m whatever
// its own state is (net_plugin.cpp:3235-3272).
func (m *Handshake) Valid() error {
	switch {
	case m.RootNum > m.HeadNum:
		return fmt.Errorf("%w: root %d above head %d", ErrHandshake, m.RootNum, m.HeadNum)
	case m.P2PAddress == "":
		return fmt.Errorf("%w: no p2p_address", ErrHandshake)
	case m.OS == "":
		return fmt.Errorf("%w: no os", ErrHandshake)
	case (!m.Token.IsZero() || !m.Sig.Empty()) && m.Token != token(m.Time):
		return fmt.Errorf("%w: token is not the hash of the time", ErrHandshake)
	}
	return nil
}

// Type is TypeHandshake.
func (*Handshake) Type() Type { return TypeHandshake }

func (m *Handshake) bodyLen() int {
	n := 2 + 32 + 32 + rawLen(m.Key, emptyKeyLen) + 8 + 32 + rawLen(m.Sig, emptySigLen) + 36 + 36 + 2
	for _, s := range [...]string{m.P2PAddress, m.OS, m.Agent} {
		s = cut(s)
		n += varuintLen(len(s)) + len(s)
	}
	return n
}

// appendBody cuts strings that no peer would take to MaxHandshakeString.
func (m *Handshake) appendBody(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint16(dst, m.NetworkVersion)
	dst = append(dst, m.ChainID[:]...)
	dst = append(dst, m.NodeID[:]...)
	dst = appendRaw(dst, m.Key, emptyKeyLen)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(m.Time))
	dst = append(dst, m.Token[:]...)
	dst = appendRaw(dst, m.Sig, emptySigLen)
	dst = appendString(dst, m.P2PAddress)
	dst = binary.LittleEndian.AppendUint32(dst, m.RootNum)
	dst = append(dst, m.RootID[:]...)
	dst = binary.LittleEndian.AppendUint32(dst, m.HeadNum)
	dst = append(dst, m.HeadID[:]...)
	dst = appendString(dst, m.OS)
	dst = appendString(dst, m.Agent)
	return binary.LittleEndian.AppendUint16(dst, uint16(m.Generation))
}

func appendString(dst []byte, s string) []byte {
	s = cut(s)
	return append(appendVaruint(dst, uint32(len(s))), s...)
}

func cut(s string) string { return s[:min(len(s), MaxHandshakeString)] }
