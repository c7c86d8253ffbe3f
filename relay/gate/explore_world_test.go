package gate_test

import (
	"fmt"
	"strings"

	"github.com/thinrelay/thinrelay/fsm"
	"github.com/thinrelay/thinrelay/relay/gate"
)

// Bounds of a world's arrays. What an exploration uses of them is in [bounds].
const (
	relays    = 3
	maxHeight = 3
	maxOthers = 4
	maxLog    = 8
	maxQueue  = 2
)

// world is one state of the whole cluster and of the network, small and comparable. Values of the code under test
// (gates, states, transitions) are held by their index in the [engine], which keeps each different one once.
//
// What is not in it was left out because it adds nothing to what can happen, only to the number of states: which blocks a
// replica has built and a relay has heard (any relay may offer any block at any time), what a relay knows of the network
// (any part of it, at any time), and the states in between that a follower has applied (a follower's gate grants nothing, and a
// leader has passed a barrier; the exploration "replay" does without this argument).
type world struct {
	gates [relays]uint32
	hand  [relays]uint16           // a proposal that raft has not got yet, + 1: its goroutine has not run
	log   [maxLog]uint16           // the states agreed on, from the oldest that a relay still needs
	queue [maxQueue]uint16         // the chief's entries that are not committed, + 1
	lead  [relays]uint8            // the leadership a relay believes to have, 0 none
	pos   [relays]uint8            // the last state in log that a relay has applied
	out   [relays][maxHeight]uint8 // blocks granted, or sent again, on their way to the network, by height
	sent  [maxHeight]uint8         // our blocks on the network, by height
	net   [maxOthers]uint8         // blocks of others on the network, ascending
	logs  uint8                    // length of log
	term  uint8                    // of the last election that led to a barrier
	chief uint8                    // who won it, + 1; 0: that process is gone
	fresh uint8                    // relays from this one on have never led: they are all alike
	crash uint8                    // crashes so far
	pause uint8                    // failed hand-overs so far
	flips uint8                    // proposals to move the mark at its own height, so far
	solve uint8                    // proposals to give an inherited right to somebody, so far
}

// onNet reports whether the network has the block.
func (e *engine) onNet(w *world, n uint8) bool {
	if n == base {
		return true
	}
	b := &e.u.blocks[n]
	if isOurs(b.maker) {
		return w.sent[b.height-1] == n
	}
	for _, o := range w.net {
		if o == n {
			return true
		}
	}
	return false
}

// network lists the blocks that the network has.
func (e *engine) network(w *world, dst []uint8) []uint8 {
	dst = append(dst, base)
	for _, n := range w.sent {
		if n != 0 {
			dst = append(dst, n)
		}
	}
	for _, n := range w.net {
		if n != 0 {
			dst = append(dst, n)
		}
	}
	return dst
}

// newest returns the index of the state agreed on.
func (w *world) newest() uint16 { return w.log[w.logs-1] }

// engine runs the code under test and remembers each answer: it is pure, so that one call per different argument is enough.
type engine struct {
	bounds
	u      *universe
	gates  []gate.Gate
	gateAt map[gate.Gate]uint32
	info   []gateInfo
	states []fsm.State
	stateA map[fsm.State]uint16
	trans  []fsm.Transition
	transA map[fsm.Transition]uint16
	moves  map[uint64]uint32
	offers map[uint64]answer
	parent []uint8 // scratch
	seen   coverage
	// restored are the pairs of states that a snapshot was tried with.
	restored map[[2]uint16]bool
}

// gateInfo is what is often asked about a gate.
type gateInfo struct {
	last  uint8  // block index of the mark's block
	asked uint16 // the transition under way, + 1
	state fsm.State
}

// answer is what a gate said, and the gate afterwards.
type answer struct {
	gate   uint32
	trans  uint16
	action gate.Action
	reason gate.Reason
	ok     bool
}

func newEngine(b bounds) *engine {
	return &engine{
		bounds: b, u: newUniverse(b.badSlots),
		gateAt: map[gate.Gate]uint32{}, stateA: map[fsm.State]uint16{}, transA: map[fsm.Transition]uint16{},
		moves: map[uint64]uint32{}, offers: map[uint64]answer{}, restored: map[[2]uint16]bool{},
	}
}

// start is the first world: nothing was ever forwarded, nobody leads, the network is at the base block.
func (e *engine) start() world {
	w := world{logs: 1}
	w.log[0] = e.state(fsm.State{})
	for r := range w.gates {
		w.gates[r] = e.gate(*gate.New())
	}
	return w
}

func (e *engine) gate(g gate.Gate) uint32 {
	n, ok := e.gateAt[g]
	if !ok {
		n = uint32(len(e.gates))
		e.gateAt[g] = n
		e.gates = append(e.gates, g)
		s := g.State()
		e.info = append(e.info, gateInfo{last: e.u.find(s.Mark.Last), state: s})
	}
	return n
}

func (e *engine) state(s fsm.State) uint16 {
	n, ok := e.stateA[s]
	if !ok {
		n = uint16(len(e.states))
		e.stateA[s] = n
		e.states = append(e.states, s)
	}
	return n
}

func (e *engine) transition(t fsm.Transition) uint16 {
	n, ok := e.transA[t]
	if !ok {
		n = uint16(len(e.trans))
		e.transA[t] = n
		e.trans = append(e.trans, t)
	}
	return n
}

// Calls that return nothing.
const (
	callApplied uint64 = iota
	callLead
	callFollow
)

// call returns the gate after one call.
func (e *engine) call(g uint32, what uint64, arg uint16) uint32 {
	key := uint64(g)<<32 | what<<16 | uint64(arg)
	if n, ok := e.moves[key]; ok {
		return n
	}
	c := e.gates[g]
	switch what {
	case callApplied:
		c.Applied(e.states[arg])
	case callLead:
		c.Lead(uint64(arg))
	case callFollow:
		c.Follow()
	}
	n := e.gate(c)
	if c.Outstanding() {
		e.info[n].asked = e.info[g].asked
	}
	e.moves[key] = n
	return n
}

// offer asks the gate about a block. public says what the relay believes of the parent.
func (e *engine) offer(g uint32, n uint8, watched, public bool) answer {
	key := uint64(g)<<32 | uint64(n)<<8 | bit(watched)<<1 | bit(public)
	if a, ok := e.offers[key]; ok {
		return a
	}
	b := e.u.blocks[n]
	p := e.u.blocks[b.parent]
	c := e.gates[g]
	v := c.Offer(gate.Block{ID: b.id, Previous: p.id, Slot: b.slot, Source: nodeOf(b.maker), Watched: watched}, gate.Parent{Public: public, Slot: p.slot})
	a := answer{gate: e.gate(c), action: v.Action, reason: v.Reason}
	if v.Action == gate.Emit || v.Action == gate.Reserve {
		a.ok, a.trans = true, e.transition(v.Propose)
		e.info[a.gate].asked = a.trans + 1
	}
	e.offers[key] = a
	return a
}

// move asks the gate for a mark on block n and a source.
func (e *engine) move(g uint32, n, maker uint8) answer {
	key := 1<<63 | uint64(g)<<32 | uint64(n)<<8 | uint64(maker)
	if a, ok := e.offers[key]; ok {
		return a
	}
	b := e.u.blocks[n]
	c := e.gates[g]
	t, ok := c.Move(fsm.Mark{Last: b.id, Slot: b.slot, Source: nodeOf(maker)})
	return e.moved(key, &c, t, ok)
}

// solved asks the gate to give the inherited right to the maker.
func (e *engine) solved(g uint32, maker uint8) answer {
	key := 1<<63 | uint64(g)<<32 | 1<<16 | uint64(maker)
	if a, ok := e.offers[key]; ok {
		return a
	}
	c := e.gates[g]
	t, ok := c.Resolve(nodeOf(maker))
	return e.moved(key, &c, t, ok)
}

func (e *engine) moved(key uint64, c *gate.Gate, t fsm.Transition, ok bool) answer {
	a := answer{gate: e.gate(*c), ok: ok, action: gate.Reserve}
	if ok {
		a.trans = e.transition(t)
		e.info[a.gate].asked = a.trans + 1
	}
	e.offers[key] = a
	return a
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// describe draws a world in one line.
func (e *engine) describe(w *world) string {
	var b strings.Builder
	fmt.Fprintf(&b, "agreed %s term %d", e.u.mark(e.states[w.newest()].Mark), e.states[w.newest()].Term)
	for r := range relays {
		if w.lead[r] == 0 {
			continue
		}
		s := e.info[w.gates[r]].state
		fmt.Fprintf(&b, "; %s leads %d at %s", relayName(uint8(r)), w.lead[r], e.u.mark(s.Mark))
		if e.gates[w.gates[r]].Outstanding() {
			b.WriteString(" +1")
		}
	}
	return b.String()
}

func relayName(r uint8) string { return [...]string{"eu", "us", "ap"}[r] }
