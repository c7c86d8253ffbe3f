package wire

import (
	"encoding/binary"
	"strconv"
)

// ChainSize is message 1, which no release acts on.
type ChainSize struct {
	RootNum uint32
	RootID  ID
	HeadNum uint32
	HeadID  ID
}

// ParseChainSize decodes the body of a chain_size message.
func ParseChainSize(body []byte) (ChainSize, error) {
	c := cursor{b: body}
	m := ChainSize{RootNum: c.u32(), RootID: c.id(), HeadNum: c.u32(), HeadID: c.id()}
	return decoded(TypeChainSize, m, c.end())
}

// Type is TypeChainSize.
func (*ChainSize) Type() Type { return TypeChainSize }

func (*ChainSize) bodyLen() int { return 72 }

func (m *ChainSize) appendBody(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, m.RootNum)
	dst = append(dst, m.RootID[:]...)
	dst = binary.LittleEndian.AppendUint32(dst, m.HeadNum)
	return append(dst, m.HeadID[:]...)
}

// GoAwayReason says why a peer closes. It is four bytes on the wire, as every
// enum without reflection is.
type GoAwayReason uint32

// The reasons nodeos knows (protocol.hpp:38-51). A replica that gets any of them
// but GoAwayBenign forgets the relay until it restarts: never send one to it.
const (
	GoAwayNone GoAwayReason = iota
	GoAwaySelf
	GoAwayDuplicate
	GoAwayWrongChain
	GoAwayWrongVersion
	GoAwayForked
	GoAwayUnlinkable
	GoAwayBadTransaction
	GoAwayValidation
	GoAwayBenign
	GoAwayFatal
	GoAwayAuthentication
)

// String is the reason in nodeos's words.
func (r GoAwayReason) String() string {
	names := [...]string{
		"no_reason", "self", "duplicate", "wrong_chain", "wrong_version", "forked", "unlinkable",
		"bad_transaction", "validation", "benign_other", "fatal_other", "authentication",
	}
	if int64(r) < int64(len(names)) {
		return names[r]
	}
	return "reason_" + strconv.FormatUint(uint64(r), 10)
}

// GoAway is message 2. Its sender closes once it is written, unless the reason
// is GoAwayNone (net_plugin.cpp:1828-1833).
type GoAway struct {
	Reason GoAwayReason
	NodeID ID
}

// ParseGoAway decodes the body of a go_away message.
func ParseGoAway(body []byte) (GoAway, error) {
	c := cursor{b: body}
	m := GoAway{Reason: GoAwayReason(c.u32()), NodeID: c.id()}
	return decoded(TypeGoAway, m, c.end())
}

// Type is TypeGoAway.
func (*GoAway) Type() Type { return TypeGoAway }

func (*GoAway) bodyLen() int { return 36 }

func (m *GoAway) appendBody(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(m.Reason))
	return append(dst, m.NodeID[:]...)
}
