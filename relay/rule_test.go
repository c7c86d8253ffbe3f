package relay_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/fsm"
	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/gate"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// Both branches of a fork reach the replicas when the block they have in common
// comes last, and so do their descendants.
func TestForkBehindAGapIsPublishedWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, director.Passive, nil)
		defer s.close()
		base := child(genesis(100), s.slot, "bpb", 0, 0)
		up := s.accept(base.id, base.id)
		r := s.dial("nodeos-a", base.id, base.id)
		settle()
		up.write(base.frame)
		gap := child(base.id, s.slot+1, "bpb", 0, 0)
		left := child(gap.id, s.slot+2, "bpb", 1, 0)
		right := child(gap.id, s.slot+3, "bpc", 2, 0)
		leaf := child(right.id, s.slot+4, "bpc", 3, 0)
		twig := child(left.id, s.slot+4, "bpb", 4, 0)
		for _, b := range []script{left, right, leaf, twig} {
			up.write(b.frame)
		}
		settle()
		if r.has(left.id) || r.has(right.id) {
			t.Fatal("a block was given out before its parent")
		}
		up.write(gap.frame)
		settle()
		for name, b := range map[string]script{"gap": gap, "left": left, "right": right, "leaf": leaf, "twig": twig} {
			if !r.has(b.id) {
				t.Errorf("the replica did not get %s", name)
			}
		}
	})
}

// The network leaves its own last block aside while a relay connects: what the
// other branch lacks here is asked for, although its blocks have come since.
func TestForkBelowTheTipIsFetched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, director.Passive, nil)
		defer s.close()
		base := child(genesis(100), s.slot, "bpb", 0, 0)
		dead, alive := child(base.id, s.slot+1, "bpb", 1, 0), child(base.id, s.slot+1, "bpb", 2, 0)
		up := s.accept(genesis(100), dead.id)
		r := s.dial("nodeos-a", base.id, base.id)
		settle()
		up.write(base.frame)
		up.write(dead.frame)
		tip := alive
		for i := range wire.Slot(4) {
			tip = child(tip.id, s.slot+2+i, "bpb", 0, 0)
			up.write(tip.frame)
			time.Sleep(wire.SlotInterval)
		}
		asked := up.requests()
		wanted := func(q wire.SyncRequest) bool { return q.Start <= alive.id.Num() && q.End >= alive.id.Num() }
		if len(asked) < 2 || !slices.ContainsFunc(asked[1:], wanted) { // the first is for its head
			t.Fatalf("asked for %+v, want #%d in one of the later ones", asked, alive.id.Num())
		}
		up.write(alive.frame)
		settle()
		if !r.has(tip.id) {
			t.Error("the replica did not get the branch that goes on")
		}
	})
}

// The first block of a relay's ring is the first that comes: here one that the
// network drops, as one of ours may be when a relay leads before it hears
// the network. What that builds on comes later, and the branch that goes on from
// there reaches the replicas.
func TestForkBelowTheFirstBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, director.Passive, nil)
		defer s.close()
		base := child(genesis(100), s.slot, "bpb", 0, 0)
		fork := child(base.id, s.slot+1, "bpb", 0, 0)
		dead, alive := child(fork.id, s.slot+2, "bpb", 1, 0), child(fork.id, s.slot+3, "bpb", 2, 0)
		tip := child(alive.id, s.slot+4, "bpb", 0, 0)
		up := s.accept(base.id, tip.id)
		r := s.dial("nodeos-a", base.id, fork.id)
		settle()
		for _, b := range []script{dead, base, fork, alive, tip} {
			up.write(b.frame)
		}
		settle()
		for _, b := range []script{alive, tip} {
			if !r.has(b.id) {
				t.Errorf("the replica did not get #%d", b.id.Num())
			}
		}
	})
}

// A relay that starts after its replicas have built on the mark cannot know
// which child they sent to the relay before: what one of them sends now is not
// taken for the first.
func TestRestartedRelayHasNotWatched(t *testing.T) {
	for _, tc := range []struct {
		name string
		// ahead: at its connect the replica has built a child already.
		ahead bool
		emit  bool
	}{{"the replica is behind the mark", false, true}, {"the replica has built on the mark", true, false}} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, director.Passive, nil)
				defer s.close()
				s.stopLead()
				<-s.led
				base := child(genesis(100), s.slot, "bpb", 0, 0)
				mark := child(base.id, s.slot+1, "bpa", 0, 0)
				first := child(mark.id, s.slot+2, "bpa", 1, 0)
				second := child(mark.id, s.slot+2, "bpa", 2, 0)
				head := base.id
				if tc.ahead {
					head = first.id
				}
				r := s.dial("nodeos-a", base.id, head)
				settle()
				s.inherit(fsm.Mark{Last: fsm.BlockID(mark.id), Slot: uint32(mark.slot), Source: fsm.NodeID(r.id)})
				s.lead()
				up := s.accept(mark.id, mark.id)
				settle()
				if up.gone() != nil { // dialled by the leadership that is over
					up = s.accept(mark.id, mark.id)
					settle()
				}
				up.write(base.frame)
				up.write(mark.frame)
				settle()
				r.write(second.frame)
				settle()
				if got := up.has(second.id); got != tc.emit {
					t.Errorf("emitted=%v, want %v; refused %v", got, tc.emit, s.refused(second.id))
				}
			})
		})
	}
}

// A replica echoes what it heard from elsewhere. That is no signature: it
// makes no refusal, no equivocation, and the replica may still build its own.
func TestEchoIsNoSignature(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, director.Passive, nil)
		defer s.close()
		base := child(genesis(100), s.slot, "bpb", 0, 0)
		up := s.accept(base.id, base.id)
		a, b := s.dial("nodeos-a", base.id, base.id), s.dial("nodeos-b", base.id, base.id)
		settle()
		up.write(base.frame)
		settle()
		b.write(base.frame)
		ours := child(base.id, s.slot+1, "bpa", 1, 0)
		a.write(ours.frame)
		settle()
		if !up.has(ours.id) || !b.has(ours.id) {
			t.Fatal("our block did not go out")
		}
		b.write(ours.frame)
		settle()
		twin := child(base.id, s.slot+1, "bpa", 2, 0)
		b.write(twin.frame)
		settle()
		if got := s.refused(base.id); len(got) != 0 {
			t.Errorf("the echo of the network's block was refused: %v", got)
		}
		if got := s.refused(ours.id); len(got) != 0 {
			t.Errorf("the echo of our block was refused: %v", got)
		}
		if n := s.count(relay.Equivocation); n != 0 {
			t.Errorf("%d equivocations, want 0: the echo is not its own", n)
		}
		if got := s.refused(twin.id); !slices.Equal(got, []gate.Reason{gate.Height}) {
			t.Errorf("the sibling's own block was refused with %v, want height", got)
		}
	})
}

// One process that signs two children of one parent is reported, and one of
// them leaves.
func TestEquivocationIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, director.Passive, nil)
		defer s.close()
		base := child(genesis(100), s.slot, "bpb", 0, 0)
		up := s.accept(base.id, base.id)
		a := s.dial("nodeos-a", base.id, base.id)
		settle()
		up.write(base.frame)
		settle()
		one, two := child(base.id, s.slot+1, "bpa", 1, 0), child(base.id, s.slot+1, "bpa", 2, 0)
		a.write(one.frame)
		a.write(two.frame)
		settle()
		if !up.has(one.id) || up.has(two.id) {
			t.Errorf("upstream has one=%v two=%v, want the first alone", up.has(one.id), up.has(two.id))
		}
		if n := s.count(relay.Equivocation); n != 1 {
			t.Errorf("%d equivocations recorded, want 1", n)
		}
	})
}

// A block goes to the upstream only when the upstream has its parent, and its
// missing parents go first.
func TestParentsGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, director.Passive, nil)
		defer s.close()
		base := child(genesis(100), s.slot, "bpb", 0, 0)
		up := s.accept(base.id, base.id)
		a := s.dial("nodeos-a", base.id, base.id)
		settle()
		up.write(base.frame)
		settle()
		one := child(base.id, s.slot+1, "bpa", 1, 0)
		a.write(one.frame)
		settle()
		up.nc.Close() // it reconnects without having kept our block
		settle()
		two := child(one.id, s.slot+2, "bpa", 1, 0)
		a.write(two.frame)
		settle()
		again := s.accept(base.id, base.id)
		settle()
		again.mu.Lock()
		got := slices.Clone(again.blocks)
		again.mu.Unlock()
		if want := []wire.ID{one.id, two.id}; !slices.Equal(got, want) {
			t.Errorf("the upstream that came back got %v, want both of ours in order", got)
		}
	})
}
