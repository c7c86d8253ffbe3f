package gate_test

import (
	"fmt"

	"github.com/thinrelay/thinrelay/fsm"
	"github.com/thinrelay/thinrelay/relay/gate"
)

// ofRelay: everything that happens at one relay.
func (e *engine) ofRelay(w *world, r uint8, y yield) {
	if w.pos[r] < w.logs-1 {
		n := *w
		n.pos[r]++
		n.gates[r] = e.call(n.gates[r], callApplied, n.log[n.pos[r]])
		e.done(&n, act{actApply, r, 0, 0}, "", y)
	}
	e.write(w, r, y)
	e.handOn(w, r, y)
	if w.crash < e.crashes && r < w.fresh {
		n := *w
		n.crash++
		n.gates[r], n.lead[r], n.pos[r], n.hand[r] = e.gate(*gate.New()), 0, 0, 0
		n.gates[r] = e.call(n.gates[r], callApplied, n.log[0])
		n.out[r] = [maxHeight]uint8{}
		if n.chief == r+1 {
			n.chief = 0
		}
		e.done(&n, act{actCrash, r, 0, 0}, "", y)
	}
	if w.lead[r] != 0 {
		n := *w
		n.lead[r] = 0
		n.gates[r] = e.call(n.gates[r], callFollow, 0)
		if !e.lateLands {
			n.hand[r] = 0
		}
		e.done(&n, act{actStop, r, 0, 0}, "", y)
		e.resend(w, r, y)
	}
	if m := e.halted(w, r); m != 0 {
		e.done(new(*w), act{actHalt, r, 0, m}, "stuck: nothing goes until there is another leader", y)
	}
	e.asks(w, r, y)
}

// write: the oldest block that a relay has let go reaches the network. This is where the promises are kept or broken.
func (e *engine) write(w *world, r uint8, y yield) {
	for h, b := range w.out[r] {
		if b == 0 {
			continue
		}
		n, wrong := *w, ""
		n.out[r][h] = 0
		it := &e.u.blocks[b]
		switch have := w.sent[h]; {
		case have != 0 && have != b:
			wrong = fmt.Sprintf("S1: %s and %s, both ours, at height %d", e.u.blocks[have].name, it.name, baseHeight+h+1)
		case !e.onNet(w, it.parent):
			wrong = fmt.Sprintf("S2: %s, whose parent the network does not have", it.name)
		case it.slot <= e.u.blocks[it.parent].slot:
			wrong = fmt.Sprintf("slot: %s is not later than its parent", it.name)
		}
		n.sent[h] = b
		e.seen.write(e, w, r)
		e.done(&n, act{actWrite, r, b, 0}, wrong, y)
		return
	}
}

// handOn: raft gets a proposal. It is appended in the term that the relay's raft node leads; if it leads none, the proposal is lost.
func (e *engine) handOn(w *world, r uint8, y yield) {
	if w.hand[r] == 0 || w.chief != r+1 {
		return
	}
	n := *w
	n.hand[r] = 0
	if n.enqueue(w.hand[r]) {
		e.done(&n, act{actAppend, r, 0, 0}, "", y)
	}
}

func (w *world) enqueue(t uint16) bool {
	for i := range w.queue {
		if w.queue[i] == 0 {
			w.queue[i] = t
			return true
		}
	}
	return false
}

// asks: the relay offers a block, or moves the mark.
func (e *engine) asks(w *world, r uint8, y yield) {
	last := e.info[w.gates[r]].last
	if last == 0 {
		last = base
	}
	e.offersOn(w, r, last, y)
	for _, m := range [...]uint8{makerA, makerB} {
		if e.symmetric(w, m) {
			continue
		}
		if a := e.move(w.gates[r], last, m); a.ok && (e.info[w.gates[r]].last == last || e.onNet(w, last)) {
			n := *w
			n.gates[r] = a.gate
			e.propose(&n, r, a.trans+1, act{actMove, r, last, m}, y)
		} else if g := &e.gates[w.gates[r]]; e.inherits(w, r) && g.Leading() && !g.Outstanding() && g.State().Mark.Source != nodeOf(m) {
			e.seen.foreign++
		}
	}
	if w.lead[r] == 0 {
		return
	}
	e.resolve(w, r, y)
	for _, p := range e.parent {
		if p != last {
			e.offersOn(w, r, p, y)
		}
		for _, m := range [...]uint8{makerA, makerB} { // private parents
			if b := e.u.blocks[p]; b.height+1 < e.heights {
				if c := e.u.child(p, m); c != last && !e.onNet(w, c) {
					e.offersOn(w, r, c, y)
				}
			}
		}
	}
}

// resolve: the leader gives the right that it inherited to a replica. What makes that legitimate is time, and it is here: the
// network has shown nothing above the mark; whoever led before has ended that, and lets nothing go any more; and what it, or
// anybody, has let go above the mark reached the network before, or never does, but for what is sent again after this.
func (e *engine) resolve(w *world, r uint8, y yield) {
	if w.solve >= e.resolves {
		return
	}
	above := e.u.blocks[e.info[w.gates[r]].last].height // index of the heights above the mark in out and sent
	n := *w
	n.solve++
	for o := range uint8(relays) {
		if o != r && w.lead[o] != 0 && !e.hasty {
			return
		}
		for h := above; h < maxHeight && !e.hasty; h++ {
			n.out[o][h] = 0
		}
	}
	for _, b := range e.parent {
		if e.u.blocks[b].height > above {
			return
		}
	}
	for _, m := range [...]uint8{makerA, makerB} {
		if a := e.solved(w.gates[r], m); a.ok {
			n := n
			n.gates[r] = a.gate
			if e.trans[a.trans].To == e.trans[a.trans].From {
				e.seen.resolvedSame++
			} else {
				e.seen.resolved++
			}
			e.propose(&n, r, a.trans+1, act{actResolve, r, 0, m}, y)
		}
	}
}

// halted returns a replica, if there is one, of which nothing can go for as long as this leader leads, were that replica the only
// one that is left and nobody else produced: not its child of the mark, nor does the leader move the mark to it, resolve for it,
// or have a block to send again under the right that stands. A term that is led a second time may have to wait for the next:
// what was declared unused in it stays given up.
func (e *engine) halted(w *world, r uint8) uint8 {
	i := &e.info[w.gates[r]]
	g := &e.gates[w.gates[r]]
	if e.resolves == 0 || e.pauses > 0 || i.last == 0 || e.u.blocks[i.last].height >= e.heights ||
		w.chief != r+1 || w.lead[r] != w.term || w.pos[r] != w.logs-1 || w.queue[0] != 0 || w.hand[r] != 0 || g.Outstanding() {
		return 0
	}
	var halted uint8
	for m := makerA; m <= makerB; m++ {
		b := e.u.child(i.last, m)
		switch {
		case g.Sent(e.u.blocks[b].id):
			return 0
		case g.State().Mark.Source == nodeOf(m) && e.offer(w.gates[r], b, true, true).ok:
		case !e.move(w.gates[r], i.last, m).ok && !e.solved(w.gates[r], m).ok:
			halted = m
		}
	}
	return halted
}

// inherits reports whether the right that a relay sees was given by another leadership than the relay's.
func (e *engine) inherits(w *world, r uint8) bool {
	return w.lead[r] != 0 && e.info[w.gates[r]].state.Term != uint64(w.lead[r])
}

// symmetric reports whether m is replica B while A has never been named: then B's steps are A's.
func (e *engine) symmetric(w *world, m uint8) bool {
	return m == makerB && !e.badSlots && !e.twoBlocks && e.states[w.newest()] == (fsm.State{}) && w.hand == [relays]uint16{} && w.queue[0] == 0
}

// offersOn offers what the replicas build on one block.
func (e *engine) offersOn(w *world, r, parent uint8, y yield) {
	if e.u.blocks[parent].height >= e.heights {
		return
	}
	public := e.onNet(w, parent)
	for m := makerA; m < makers; m++ {
		if m == makerA2 && !e.twoBlocks || e.symmetric(w, m) {
			continue
		}
		b := e.u.child(parent, m)
		if m != makerA2 {
			e.offer1(w, r, b, true, public, y)
		}
		if !e.twoBlocks || m == makerB {
			continue
		}
		if !e.heardAll || e.inherits(w, r) || m == makerA2 && e.gates[w.gates[r]].Sent(e.u.blocks[e.u.child(parent, makerA)].id) {
			e.offer1(w, r, b, false, public, y)
		}
	}
}

func (e *engine) offer1(w *world, r, b uint8, watched, public bool, y yield) {
	a := e.offer(w.gates[r], b, watched, public)
	if !a.ok {
		e.seen.answers[a.reason]++
		return
	}
	n := *w
	n.gates[r] = a.gate
	if a.action == gate.Emit {
		e.seen.emit(e, w, r)
		e.supply(&n, r, b)
	}
	e.propose(&n, r, a.trans+1, act{actOffer, r, b, uint8(bit(watched))}, y)
}

// supply sends block b, after those of its ancestors that the network lacks.
func (e *engine) supply(w *world, r, b uint8) {
	for ; !e.onNet(w, b); b = e.u.blocks[b].parent {
		w.out[r][e.u.blocks[b].height-1] = b
		if e.noParents {
			return
		}
	}
}

// resend: a leader sends again what is decided: the mark's block and its ancestors, and before these a child of the
// mark that it has granted while that right stands.
func (e *engine) resend(w *world, r uint8, y yield) {
	last := e.info[w.gates[r]].last
	if last == 0 {
		return
	}
	for m := makerA; m < makers && e.u.blocks[last].height < e.heights; m++ {
		if b, known := e.u.children[[2]uint8{last, m}]; known && e.gates[w.gates[r]].Sent(e.u.blocks[b].id) {
			last = b
			break
		}
	}
	if e.onNet(w, last) {
		return
	}
	n := *w
	e.supply(&n, r, last)
	if n != *w {
		e.seen.resend++
		e.done(&n, act{actResend, r, last, 0}, "", y)
	}
}

// propose hands a proposal towards raft: it may get there now, later, or never.
func (e *engine) propose(w *world, r uint8, t uint16, a act, y yield) {
	if p := &e.trans[t-1]; p.To.Height() == p.From.Height() && !p.Unresolved {
		if w.flips++; w.flips > e.switches {
			return
		}
	}
	if w.chief != r+1 || !e.lateLands && e.pauses > 0 { // raft does not take it, now or ever
		e.done(new(*w), a, "", y)
	}
	if w.chief != r+1 {
		return
	}
	if !e.lateLands {
		a.b |= 0x20
		if w.enqueue(t) {
			e.done(w, a, "", y)
		}
		return
	}
	if w.hand[r] == 0 {
		w.hand[r] = t
		e.done(w, a, "", y)
		return
	}
	// One of an earlier leadership is still on its way.
	lost, instead := *w, *w
	e.done(&lost, a, "", y)
	instead.hand[r] = t
	a.b |= 0x80
	e.done(&instead, a, "", y)
	if w.chief == r+1 && w.enqueue(t) {
		a.b |= 0x40
		e.done(w, a, "", y)
	}
}
