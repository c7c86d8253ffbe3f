package gate_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/thinrelay/thinrelay/fsm"
)

// bounds limits an exploration, and says what is special about its world.
type bounds struct {
	heights   uint8 // heights above the base at which blocks exist
	terms     uint8 // elections that lead to a barrier
	others    uint8 // blocks by others
	crashes   uint8
	pauses    uint8 // hand-overs that fail: the same leadership begins anew
	switches  uint8 // proposals to move the mark at its own height
	resolves  uint8 // proposals to give an inherited right to somebody: see engine.resolves
	logs      uint8 // states that relays can lag behind
	badSlots  bool  // replica B builds blocks with the slot of their parent
	twoBlocks bool  // replica A builds a second child of each parent
	heardAll  bool  // a leader hears the first child before the second, and uses a right of its own for that
	replay    bool  // followers lag, and a restart begins with the oldest state
	noBarrier bool  // a leader begins with whatever it has applied: wrong
	noParents bool  // a block is sent without those of its ancestors that the network lacks: wrong
	lateLands bool  // a proposal may reach raft after the leadership it belongs to ended
	hasty     bool  // a right is resolved whatever others may have used it for, or may yet: wrong
}

// act is one step: its kind, the relay, and two arguments.
type act struct {
	kind  kind
	relay uint8
	a, b  uint8
}

type kind uint8

const (
	actElect kind = iota
	actLeadAgain
	actStop
	actAppend
	actCommit
	actApply
	actWrite
	actCrash
	actOthers
	actOffer
	actMove
	actResend
	actResolve
	actHalt
)

// yield takes a world that follows, the step that led there, and what is wrong with it, if anything.
type yield func(next world, a act, wrong string)

// steps calls yield for everything that can happen next.
func (e *engine) steps(w *world, y yield) {
	e.parent = e.network(w, e.parent[:0])
	e.elections(w, y)
	e.commit(w, y)
	e.networkBuilds(w, y)
	for r := range uint8(relays) {
		if r > w.fresh {
			break // never led: like the one before
		}
		e.ofRelay(w, r, y)
	}
}

// done finishes a step.
func (e *engine) done(w *world, a act, wrong string, y yield) {
	if !e.replay {
		e.settle(w)
	}
	y(*w, a, wrong)
}

// settle lets followers apply all, and drops the states that nobody needs any more.
func (e *engine) settle(w *world) {
	last := w.logs - 1
	first := last
	for r := range relays {
		if w.lead[r] == 0 {
			if e.info[w.gates[r]].state != e.states[w.log[last]] {
				w.gates[r] = e.call(w.gates[r], callApplied, w.log[last])
			}
			w.pos[r] = last
		}
		first = min(first, w.pos[r])
	}
	if first == 0 {
		return
	}
	copy(w.log[:], w.log[first:w.logs])
	clear(w.log[w.logs-first:])
	w.logs -= first
	for r := range w.pos {
		w.pos[r] -= first
	}
}

// agree commits entry t of the current term. It reports false when there is no room for the new state.
func (e *engine) agree(w *world, t uint16) (wrong string, room bool) {
	now := e.states[w.newest()]
	next, err := now.Apply(e.trans[t-1], uint64(w.term))
	if err != nil {
		e.seen.refused(err)
		return "", true
	}
	if next.Mark.Height() < now.Mark.Height() {
		wrong = fmt.Sprintf("S3: the mark fell from %s to %s", e.u.mark(now.Mark), e.u.mark(next.Mark))
	}
	if w.chief != 0 && e.stuck(w.gates[w.chief-1], t, next) {
		wrong += fmt.Sprintf("stuck: %s takes its proposal for under way, and it was applied", relayName(w.chief-1))
	}
	if w.logs >= maxLog || w.logs > e.logs {
		return "", false
	}
	if e.replay {
		wrong += e.restore(now, next)
	}
	if next.Mark.Height() == now.Mark.Height() {
		e.seen.sameHeight++
	}
	w.log[w.logs] = e.state(next)
	w.logs++
	return wrong, true
}

// stuck reports whether a gate does not notice that its proposal t was applied, with the state
// that is agreed on since: it would wait for ever.
func (e *engine) stuck(g uint32, t uint16, next fsm.State) bool {
	return e.info[g].asked == t && e.gates[g].Outstanding() && e.gates[e.call(g, callApplied, e.state(next))].Outstanding()
}

// restore checks, with the real shell, that a snapshot of next replaces now, and that one of now does not replace a higher next.
func (e *engine) restore(now, next fsm.State) string {
	pair := [2]uint16{e.state(now), e.state(next)}
	if e.restored[pair] {
		return ""
	}
	e.restored[pair] = true
	member := fsm.New(nil)
	into := func(s fsm.State) error {
		return member.Restore(io.NopCloser(bytes.NewReader(fsm.AppendSnapshot(nil, s))))
	}
	if err := errors.Join(into(now), into(next)); err != nil {
		return fmt.Sprintf("a restore of what was agreed is refused: %v", err)
	}
	if err := into(now); next.Mark.Height() > now.Mark.Height() && (err == nil || member.State() != next) {
		return fmt.Sprintf("S3: a restore lowered the mark from %s to %s", e.u.mark(next.Mark), e.u.mark(now.Mark))
	}
	return ""
}

// lead begins a leadership: the barrier, then the gate.
func (e *engine) lead(w *world, r uint8) {
	g := w.gates[r]
	if w.lead[r] != 0 {
		g = e.call(g, callFollow, 0)
	}
	if !e.noBarrier {
		w.pos[r] = w.logs - 1
		g = e.call(g, callApplied, w.newest())
	}
	w.gates[r] = e.call(g, callLead, uint16(w.term))
	w.lead[r], w.chief = w.term, r+1
}

// elections: a relay wins one. Of the entries of the leader before, a first part was in the winner's log, and is committed by its
// barrier; the rest is lost for ever, since a majority has an entry of the new term.
func (e *engine) elections(w *world, y yield) {
	if w.term < e.terms {
		for r := range uint8(relays) {
			if r > w.fresh {
				break
			}
			for kept := uint8(0); kept <= maxQueue; kept++ {
				if kept > 0 && w.queue[kept-1] == 0 {
					break
				}
				n, wrong, ok := *w, "", true
				for _, t := range w.queue[:kept] {
					var bad string
					if bad, ok = e.agree(&n, t); !ok {
						break
					}
					wrong += bad
				}
				if !ok {
					break
				}
				n.queue = [maxQueue]uint16{}
				for o := range n.hand {
					if o != int(r) {
						n.hand[o] = 0
					}
				}
				n.term++
				n.fresh = max(n.fresh, r+1)
				e.lead(&n, r)
				e.done(&n, act{actElect, r, kept, 0}, wrong, y)
			}
		}
	}
	// A hand-over failed: the leadership begins anew in its term, behind a barrier.
	if w.chief == 0 || w.lead[w.chief-1] != 0 || w.pause >= e.pauses {
		return
	}
	n, wrong := *w, ""
	for _, t := range w.queue {
		if t != 0 {
			bad, ok := e.agree(&n, t)
			if !ok {
				return
			}
			wrong += bad
		}
	}
	n.queue = [maxQueue]uint16{}
	n.pause++
	e.lead(&n, w.chief-1)
	e.done(&n, act{actLeadAgain, w.chief - 1, 0, 0}, wrong, y)
}

// commit: a majority has the chief's oldest entry.
func (e *engine) commit(w *world, y yield) {
	if w.queue[0] == 0 {
		return
	}
	n := *w
	copy(n.queue[:], n.queue[1:])
	n.queue[maxQueue-1] = 0
	if wrong, ok := e.agree(&n, w.queue[0]); ok {
		e.done(&n, act{actCommit, w.chief, 0, 0}, wrong, y)
	}
}

// networkBuilds: somebody else's block appears, on any block of the network, beside another or not.
func (e *engine) networkBuilds(w *world, y yield) {
	if e.others == 0 || w.net[e.others-1] != 0 {
		return
	}
	for _, p := range e.parent {
		if e.u.blocks[p].height >= e.heights {
			continue
		}
		b := e.u.child(p, makerNet)
		if e.onNet(w, b) {
			if b = e.u.child(p, makerNet2); e.onNet(w, b) {
				continue
			}
		}
		n := *w
		for i, have := range n.net {
			if have == 0 || have > b {
				copy(n.net[i+1:], n.net[i:])
				n.net[i] = b
				break
			}
		}
		e.done(&n, act{actOthers, 0, b, 0}, "", y)
	}
}
