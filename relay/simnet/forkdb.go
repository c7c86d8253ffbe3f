package simnet

import (
	"bytes"
	"fmt"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// entry is a block in a fork database, with what its branch says at it.
type entry struct {
	*Block
	parent *entry
	lib    uint32    // height that is irreversible as seen from this block
	qcSlot wire.Slot // slot of the block the newest certificate is for

	strong, weak uint64 // votes seen, by finalizer
	certified    Claim  // certificate received in a block; Num 0: none
}

// claim is the best certificate that exists for e at this node.
func (e *entry) claim(c *Chain) (Claim, bool) {
	switch {
	case ones(e.strong) >= c.Threshold || e.certified.Num != 0 && e.certified.Strong:
		return Claim{Num: e.Num(), Strong: true}, true
	case ones(e.strong|e.weak) >= c.Threshold || e.certified.Num != 0:
		return Claim{Num: e.Num()}, true
	}
	return Claim{}, false
}

func ones(v uint64) (n int) {
	for ; v != 0; v &= v - 1 {
		n++
	}
	return n
}

// added is what a fork database did with a block.
type added uint8

const (
	addUnlinkable added = iota // parent unknown, not kept
	addKnown                   // was there already
	addBranch                  // kept, not the best
	addHead                    // the best, and a child of the one before
	addSwitch                  // the best, on another branch
)

// forkDB holds the branches above the last irreversible block and that block's
// ancestors as a list by number. It has one owner.
type forkDB struct {
	chain *Chain
	rule  forkRule
	log   []*Block // numbers base..root, at least the root
	root  *entry
	byID  map[wire.ID]*entry // root and above
	best  *entry
	bare  bool // no block log: nothing below the root is served
}

// newForkDB starts with a chain: its last block is root and head.
func newForkDB(c *Chain, rule forkRule, blocks []*Block) *forkDB {
	last := blocks[len(blocks)-1]
	root := &entry{Block: last, lib: last.Num(), qcSlot: last.Slot}
	return &forkDB{
		chain: c, rule: rule, log: append([]*Block(nil), blocks...), root: root,
		byID: map[wire.ID]*entry{last.ID: root}, best: root,
	}
}

// add links a block. An error means that the block breaks the rules of its
// branch and must never be kept.
func (f *forkDB) add(b *Block) (*entry, added, error) {
	if e := f.byID[b.ID]; e != nil {
		return e, addKnown, nil
	}
	parent := f.byID[b.Previous]
	if parent == nil {
		return nil, addUnlinkable, nil
	}
	if b.Slot <= parent.Slot {
		return nil, addUnlinkable, fmt.Errorf("%w: %s is not later than its parent", ErrBlock, b)
	}

	e := &entry{Block: b, parent: parent, lib: parent.lib, qcSlot: parent.qcSlot}
	if b.Savanna {
		if err := f.claimed(e); err != nil {
			return nil, addUnlinkable, err
		}
	} else if n := b.Num(); n > f.chain.LegacyLag {
		e.lib = max(e.lib, n-f.chain.LegacyLag)
	}
	f.byID[b.ID] = e
	old := f.best
	if !f.rule.better(e, f.best) {
		return e, addBranch, nil
	}
	f.best = e
	if parent == old {
		return e, addHead, nil
	}
	return e, addSwitch, nil
}

// claimed reads the block's QC claim: what it makes irreversible
// (fork_database.cpp:251-268), and what it proves to this node.
func (f *forkDB) claimed(e *entry) error {
	was := e.parent.Claim
	if was.newer(e.Claim) || e.Claim.Num > e.parent.Num() || e.Claim != was && !e.HasQC {
		return fmt.Errorf("%w: claim of %s", ErrBlock, e.Block)
	}
	if e.Claim.Num < f.root.Num() {
		return nil
	}
	on := e.parent
	for on != nil && on.Num() > e.Claim.Num {
		on = on.parent
	}
	if on == nil {
		return nil
	}
	if e.HasQC && !f.chain.proves(e.qc, on.ID, e.Claim) {
		return fmt.Errorf("%w: certificate of %s", ErrBlock, e.Block)
	}
	e.qcSlot = max(e.qcSlot, on.Slot)
	if e.HasQC && e.Claim.newer(on.certified) {
		on.certified = e.Claim
	}
	if e.Claim.Strong {
		e.lib = max(e.lib, on.Claim.Num)
	}
	return nil
}

// advance moves the root to what head says is irreversible, forgets the other
// branches and returns how many blocks became final.
func (f *forkDB) advance(head *entry) int {
	if head.lib <= f.root.Num() {
		return 0
	}
	to := head
	for to.Num() > head.lib {
		to = to.parent
	}
	var final []*Block
	for e := to; e != f.root; e = e.parent {
		final = append(final, e.Block)
	}
	for i := len(final) - 1; i >= 0; i-- {
		f.log = append(f.log, final[i])
	}
	keep := map[wire.ID]bool{to.ID: true}
	for id, e := range f.byID {
		if id != to.ID && !f.descends(e, to, keep) {
			delete(f.byID, id)
		}
	}
	f.root = to
	to.parent = nil
	if f.byID[f.best.ID] == nil {
		f.best = to
		for _, e := range f.byID {
			if f.rule.better(e, f.best) {
				f.best = e
			}
		}
	}
	return len(final)
}

// descends reports whether e is above to, remembering what it finds.
func (f *forkDB) descends(e, to *entry, known map[wire.ID]bool) bool {
	if answer, ok := known[e.ID]; ok {
		return answer
	}
	answer := e.Num() > to.Num() && e.parent != nil && f.descends(e.parent, to, known)
	known[e.ID] = answer
	return answer
}

// has reports whether the block is on any branch or in the list.
func (f *forkDB) has(id wire.ID) bool {
	return f.byID[id] != nil || f.final(id)
}

func (f *forkDB) final(id wire.ID) bool {
	b := f.logged(id.Num())
	return b != nil && b.ID == id
}

func (f *forkDB) logged(num uint32) *Block {
	base := f.log[0].Num()
	if num < base || num > f.root.Num() {
		return nil
	}
	return f.log[num-base]
}

// at is the block of that number on head's branch.
func (f *forkDB) at(head *entry, num uint32) *Block {
	if num <= f.root.Num() {
		return f.logged(num)
	}
	for e := head; e != nil; e = e.parent {
		if e.Num() == num {
			return e.Block
		}
	}
	return nil
}

// earliest is the number of the first block there is (controller.cpp:4963-4965).
func (f *forkDB) earliest() uint32 {
	if f.bare {
		return f.root.Num()
	}
	return f.log[0].Num()
}

// served is the block of that number on the best branch, if it can still be had.
func (f *forkDB) served(num uint32) *Block {
	if num < f.earliest() {
		return nil
	}
	return f.at(f.best, num)
}

// contains reports whether ancestor is e or below it, down to the root.
func (e *entry) contains(ancestor wire.ID) bool {
	for num := ancestor.Num(); e != nil && e.Num() >= num; e = e.parent {
		if e.ID == ancestor {
			return true
		}
	}
	return false
}

// forkRule is the fork choice of a release (p2p notes, 7.4).
type forkRule uint8

const (
	forkSavanna forkRule = iota // newest certificate, then slot, then greater id (fork_database.cpp:68-75)
	forkLegacy                  // irreversible, height, then greater id (fork_database.cpp:60-66)
	forkFirst                   // irreversible, height; the first stays (Leap, EOSIO)
)

// better reports whether a beats b. A tie keeps b.
func (r forkRule) better(a, b *entry) bool {
	if r == forkSavanna {
		if a.qcSlot != b.qcSlot {
			return a.qcSlot > b.qcSlot
		}
		if a.Slot != b.Slot {
			return a.Slot > b.Slot
		}
		return bytes.Compare(a.ID[:], b.ID[:]) > 0
	}
	if a.lib != b.lib {
		return a.lib > b.lib
	}
	if a.Num() != b.Num() {
		return a.Num() > b.Num()
	}
	return r == forkLegacy && bytes.Compare(a.ID[:], b.ID[:]) > 0
}
