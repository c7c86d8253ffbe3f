package ring

// private is the list of blocks that are not public, the oldest first: blocks
// that replicas signed and nobody granted, and blocks whose parent is not
// known. Anybody can make those up, so they have a budget of their own.
type private struct {
	oldest, newest *Entry
	n, bytes       int
	told           [256]int // how many by whom they were told
}

// privatePart is the part of the ring that private blocks may take.
const privatePart = 4

func (p *private) push(e *Entry) {
	e.older, e.newer = p.newest, nil
	if p.newest != nil {
		p.newest.newer = e
	} else {
		p.oldest = e
	}
	p.newest = e
	p.n++
	p.bytes += e.Frame.Len()
	p.told[e.Teller]++
}

func (p *private) remove(e *Entry) {
	if e.older != nil {
		e.older.newer = e.newer
	} else {
		p.oldest = e.newer
	}
	if e.newer != nil {
		e.newer.older = e.older
	} else {
		p.newest = e.older
	}
	e.older, e.newer = nil, nil
	p.n--
	p.bytes -= e.Frame.Len()
	p.told[e.Teller]--
}

// recent is how far below the tip a private block may still be waiting for something,
// in heights: some rounds.
const recent = 48

// strays is how many private blocks are passed over at most in search of one of the past:
// in a flood there is none.
const strays = 64

// victim is the private block to go first: the oldest of the past. Where all
// replicas sign, such ones of ours fill the budget, and a block of the network that
// waits for its parent would be the only other one. Else the oldest that no replica of
// ours has sent: those anybody can send, in any number, and one of ours may be waiting. It
// is one of the upstream that has told most of them: one that another has told may wait as
// well, and is passed over when it looks as if it were of the past, for a lie can have put the tip up.
func (r *Ring) victim() *Entry {
	p := &r.private
	most := p.most()
	for i, e := 0, p.oldest; i <= strays && e != nil; i, e = i+1, e.newer {
		if r.past(e) && (len(e.Origins) != 0 || e.Teller == most || e.Teller == 0) {
			return e
		}
	}
	for e := p.oldest; e != nil; e = e.newer {
		if len(e.Origins) == 0 && e.Teller == most {
			return e
		}
	}
	return p.oldest
}

// past reports whether a private block is too far below the tip to wait for anything.
func (r *Ring) past(e *Entry) bool {
	return r.tip != nil && int64(r.tip.Block.Num())-int64(e.Block.Num()) > recent
}

// most returns the upstream that has told most private blocks, 0 when none has told any.
func (p *private) most() (most uint8) {
	for t := 1; t < len(p.told); t++ {
		if p.told[t] > 0 && (most == 0 || p.told[t] > p.told[most]) {
			most = uint8(t)
		}
	}
	return most
}

// full reports whether a block of height num is below the span of the ring.
func (r *Ring) full(num uint32) bool {
	return r.tip != nil && int64(r.tip.Block.Num())-int64(num) >= int64(r.maxBlocks)
}

// makeRoom evicts what has to go for a block of the given height and length:
// private blocks beyond their budget, then the lowest heights, then private
// blocks (see victim), then siblings of the tip; the oldest first, and never the tip. It
// reports whether the block may be kept: one above the tip always may.
func (r *Ring) makeRoom(num uint32, length int) bool {
	for p := &r.private; p.n > 0 && (p.n >= max(r.maxBlocks/privatePart, 1) || p.bytes+length > r.maxBytes/privatePart); {
		r.evict(r.victim())
	}
	for r.tight(num, length) {
		switch e := r.lowestBelow(num); {
		case e != nil:
			r.evict(e)
		case r.private.n > 0:
			r.evict(r.victim())
		default:
			if e = r.sibling(); e == nil {
				return r.tip == nil || num > r.tip.Block.Num()
			}
			r.evict(e)
		}
	}
	return true
}

// tight reports whether one more block would break a bound.
func (r *Ring) tight(num uint32, length int) bool {
	return r.bytes+length > r.maxBytes || (r.index.heights >= r.maxBlocks && r.index.at(num) == nil)
}

// lowestBelow returns a block of the lowest height, if that is below both num
// and the tip.
func (r *Ring) lowestBelow(num uint32) *Entry {
	if r.index.blocks == 0 {
		return nil
	}
	if r.rise(); r.lowest >= num || (r.tip != nil && r.lowest >= r.tip.Block.Num()) {
		return nil
	}
	return r.index.at(r.lowest)
}

// sibling returns a block of the tip's height other than the tip.
func (r *Ring) sibling() *Entry {
	if r.tip == nil {
		return nil
	}
	var found *Entry
	for e := r.index.at(r.tip.Block.Num()); e != nil; e = e.sibling() {
		if e != r.tip {
			found = e // the newest comes first: keep the oldest
		}
	}
	return found
}

// riseSteps is how many empty heights are passed one by one.
const riseSteps = 64

// rise moves lowest up to a height that is held.
func (r *Ring) rise() {
	for range riseSteps {
		if r.index.at(r.lowest) != nil {
			return
		}
		r.lowest++
	}
	first := true
	for e := range r.index.all() {
		if num := e.Block.Num(); first || num < r.lowest {
			r.lowest, first = num, false
		}
	}
}

// evict forgets one block, which is not the tip.
func (r *Ring) evict(e *Entry) {
	r.index.remove(e)
	r.bytes -= e.Frame.Len()
	if !e.Public {
		r.private.remove(e)
	}
	r.release(e)
}
