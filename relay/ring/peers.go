package ring

import (
	"fmt"
	"slices"
)

// MaxPeers is how many peers (upstreams, replicas, links) a ring can tell
// apart at one time.
const MaxPeers = 320

// ErrTooManyPeers is returned by Join when MaxPeers are joined.
var ErrTooManyPeers = fmt.Errorf("the ring tells at most %d peers apart", MaxPeers)

// Peer is a peer's number in the ring, from Join until Leave.
type Peer uint16

// Peers is a set of peers.
type Peers [MaxPeers / 64]uint64

func (s *Peers) has(p Peer) bool { return s[p/64]&(1<<(p%64)) != 0 }
func (s *Peers) add(p Peer)      { s[p/64] |= 1 << (p % 64) }
func (s *Peers) remove(p Peer)   { s[p/64] &^= 1 << (p % 64) }

// Registry hands out peer numbers for one ring.
type Registry struct {
	ring   *Ring
	joined Peers
}

// NewRegistry returns the registry of r's peers.
func NewRegistry(r *Ring) *Registry { return &Registry{ring: r} }

// Join returns a free peer number; the peer has no block.
func (g *Registry) Join() (Peer, error) {
	for i := range MaxPeers {
		if p := Peer(i); !g.joined.has(p) {
			g.joined.add(p)
			return p, nil
		}
	}
	return 0, ErrTooManyPeers
}

// Leave gives the number back and forgets what the peer had.
func (g *Registry) Leave(p Peer) {
	g.joined.remove(p)
	g.ring.Forget(p)
}

// Forget forgets what the peer has: it is to be told anew.
func (r *Ring) Forget(p Peer) {
	for e := range r.index.all() {
		e.has.remove(p)
	}
}

// Note records that the peer has e, and with it every ancestor of e.
func (r *Ring) Note(e *Entry, p Peer) {
	for e != nil && !e.has.has(p) {
		e.has.add(p)
		e = r.Parent(e)
	}
}

// Missing appends to dst the blocks on the way to e, e included, that the
// peer lacks, parents first. Heights up to floor count as had. It returns
// false when the ring does not reach back to a block that the peer has: then
// dst holds nothing new.
func (r *Ring) Missing(dst []*Entry, e *Entry, p Peer, floor uint32) ([]*Entry, bool) {
	start := len(dst)
	for e != nil && !e.has.has(p) && e.Block.Num() > floor {
		dst = append(dst, e)
		if e.Block.Num() == floor+1 {
			slices.Reverse(dst[start:])
			return dst, true
		}
		e = r.Parent(e)
	}
	if e == nil {
		return dst[:start], false
	}
	slices.Reverse(dst[start:])
	return dst, true
}
