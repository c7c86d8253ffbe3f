package wire

import "crypto/sha256"

// Vote is message 9, a finalizer's vote for a block (vote_message.hpp:15-29). It
// is not verified here.
type Vote struct {
	Block  ID
	Strong bool
	Key    [96]byte  // BLS public key of the finalizer
	Sig    [192]byte // BLS signature
}

// VoteMessage is Vote as a Message.
type VoteMessage = Vote

const voteLen = 32 + 1 + 1 + 96 + 2 + 192

// ParseVote decodes the body of a vote without allocating.
func ParseVote(body []byte) (Vote, error) {
	var v Vote
	c := cursor{b: body}
	v.Block = c.id()
	v.Strong = c.flag()
	c.exactly(v.Key[:])
	c.exactly(v.Sig[:])
	return decoded(TypeVote, v, c.end())
}

// exactly reads a byte string whose length the protocol fixes.
func (c *cursor) exactly(dst []byte) {
	p := c.bytes(len(dst))
	if c.err == nil && len(p) != len(dst) {
		c.fail(ErrValue)
	}
	copy(dst, p)
}

// Finalizer is the sha256 of the BLS key: a name for whoever voted that fits a map.
func (m *Vote) Finalizer() [32]byte { return sha256.Sum256(m.Key[:]) }

// Type is TypeVote.
func (*Vote) Type() Type { return TypeVote }

func (*Vote) bodyLen() int { return voteLen }

func (m *Vote) appendBody(dst []byte) []byte {
	dst = append(dst, m.Block[:]...)
	strong := byte(0)
	if m.Strong {
		strong = 1
	}
	dst = append(dst, strong)
	dst = append(appendVaruint(dst, uint32(len(m.Key))), m.Key[:]...)
	return append(appendVaruint(dst, uint32(len(m.Sig))), m.Sig[:]...)
}

// VoteKey identifies a vote for dedup: the sha256 of its body. BLS signatures
// are deterministic, so the same vote from two nodes has the same key.
func VoteKey(body []byte) [32]byte { return sha256.Sum256(body) }
