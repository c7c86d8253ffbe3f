package gate_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/thinrelay/thinrelay/fsm"
	"github.com/thinrelay/thinrelay/relay/gate"
)

// right is a mark in a leadership: what a declaration of "unused" is about.
type right struct {
	mark fsm.Mark
	term uint64
}

// naive is the rule with all its history: it forgets nothing, and derives nothing.
type naive struct {
	state   fsm.State
	term    uint64
	waiting *fsm.Transition
	let     map[fsm.BlockID]fsm.BlockID // parent to the child that was let
	unused  map[right]bool              // declared, and not known to be in the log
}

func (n *naive) leads() bool { return n.term > 0 && n.state.Term <= n.term }

// mayLet reports whether b may go now.
func (n *naive) mayLet(b gate.Block) bool {
	before, used := n.let[b.Previous]
	own := n.state.Term == n.term
	return n.leads() && n.waiting == nil && b.Previous == n.state.Mark.Last && b.Source == n.state.Mark.Source &&
		b.Slot > n.state.Mark.Slot && (!used || before == b.ID) && (own || b.Watched || used) && !n.unused[right{n.state.Mark, n.term}]
}

// mayMove reports whether the mark may be moved to m now.
func (n *naive) mayMove(m fsm.Mark) bool {
	_, used := n.let[n.state.Mark.Last]
	if !n.leads() || n.waiting != nil || m == n.state.Mark || m.Height() < n.state.Mark.Height() {
		return false
	}
	if m.Height() > n.state.Mark.Height() {
		return true
	}
	for r := range n.unused {
		if r.term == n.term && r.mark.Height() == m.Height() {
			return false
		}
	}
	return n.state.Term == n.term && !used
}

func (n *naive) apply(s fsm.State) {
	if n.waiting != nil && n.waiting.From != s.Mark {
		n.waiting = nil
	}
	n.state = s
}

func (n *naive) follow() {
	if n.waiting != nil && n.waiting.Unused {
		n.unused[right{n.waiting.From, n.waiting.Term}] = true
	}
	n.waiting, n.term = nil, 0
}

// TestMachine drives the gate of one relay through what can happen to it, beside the naive rule.
func TestMachine(t *testing.T) {
	var lets, moves int
	rapid.Check(t, func(t *rapid.T) {
		g := gate.New()
		n := naive{let: map[fsm.BlockID]fsm.BlockID{}, unused: map[right]bool{}}
		now := uint64(5) // the newest term
		source := rapid.SampledFrom([]fsm.NodeID{nodeA, nodeA, nodeA, nodeB})
		if rapid.IntRange(0, 9).Draw(t, "fresh") > 0 {
			n.state, n.term = given, now
			g.Applied(given)
			g.Lead(now)
		}
		// block draws one near the mark: a child of it, of a block beside it, or of one above or below.
		block := func(t *rapid.T) gate.Block {
			parent := n.state.Mark.Last
			if height := parent.Num() + rapid.SampledFrom([]uint32{0, 0, 0, 0, 0, 0, 1, 2}).Draw(t, "above"); height == 0 || rapid.IntRange(0, 4).Draw(t, "aside") == 0 {
				parent = at(max(height, 1), rapid.ByteRange(1, 2).Draw(t, "fork"))
			}
			b := childOf(parent, rapid.ByteRange(1, 2).Draw(t, "child"), source.Draw(t, "source"))
			b.Watched = rapid.Bool().Draw(t, "watched")
			b.Slot -= rapid.SampledFrom([]uint32{0, 0, 0, 0, 0, 2}).Draw(t, "early")
			return b
		}
		commit := func(tr fsm.Transition) {
			if s, err := n.state.Apply(tr, tr.Term); err == nil {
				n.apply(s)
				g.Applied(s)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"offer": func(t *rapid.T) {
				b := block(t)
				p := gate.Parent{Public: rapid.Bool().Draw(t, "public"), Slot: 2 * b.Previous.Num()}
				to := fsm.Mark{Last: b.Previous, Slot: p.Slot, Source: b.Source}
				let, move := n.mayLet(b), p.Public && b.Previous != n.state.Mark.Last && n.mayMove(to)
				v := g.Offer(b, p)
				if (v.Action == gate.Emit) != let || (v.Action == gate.Reserve) != move {
					t.Fatalf("offer %+v: got action %d for %s, want let %v, reserve %v", b, v.Action, v.Reason, let, move)
				}
				if let {
					lets++
					n.let[b.Previous] = b.ID
					n.waiting = &v.Propose
				}
				if move {
					n.waiting = &v.Propose
				}
			},
			"move": func(t *rapid.T) {
				b := block(t)
				to := fsm.Mark{Last: b.Previous, Slot: 2 * b.Previous.Num(), Source: b.Source}
				want := n.mayMove(to)
				tr, ok := g.Move(to)
				if ok != want {
					t.Fatalf("move to %v: got %v, want %v", to, ok, want)
				}
				if ok {
					moves++
					n.waiting = &tr
				}
			},
			"commit": func(t *rapid.T) {
				if n.waiting != nil && n.leads() {
					commit(*n.waiting)
				}
			},
			"lead": func(t *rapid.T) {
				if n.term != 0 && rapid.IntRange(0, 3).Draw(t, "really") != 0 {
					return
				}
				n.follow()
				now++
				n.term = now
				g.Lead(now)
			},
			"lead again": func(*rapid.T) {
				if term := n.term; term != 0 {
					n.follow()
					g.Follow()
					n.term = term
					g.Lead(term)
				}
			},
			"follow": func(t *rapid.T) {
				if rapid.IntRange(0, 3).Draw(t, "really") == 0 {
					n.follow()
					g.Follow()
				}
			},
			"another leads": func(t *rapid.T) {
				if rapid.IntRange(0, 3).Draw(t, "really") != 0 {
					return
				}
				now++
				height := n.state.Mark.Height() + rapid.Uint32Range(1, 2).Draw(t, "up")
				commit(fsm.Transition{From: n.state.Mark, To: markAt(height, rapid.ByteRange(1, 2).Draw(t, "fork"), source.Draw(t, "source")), Term: now})
			},
			"": func(t *rapid.T) {
				if g.State() != n.state || g.Leading() != n.leads() || g.Outstanding() != (n.waiting != nil) {
					t.Fatalf("got state %v, leading %v, outstanding %v; want %v, %v, %v",
						g.State(), g.Leading(), g.Outstanding(), n.state, n.leads(), n.waiting != nil)
				}
			},
		})
	})
	if lets == 0 || moves == 0 {
		t.Errorf("nothing happened: %d blocks let, %d moves", lets, moves)
	}
}
