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
