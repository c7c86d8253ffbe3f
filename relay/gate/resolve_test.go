package gate_test

import (
	"testing"

	"github.com/thinrelay/thinrelay/fsm"
	"github.com/thinrelay/thinrelay/relay/gate"
)

// The replica that holds the mark may be the one that is to go on: it was there all the
// time, and the relay was not. Then the mark stays what it was and its term alone changes.
func TestResolve(t *testing.T) {
	for name, source := range map[string]fsm.NodeID{"the source of the mark": nodeA, "another source": nodeB} {
		t.Run(name, func(t *testing.T) {
			g := leading(inherited)
			x := childOf(inherited.Mark.Last, 1, source)
			x.Watched = false
			if v := g.Offer(x, gate.Parent{}); v.Reason != gate.Source {
				t.Fatalf("before: got reason %s, want %s", v.Reason, gate.Source)
			}
			move, ok := g.Resolve(source)
			if !ok || !g.Outstanding() {
				t.Fatal("the right is inherited, and cannot be given anew")
			}
			s, err := inherited.Apply(move, 5)
			if err != nil {
				t.Fatal(err)
			}
			g.Applied(inherited)
			if !g.Outstanding() {
				t.Error("a state from before is taken for the outcome")
			}
			g.Applied(s)
			if v := g.Offer(x, gate.Parent{}); v.Action != gate.Emit {
				t.Errorf("after: got action %d, reason %s, want the block to be let", v.Action, v.Reason)
			}
		})
	}
}

// What a relay has let go holds it to nothing once Resolve, by another leader, has given the right
// to somebody else: it could let no block of that one go, nor give the right to anybody.
func TestResolvedMeanwhile(t *testing.T) {
	g := leading(given)
	x := childOf(given.Mark.Last, 1, nodeA)
	if v := g.Offer(x, gate.Parent{}); v.Action != gate.Emit {
		t.Fatalf("got action %d, want the block to be let", v.Action)
	}
	g.Follow()
	s := given
	s.Mark.Source, s.Term = nodeB, 6
	g.Applied(s)
	g.Lead(7)
	if g.Sent(x.ID) {
		t.Error("the block of the right that is gone may be sent again")
	}
	c := *g
	if v := c.Offer(childOf(s.Mark.Last, 2, nodeB), gate.Parent{}); v.Action != gate.Emit {
		t.Errorf("the child of who has the right: got action %d, reason %s, want it to be let", v.Action, v.Reason)
	}
	move, ok := g.Resolve(nodeA)
	if !ok {
		t.Fatal("the right cannot be given anew")
	}
	if s, err := s.Apply(move, 7); err != nil {
		t.Fatal(err)
	} else {
		g.Applied(s)
	}
	if v := g.Offer(x, gate.Parent{}); v.Action != gate.Emit {
		t.Errorf("the right is back: got action %d, reason %s, want the block that was let to be let again", v.Action, v.Reason)
	}
}

// A proposal that leaves the right where it is gives nothing up, when the leadership ends before its
// outcome is known and begins anew in the same term.
func TestResolveForTheSameSourceOverAFailedHandOver(t *testing.T) {
	g := leading(inherited)
	move, ok := g.Resolve(nodeA)
	if !ok {
		t.Fatal("the right is inherited, and cannot be given anew")
	}
	g.Follow()
	s, err := inherited.Apply(move, 5)
	if err != nil {
		t.Fatal(err)
	}
	g.Applied(s)
	g.Lead(5)
	x := childOf(inherited.Mark.Last, 1, nodeA)
	x.Watched = false
	if v := g.Offer(x, gate.Parent{}); v.Action != gate.Emit {
		t.Errorf("got action %d, reason %s, want the block to be let", v.Action, v.Reason)
	}
}
