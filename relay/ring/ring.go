// Package ring keeps the recent raw blocks of the chain and who has which.
//
// It is what lets a relay without chain state fill gaps: whoever lacks a block
// that the ring holds can be given it, parents first. It guarantees a bound on
// blocks and bytes whatever it is handed, that blocks which are not public take
// a quarter of it at most and never push out the tip, holds exactly one
// reference to each frame it keeps, and allocates nothing per block in steady
// state. It does no I/O, reads no clock,
// starts no goroutine, and never chooses between forks: it keeps them all.
package ring

import (
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// Entry is one block in the ring. All fields but Block, Frame and Teller are its
// owner's to write.
type Entry struct {
	Block wire.Block
	// Frame is the raw block; the ring owns one reference while the entry is
	// in it.
	Frame *wire.Frame
	// Origins are the replicas that sent the block: none for a block of the
	// network, several where idle replicas sign the same bytes.
	Origins []Origin
	// Network: an upstream has sent the block.
	Network bool
	// Emitted: the cluster has forwarded the block, as far as this relay knows.
	Emitted bool
	// Decided: the mark names the block or a descendant, or this relay's gate
	// has granted it: it may be sent to any upstream, any number of times.
	Decided bool
	// Public: the block may be given to replicas. Set by Publish.
	Public bool
	// Seen is the owner's ordinal of when the block became known.
	Seen uint64
	// Since is when it became public, and Reached by when it was at the active replica.
	Since, Reached time.Time
	// Teller is the upstream that told the block first; 0: not known. Set by Tell.
	// Vouched: a second one has it, or a replica.
	Teller  uint8
	Vouched bool
	// Shown is when it was given to a replica; zero: it is on trial when it next is.
	Shown time.Time
	// Held: it, or an ancestor, is kept from those that lack it.
	Held bool
	// Certified is the slot of the block that its newest certificate is about; 0: not
	// known.
	Certified wire.Slot

	has  Peers
	next *Entry // see index

	older, newer *Entry // in the list of private blocks
}

// Origin is a replica that sent a block.
type Origin struct {
	ID wire.ID
	// Watched: see gate.Block.
	Watched bool
}

// From reports whether the replica sent the block.
func (e *Entry) From(id wire.ID) bool {
	for i := range e.Origins {
		if e.Origins[i].ID == id {
			return true
		}
	}
	return false
}

// Has reports whether the peer is known to have the block.
func (e *Entry) Has(p Peer) bool { return e.has.has(p) }

// Ring holds blocks by id and by height.
type Ring struct {
	index     index
	lowest    uint32 // no block below it is held
	tip       *Entry
	bytes     int
	maxBlocks int
	maxBytes  int
	free      *Entry
	private   private
}

// New returns a ring of at most maxBlocks heights and maxBytes bytes.
func New(maxBlocks, maxBytes int) *Ring {
	return &Ring{
		index:     newIndex(maxBlocks),
		maxBlocks: maxBlocks,
		maxBytes:  maxBytes,
	}
}

// Len returns how many blocks the ring holds.
func (r *Ring) Len() int { return r.index.blocks }

// Bytes returns how many bytes of frames the ring holds.
func (r *Ring) Bytes() int { return r.bytes }

// Lowest returns the lowest height that the ring holds; 0 when empty.
func (r *Ring) Lowest() uint32 {
	if r.index.blocks == 0 {
		return 0
	}
	r.rise()
	return r.lowest
}

// Get returns the block with the given id, nil when it is not held.
func (r *Ring) Get(id wire.ID) *Entry { return r.index.get(id) }

// Parent returns the parent of e, nil when it is not held.
func (r *Ring) Parent(e *Entry) *Entry { return r.index.get(e.Block.Previous) }

// Tip returns the highest public block (the first seen of that height), nil
// when there is none.
func (r *Ring) Tip() *Entry { return r.tip }

// Add keeps a block and takes a reference of its own to the frame. It returns
// the entry and true, or the entry already held and false. A block lower than
// all that a full ring holds is not kept: nil, false.
func (r *Ring) Add(b wire.Block, f *wire.Frame) (*Entry, bool) {
	if e := r.index.get(b.ID); e != nil {
		return e, false
	}
	num := b.Num()
	if r.full(num) || !r.makeRoom(num, f.Len()) {
		return nil, false
	}
	e := r.take()
	e.Block, e.Frame = b, f.Retain()
	r.index.add(e)
	r.bytes += f.Len()
	if r.index.blocks == 1 || num < r.lowest {
		r.lowest = num
	}
	r.private.push(e)
	return e, true
}

// Publish marks e as public, and moves the tip to it when it is higher.
func (r *Ring) Publish(e *Entry) {
	if !e.Public {
		e.Public = true
		r.private.remove(e)
	}
	if r.tip == nil || e.Block.Num() > r.tip.Block.Num() {
		r.tip = e
	}
}

// Tell notes which upstream has told e.
func (r *Ring) Tell(e *Entry, teller uint8) {
	if !e.Public {
		r.private.told[e.Teller]--
		r.private.told[teller]++
	}
	e.Teller = teller
}

// Lacks reports that the peer does not have the block after all.
func (e *Entry) Lacks(p Peer) { e.has.remove(p) }

// Replace makes f the raw bytes of e: an id does not cover a block's signature
// and body.
func (r *Ring) Replace(e *Entry, f *wire.Frame) {
	r.bytes += f.Len() - e.Frame.Len()
	if !e.Public {
		r.private.bytes += f.Len() - e.Frame.Len()
	}
	e.Frame.Release()
	e.Frame = f.Retain()
}

// At calls yield for each block of the given height until it returns false.
func (r *Ring) At(num uint32, yield func(*Entry) bool) {
	for e := r.index.at(num); e != nil; {
		next := e.sibling()
		if !yield(e) {
			return
		}
		e = next
	}
}

// Ancestor returns the ancestor of e (or e itself) at the given height, nil
// when it is not held.
func (r *Ring) Ancestor(e *Entry, num uint32) *Entry {
	for e != nil && e.Block.Num() > num {
		e = r.Parent(e)
	}
	if e == nil || e.Block.Num() != num {
		return nil
	}
	return e
}

// Clear forgets every block.
func (r *Ring) Clear() {
	for e := range r.index.all() {
		r.index.remove(e)
		r.release(e)
	}
	r.tip, r.bytes, r.lowest, r.private = nil, 0, 0, private{}
}

// take returns an empty entry, a used one if possible.
func (r *Ring) take() *Entry {
	e := r.free
	if e == nil {
		return &Entry{}
	}
	r.free = e.next
	e.next = nil
	return e
}

// release gives e's frame back and keeps e for later.
func (r *Ring) release(e *Entry) {
	e.Frame.Release()
	*e = Entry{Origins: e.Origins[:0], next: r.free}
	r.free = e
}
