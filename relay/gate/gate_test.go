package gate_test

import (
	"encoding/binary"
	"testing"

	"github.com/thinrelay/thinrelay/fsm"
	"github.com/thinrelay/thinrelay/relay/gate"
)

// Two replicas.
var (
	nodeA = fsm.NodeID{0xaa}
	nodeB = fsm.NodeID{0xbb}
)

// at returns a block id of the given height; fork tells blocks of one height apart.
func at(height uint32, fork byte) (id fsm.BlockID) {
	binary.BigEndian.PutUint32(id[:], height)
	id[4] = fork
	return id
}

// childOf returns a source's watched child of a block, two slots later.
func childOf(parent fsm.BlockID, fork byte, source fsm.NodeID) gate.Block {
	num := parent.Num() + 1
	return gate.Block{ID: at(num, fork), Previous: parent, Slot: 2 * num, Source: source, Watched: true}
}

func markAt(height uint32, fork byte, source fsm.NodeID) fsm.Mark {
	return fsm.Mark{Last: at(height, fork), Slot: 2 * height, Source: source}
}

// public is what is known of a parent that the network has.
func public(height uint32) gate.Parent { return gate.Parent{Public: true, Slot: 2 * height} }

// leading returns the gate of a relay that leads term 5 and knows state s.
func leading(s fsm.State) *gate.Gate {
	g := gate.New()
	g.Applied(s)
	g.Lead(5)
	return g
}

// given is a right that the leadership of term 5 was given itself, to A on block 10.
var given = fsm.State{Mark: markAt(10, 1, nodeA), Term: 5}

// inherited is the same right, given by an earlier leadership.
var inherited = fsm.State{Mark: given.Mark, Term: 4}

func TestOffer(t *testing.T) {
	last := given.Mark.Last
	unwatched := childOf(last, 1, nodeA)
	unwatched.Watched = false
	early := childOf(last, 1, nodeA)
	early.Slot = given.Mark.Slot
	tests := []struct {
		name   string
		gate   func() *gate.Gate
		block  gate.Block
		parent gate.Parent
		action gate.Action
		reason gate.Reason
		to     fsm.Mark // of the proposal, if there is one
	}{
		{"a child of the mark by its source", func() *gate.Gate { return leading(given) }, childOf(last, 1, nodeA), gate.Parent{}, gate.Emit, gate.None, markAt(11, 1, nodeA)},
		{"unwatched, by an own right", func() *gate.Gate { return leading(given) }, unwatched, gate.Parent{}, gate.Emit, gate.None, markAt(11, 1, nodeA)},
		{"watched, by an inherited right", func() *gate.Gate { return leading(inherited) }, childOf(last, 1, nodeA), gate.Parent{}, gate.Emit, gate.None, markAt(11, 1, nodeA)},
		{"unwatched, by an inherited right", func() *gate.Gate { return leading(inherited) }, unwatched, gate.Parent{}, gate.Refuse, gate.Source, fsm.Mark{}},
		{"a child of the mark by another", func() *gate.Gate { return leading(given) }, childOf(last, 1, nodeB), public(10), gate.Refuse, gate.Source, fsm.Mark{}},
		{"a slot that is not later", func() *gate.Gate { return leading(given) }, early, gate.Parent{}, gate.Refuse, gate.Slot, fsm.Mark{}},
		{"the mark's block", func() *gate.Gate { return leading(given) }, childOf(at(9, 1), 1, nodeA), public(9), gate.Refuse, gate.Duplicate, fsm.Mark{}},
		{"another block of the mark's height", func() *gate.Gate { return leading(given) }, childOf(at(9, 1), 2, nodeA), public(9), gate.Refuse, gate.Height, fsm.Mark{}},
		{"a lower block", func() *gate.Gate { return leading(given) }, childOf(at(4, 1), 2, nodeA), public(4), gate.Refuse, gate.Height, fsm.Mark{}},
		{"on a higher block of the network", func() *gate.Gate { return leading(given) }, childOf(at(12, 7), 1, nodeB), public(12), gate.Reserve, gate.Pending, markAt(12, 7, nodeB)},
		{"on a higher block of the network, inherited", func() *gate.Gate { return leading(inherited) }, childOf(at(12, 7), 1, nodeB), public(12), gate.Reserve, gate.Pending, markAt(12, 7, nodeB)},
		{"on a higher block that the network lacks", func() *gate.Gate { return leading(given) }, childOf(at(12, 7), 1, nodeB), gate.Parent{Slot: 24}, gate.Refuse, gate.Unlinked, fsm.Mark{}},
		{"on a fork at the mark's height", func() *gate.Gate { return leading(given) }, childOf(at(10, 7), 1, nodeB), public(10), gate.Reserve, gate.Pending, markAt(10, 7, nodeB)},
		{"on a fork at the mark's height, inherited", func() *gate.Gate { return leading(inherited) }, childOf(at(10, 7), 1, nodeB), public(10), gate.Refuse, gate.Height, fsm.Mark{}},
		{"the first block ever", func() *gate.Gate { return leading(fsm.State{}) }, childOf(at(12, 7), 1, nodeB), public(12), gate.Reserve, gate.Pending, markAt(12, 7, nodeB)},
		{"while following", func() *gate.Gate { g := leading(given); g.Follow(); return g }, childOf(last, 1, nodeA), public(10), gate.Refuse, gate.NotLeader, fsm.Mark{}},
		{"never having led", func() *gate.Gate { g := gate.New(); g.Applied(given); return g }, childOf(last, 1, nodeA), public(10), gate.Refuse, gate.NotLeader, fsm.Mark{}},
		{"after an entry of a later term", func() *gate.Gate {
			g := leading(given)
			g.Applied(fsm.State{Mark: markAt(11, 1, nodeA), Term: 6})
			return g
		}, childOf(at(11, 1), 1, nodeA), public(11), gate.Refuse, gate.NotLeader, fsm.Mark{}},
		{"the block that was just let", func() *gate.Gate { return after(childOf(last, 1, nodeA)) }, childOf(last, 1, nodeA), public(10), gate.Refuse, gate.Duplicate, fsm.Mark{}},
		{"its child, before the mark has moved", func() *gate.Gate { return after(childOf(last, 1, nodeA)) }, childOf(at(11, 1), 1, nodeA), gate.Parent{}, gate.Wait, gate.Pending, fsm.Mark{}},
		{"its child, after the mark has moved", func() *gate.Gate {
			g := after(childOf(last, 1, nodeA))
			g.Applied(fsm.State{Mark: markAt(11, 1, nodeA), Term: 5})
			return g
		}, childOf(at(11, 1), 1, nodeA), gate.Parent{}, gate.Emit, gate.None, markAt(12, 1, nodeA)},
		{"a second child, after the first proposal was lost", func() *gate.Gate {
			g := after(childOf(last, 1, nodeA))
			g.Follow()
			g.Lead(5)
			return g
		}, childOf(last, 2, nodeA), gate.Parent{}, gate.Refuse, gate.Height, fsm.Mark{}},
		{"the first child again, after its proposal was lost", func() *gate.Gate {
			g := after(childOf(last, 1, nodeA))
			g.Follow()
			g.Lead(7)
			return g
		}, unwatched, gate.Parent{}, gate.Emit, gate.None, markAt(11, 1, nodeA)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := tt.gate()
			before := *g
			v := g.Offer(tt.block, tt.parent)
			if v.Action != tt.action || v.Reason != tt.reason {
				t.Fatalf("got action %d for %s, want %d for %s", v.Action, v.Reason, tt.action, tt.reason)
			}
			if v.Propose.To != tt.to {
				t.Errorf("proposed mark: got %v, want %v", v.Propose.To, tt.to)
			}
			if proposes := v.Action == gate.Emit || v.Action == gate.Reserve; g.Outstanding() != (proposes || before.Outstanding()) {
				t.Errorf("outstanding: got %v after action %d", g.Outstanding(), v.Action)
			} else if !proposes && *g != before {
				t.Error("a refusal changed the gate")
			}
		})
	}
}

// after returns a gate that has just let b, by a right of its own.
func after(b gate.Block) *gate.Gate {
	g := leading(given)
	g.Offer(b, gate.Parent{})
	return g
}

func TestMove(t *testing.T) {
	other := markAt(10, 1, nodeB)
	fork := markAt(10, 7, nodeB)
	higher := markAt(12, 7, nodeB)
	tests := []struct {
		name   string
		gate   *gate.Gate
		to     fsm.Mark
		want   bool
		unused bool
	}{
		{"to another source", leading(given), other, true, true},
		{"to another source, inherited", leading(inherited), other, false, false},
		{"to another source, used", spent(), other, false, false},
		{"to a fork", leading(given), fork, true, true},
		{"to a fork, inherited", leading(inherited), fork, false, false},
		{"to a fork, used", spent(), fork, false, false},
		{"higher", leading(given), higher, true, false},
		{"higher, inherited", leading(inherited), higher, true, false},
		{"higher, used", spent(), higher, true, false},
		{"lower", leading(given), markAt(9, 1, nodeA), false, false},
		{"to where it is", leading(given), given.Mark, false, false},
		{"with a proposal under way", after(childOf(given.Mark.Last, 1, nodeA)), higher, false, false},
		{"while following", gate.New(), higher, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			from := tt.gate.State().Mark
			tr, ok := tt.gate.Move(tt.to)
			want := fsm.Transition{}
			if tt.want {
				want = fsm.Transition{From: from, To: tt.to, Term: 5, Unused: tt.unused}
			}
			if ok != tt.want || tr != want {
				t.Fatalf("got %+v, %v, want %+v, %v", tr, ok, want, tt.want)
			}
		})
	}
}

// spent returns a gate that leads term 5, has used the mark's right, and whose proposal was lost.
func spent() *gate.Gate {
	g := after(childOf(given.Mark.Last, 1, nodeA))
	g.Follow()
	g.Lead(5)
	return g
}

// A leadership that declared its right unused, ended, and began anew in the same term (a failed hand-over) does not know whether
// the declaration will still reach the log.
func TestMoveGivesTheRightUp(t *testing.T) {
	g := leading(given)
	if _, ok := g.Move(markAt(10, 1, nodeB)); !ok {
		t.Fatal("the mark could not be moved")
	}
	g.Follow()
	g.Lead(5)
	if v := g.Offer(childOf(given.Mark.Last, 1, nodeA), gate.Parent{}); v.Action != gate.Refuse {
		t.Errorf("a right that was declared unused: got action %d, want a refusal", v.Action)
	}
	if _, ok := g.Move(markAt(10, 1, nodeB)); ok {
		t.Error("the mark moved at its height, so that it could come back to what an old declaration starts from")
	}
	if v := g.Offer(childOf(at(10, 7), 1, nodeB), public(10)); v.Action != gate.Refuse {
		t.Errorf("a fork at the same height: got action %d, want a refusal", v.Action)
	}
	c := *g
	if _, ok := c.Move(markAt(11, 1, nodeB)); !ok {
		t.Error("the network has gone on, and the mark cannot follow")
	}
	c = *g
	c.Applied(fsm.State{Mark: markAt(10, 1, nodeB), Term: 5})
	if v := c.Offer(childOf(given.Mark.Last, 2, nodeB), gate.Parent{}); v.Action != gate.Emit {
		t.Errorf("the declaration has reached the log: got action %d, want the new source's block to be let", v.Action)
	}
	c = *g
	c.Follow()
	c.Lead(6)
	if v := c.Offer(childOf(given.Mark.Last, 1, nodeA), gate.Parent{}); v.Action != gate.Emit {
		t.Errorf("a later term, to which the declaration is void: got action %d, want the block to be let", v.Action)
	}
}

func TestSent(t *testing.T) {
	g := leading(given)
	x := childOf(given.Mark.Last, 1, nodeA)
	if g.Sent(x.ID) || !g.Sent(given.Mark.Last) {
		t.Error("before: only the mark's block was sent")
	}
	g.Offer(x, gate.Parent{})
	if !g.Sent(x.ID) {
		t.Error("the block that was let is not known as sent")
	}
}

func TestReasonNames(t *testing.T) {
	want := []string{"none", "not_ours", "unlinked", "height", "slot", "source", "not_leader", "pending", "duplicate", "unknown"}
	for r, name := range want {
		if got := gate.Reason(r).String(); got != name {
			t.Errorf("reason %d: got %q, want %q", r, got, name)
		}
	}
}

func TestOfferAllocatesNothing(t *testing.T) {
	blocks := [...]gate.Block{childOf(given.Mark.Last, 1, nodeA), childOf(given.Mark.Last, 2, nodeB), childOf(at(12, 7), 1, nodeB)}
	g := leading(given)
	if n := testing.AllocsPerRun(1000, func() {
		c := *g
		for i := range blocks {
			c.Offer(blocks[i], public(10))
		}
		c.Applied(fsm.State{Mark: markAt(11, 1, nodeA), Term: 5})
		c.Move(markAt(12, 7, nodeB))
	}); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}
