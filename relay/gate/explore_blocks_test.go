package gate_test

import (
	"encoding/binary"
	"fmt"

	"github.com/thinrelay/thinrelay/fsm"
)

// Who made a block.
const (
	makerNet  uint8 = iota // somebody else
	makerNet2              // somebody else, at the same height
	makerA                 // replica A
	makerB                 // replica B
	makerA2                // replica A again: a second child of one parent
	makers
)

// baseHeight is the height of the network block that every exploration starts on.
const baseHeight = 10

// base is the index of that block.
const base uint8 = 1

func isOurs(maker uint8) bool { return maker >= makerA }

func nodeOf(maker uint8) fsm.NodeID {
	switch maker {
	case makerA, makerA2:
		return nodeA
	case makerB:
		return nodeB
	}
	return fsm.NodeID{}
}

// block is one block of the universe. A block is what its maker builds on its parent: there is one, so that its index
// is a function of both, in whatever order blocks come to exist.
type block struct {
	id     fsm.BlockID
	slot   uint32
	parent uint8
	height uint8 // above the base
	maker  uint8
	name   string
}

// universe is every block that was ever looked at. Index 0 is no block.
type universe struct {
	blocks   []block
	children map[[2]uint8]uint8
	byID     map[fsm.BlockID]uint8
	badSlots bool // replica B's blocks have their parent's slot
}

func newUniverse(badSlots bool) *universe {
	u := &universe{children: map[[2]uint8]uint8{}, byID: map[fsm.BlockID]uint8{}, badSlots: badSlots}
	u.blocks = append(u.blocks, block{name: "nothing"})
	u.add(block{slot: 100, name: "base"})
	return u
}

func (u *universe) add(b block) uint8 {
	n := uint8(len(u.blocks))
	if int(n) != len(u.blocks) {
		panic("the universe holds 255 blocks")
	}
	binary.BigEndian.PutUint32(b.id[:], baseHeight+uint32(b.height))
	b.id[4] = n
	u.byID[b.id] = n
	u.blocks = append(u.blocks, b)
	return n
}

// child returns what the maker builds on the parent.
func (u *universe) child(parent, maker uint8) uint8 {
	key := [2]uint8{parent, maker}
	if n, ok := u.children[key]; ok {
		return n
	}
	p := u.blocks[parent]
	b := block{parent: parent, height: p.height + 1, maker: maker, slot: p.slot + 1}
	if u.badSlots && maker == makerB {
		b.slot = p.slot
	}
	b.name = fmt.Sprintf("%s/%s", p.name, [...]string{"n", "m", "A", "B", "A'"}[maker])
	n := u.add(b)
	u.children[key] = n
	return n
}

// find returns the index of a block by its id, 0 for the zero id.
func (u *universe) find(id fsm.BlockID) uint8 { return u.byID[id] }

func (u *universe) mark(m fsm.Mark) string {
	if m == (fsm.Mark{}) {
		return "nothing"
	}
	source := "?"
	switch m.Source {
	case nodeA:
		source = "A"
	case nodeB:
		source = "B"
	}
	return fmt.Sprintf("(%s, %s)", u.blocks[u.find(m.Last)].name, source)
}
