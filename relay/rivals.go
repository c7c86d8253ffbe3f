package relay

import (
	"bytes"
	"time"

	"github.com/thinrelay/thinrelay/relay/quarantine"
	"github.com/thinrelay/thinrelay/relay/ring"
	"github.com/thinrelay/thinrelay/relay/upstream"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// A block's id covers its header alone. An upstream can send a true block with
// another signature or body, and if it is the first, it is taken for the block: what
// others send has the same id. So the bytes of the second one are compared, and,
// where they differ, kept until a replica has judged the first.

// maxRivals bounds the blocks of which other bytes are kept.
const maxRivals = 16

// rival is what a second upstream has sent for a block that is here.
type rival struct {
	frame  *wire.Frame
	teller quarantine.Teller
	at     time.Time
}

// contradicts reports whether f, which an upstream has sent for e, is not what
// another one has sent.
func (h *hub) contradicts(e *ring.Entry, f *wire.Frame, t quarantine.Teller) bool {
	return !e.Vouched && e.Teller != 0 && e.Teller != t && e.Frame != f && !bytes.Equal(e.Frame.Body(), f.Body())
}

// addRival keeps other bytes for a block; if it is set aside, they take its place
// at once. Blocks in our name are left alone: what of them may leave rests on
// where they came from first.
func (h *hub) addRival(e *ring.Entry, r rival) {
	id := e.Block.ID
	if h.sched.IsOurs(e.Block.Producer) || h.rivals[id].frame != nil || len(h.rivals) >= maxRivals {
		return
	}
	r.frame.Retain()
	h.rivals[id] = r
	if h.aside.Holds(id) && h.yield(e) {
		h.aside.Release(id)
		h.readmit()
	}
}

// yield puts the rival of a block, if there is one, in its place: a replica hung
// up on what was here. Whoever sent that is dropped.
func (h *hub) yield(e *ring.Entry) bool {
	id := e.Block.ID
	r := h.rivals[id]
	if r.frame == nil {
		return false
	}
	h.record(Record{Kind: SetAside, Block: e.Block, Name: h.tellerName(e.Teller), Text: "a replica hung up after it, and another upstream has sent other bytes: those are taken"})
	if u := h.upstreamOf(e.Teller); u != nil && h.others(e.Teller) {
		u.conn.Close(upstream.ErrLied)
	}
	h.swap(e, r.frame)
	h.ring.Tell(e, r.teller)
	h.dropRivals(func(of wire.ID, _ rival) bool { return of == id })
	return true
}

// swap takes other bytes for a block. Who was given the first ones is given these
// as well, if it is still there.
func (h *hub) swap(e *ring.Entry, f *wire.Frame) {
	h.ring.Replace(e, f)
	e.Shown = time.Time{}
	for _, r := range h.replicaSet {
		e.Lacks(r.number)
	}
	for _, k := range h.linkSet {
		e.Lacks(k.number)
	}
}

// corrected takes other bytes for a block from the leader: it has seen that the
// first ones were wrong.
func (h *hub) corrected(e *ring.Entry, f *wire.Frame) {
	if e.Frame == f || h.sched.IsOurs(e.Block.Producer) || bytes.Equal(e.Frame.Body(), f.Body()) {
		return
	}
	h.swap(e, f)
	if h.aside.Release(e.Block.ID) {
		h.readmit()
	}
}

// dropRivals forgets the rivals that which names.
func (h *hub) dropRivals(which func(wire.ID, rival) bool) {
	for id, r := range h.rivals {
		if which(id, r) {
			r.frame.Release()
			delete(h.rivals, id)
		}
	}
}
