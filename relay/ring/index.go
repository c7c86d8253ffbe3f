package ring

import (
	"iter"
	"math/bits"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// index finds blocks by height and by id, which begins with the height
// (block_header.cpp:19-26). Neighbours lie beside each other: a block that comes after
// half a second finds its place and its parent in one line of cold memory.
type index struct {
	// slots holds the blocks of each height modulo their number, a power of two: lists, the newest
	// first. There are twice as many as heights in a full ring: the slots of the next heights are empty,
	// and to find that out no old block has to be fetched from memory.
	slots   []*Entry
	blocks  int
	heights int // different ones
}

func newIndex(heights int) index {
	return index{slots: make([]*Entry, 1<<bits.Len(uint(max(2*heights, 1)-1)))}
}

func (x *index) slot(num uint32) **Entry { return &x.slots[num&uint32(len(x.slots)-1)] }

// get returns the block with the id, nil if there is none.
func (x *index) get(id wire.ID) *Entry {
	for e := *x.slot(id.Num()); e != nil; e = e.next {
		if e.Block.ID == id {
			return e
		}
	}
	return nil
}

// at returns the newest block of the height, nil if there is none; see also [Entry.sibling].
func (x *index) at(num uint32) *Entry { return (*x.slot(num)).from(num) }

// sibling returns the next older block of e's height, nil if there is none.
func (e *Entry) sibling() *Entry { return e.next.from(e.Block.Num()) }

// from returns the first block of the height in a slot's list from e on.
func (e *Entry) from(num uint32) *Entry {
	for e != nil && e.Block.Num() != num {
		e = e.next
	}
	return e
}

// add puts e before all others of its height.
func (x *index) add(e *Entry) {
	num := e.Block.Num()
	if x.at(num) == nil {
		x.heights++
	}
	x.blocks++
	s := x.slot(num)
	e.next, *s = *s, e
}

// remove takes out e, which is in there.
func (x *index) remove(e *Entry) {
	s := x.slot(e.Block.Num())
	for *s != e {
		s = &(*s).next
	}
	*s, e.next = e.next, nil
	x.blocks--
	if x.at(e.Block.Num()) == nil {
		x.heights--
	}
}

// all is every block, in no order. The one at hand may be removed.
func (x *index) all() iter.Seq[*Entry] {
	return func(yield func(*Entry) bool) {
		for _, e := range x.slots {
			for e != nil {
				next := e.next
				if !yield(e) {
					return
				}
				e = next
			}
		}
	}
}
