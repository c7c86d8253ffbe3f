package relay_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/fsm"
	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/director"
)

// On a chain where nobody else produces, the leader and the replica that held
// the mark die together. The new leader cannot know whether the next block was
// sent, and no other producer will ever show. It waits for ever, unless the
// operator has said for how long.
func TestUnresolvedOnASingleProducerChain(t *testing.T) {
	for _, tt := range []struct {
		name  string
		after time.Duration
		goes  bool
	}{
		{"never", 0, false},
		{"after ten seconds", 10 * time.Second, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, worldConfig{
					mode: director.Votes, replicas: 2, load: 1, alone: true, unresolvedAfter: tt.after,
				})
				defer w.close()
				time.Sleep(20 * time.Second)
				victim := w.speaker()
				if victim == nil {
					w.dump(50)
					t.Fatal("nobody speaks")
				}
				w.stopLead()
				<-w.led
				victim.Kill()
				w.lead()
				time.Sleep(8 * time.Second)
				before := w.count(relay.Forwarded)
				if got := w.count(relay.Unresolved); got != 1 {
					w.dump(50)
					t.Fatalf("unresolved records=%d, want 1", got)
				}
				if s, _ := w.node.Status(t.Context()); s.Unresolved.IsZero() {
					t.Error("status does not tell that nothing is let out")
				}
				time.Sleep(12 * time.Second)
				if s, _ := w.node.Status(t.Context()); s.Unresolved.IsZero() != tt.goes {
					t.Errorf("status tells that nothing is let out since %v, want it to be over: %v", s.Unresolved, tt.goes)
				}
				if got := w.count(relay.Forwarded) > before; got != tt.goes {
					w.dump(50)
					t.Fatalf("blocks forwarded after unresolved_after=%v, want %v", got, tt.goes)
				}
				if doubles, unlinked := w.net.Oracle.Violations(); len(doubles)+len(unlinked) > 0 {
					t.Fatalf("doubles=%v unlinked=%v, want none", doubles, unlinked)
				}
			})
		})
	}
}

// The same where the replica was there all the time and the relay was not: what it has
// built meanwhile was not heard from its beginning. Then the mark stays with it.
func TestUnresolvedWithTheSameReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := worldConfig{mode: director.Passive, replicas: 1, load: 1, alone: true, unresolvedAfter: 10 * time.Second}
		w := newWorld(t, cfg)
		defer w.close()
		time.Sleep(20 * time.Second) // fake time
		w.stopLead()
		<-w.led
		w.stop()
		if err := <-w.ran; err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second) // fake time
		w.startRelay(cfg)
		time.Sleep(8 * time.Second) // fake time
		before := w.count(relay.Forwarded)
		if got := w.count(relay.Unresolved); got == 0 {
			w.dump(50)
			t.Fatalf("unresolved records=%d, want it said once, or again when the replica is here", got)
		}
		time.Sleep(12 * time.Second) // fake time
		if got := w.count(relay.Forwarded) - before; got < 12 {
			w.dump(50)
			t.Fatalf("blocks forwarded after unresolved_after=%d, want all again", got)
		}
		if doubles, unlinked := w.net.Oracle.Violations(); len(doubles)+len(unlinked) > 0 {
			t.Fatalf("doubles=%v unlinked=%v, want none", doubles, unlinked)
		}
	})
}

// What a leader let go, and no upstream has got, is not sent again once the right to follow
// the mark was given to another replica: that one's block may have left by now.
func TestNothingIsSentUnderARightThatIsGone(t *testing.T) {
	for name, again := range map[string]bool{"by the leader that let it go": false, "by a later leadership of that relay": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var cut atomic.Bool
				s := newStage(t, director.Passive, func(c *relay.Config) {
					dialUnless(c, &cut)
				})
				defer s.close()
				base := child(genesis(100), s.slot, "bpb", 0, 0)
				up := s.accept(base.id, base.id)
				a, b := s.dial("nodeos-a", base.id, base.id), s.dial("nodeos-b", base.id, base.id)
				settle()
				up.write(base.frame)
				settle()
				cut.Store(true)
				s.stopLead()
				<-s.led
				mark := fsm.Mark{Last: fsm.BlockID(base.id), Slot: uint32(base.slot), Source: fsm.NodeID(a.id)}
				s.inherit(mark)
				release := s.group.hold()
				s.lead()
				settle()
				one := child(base.id, s.slot+1, "bpa", 1, 0)
				a.write(one.frame)
				settle()
				if n := s.count(relay.Forwarded); n != 1 {
					t.Fatalf("%d blocks let go, want 1", n)
				}
				mark.Source = fsm.NodeID(b.id)
				s.inherit(mark) // another leader went by unresolved_after
				s.node.Applied(s.group.state)
				if again {
					s.stopLead()
					release()
					<-s.led
					s.lead()
				} else {
					defer release()
				}
				cut.Store(false)
				up = s.accept(base.id, base.id)
				settle()
				if up.has(one.id) {
					t.Error("the block of the replica before was sent")
				}
			})
		})
	}
}

// The relay let blocks go that got to nobody, other leaders gave the right to another replica each time, and
// the relay leads again: that one's block goes. If that one is gone, so does the block that was let go, after a
// while: replicas have it, and build on it.
func TestLeadsAgainAfterSomebodyResolved(t *testing.T) {
	for name, tc := range map[string]struct {
		rights string // who had the right, and whose block was let go, one after the other
		last   byte   // who has it now
		gone   bool   // and is not there any more
		want   byte   // whose block goes
	}{
		"to a replica that goes on":       {"a", 'b', false, 'b'},
		"to a replica that is gone":       {"a", 'b', true, 'a'},
		"to another one and back to it":   {"ab", 'a', false, 'a'},
		"to one that comes to be unheard": {"ab", 'c', true, 'a'},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var cut atomic.Bool
				s := newStage(t, director.Passive, func(c *relay.Config) {
					c.UnresolvedAfter, c.Prefer = 5*time.Second, []string{"nodeos-c"} // who leads takes it, until the mark is known
					dialUnless(c, &cut)
				})
				defer s.close()
				base := child(genesis(100), s.slot, "bpb", 0, 0)
				up := s.accept(base.id, base.id)
				replicas, blocks := map[byte]*player{}, map[byte]script{}
				for i, r := range []byte("abc") {
					replicas[r] = s.dial("nodeos-"+string(r), base.id, base.id)
					blocks[r] = child(base.id, s.slot+1, "bpa", byte(i)+1, 0)
				}
				settle()
				up.write(base.frame)
				settle()
				cut.Store(true)
				s.stopLead()
				<-s.led
				right := func(r byte) {
					s.inherit(fsm.Mark{Last: fsm.BlockID(base.id), Slot: uint32(base.slot), Source: fsm.NodeID(replicas[r].id)})
					s.node.Applied(s.group.state)
				}
				for i := range tc.rights {
					r := tc.rights[i]
					right(r)
					release := s.group.hold()
					s.lead()
					settle()
					replicas[r].write(blocks[r].frame)
					settle()
					if n := s.count(relay.Forwarded); n != i+1 {
						t.Fatalf("%d blocks let go, want %d", n, i+1)
					}
					s.inherit(fsm.Mark{Last: fsm.BlockID(base.id), Slot: uint32(base.slot)}) // what was proposed comes too late
					s.stopLead()
					release()
					<-s.led
				}
				right(tc.last)
				if tc.gone {
					replicas[tc.last].close()
				}
				cut.Store(false)
				s.lead()
				up = s.accept(base.id, base.id)
				up.answers.Store(true)
				settle()
				if !tc.gone {
					replicas[tc.last].write(blocks[tc.last].frame)
				}
				time.Sleep(8 * time.Second) // fake time
				if got := up.got(); len(got) != 1 || got[0] != blocks[tc.want].id {
					t.Errorf("%d blocks went, want one, that of nodeos-%c", len(got), tc.want)
				}
			})
		})
	}
}

// An upstream whose line stands still may have a child of the mark: the right is given to another replica when it
// has answered.
func TestUpstreamThatIsSilentResolvesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, director.Passive, func(c *relay.Config) { c.UnresolvedAfter = 5 * time.Second })
		defer s.close()
		base := child(genesis(100), s.slot, "bpb", 0, 0)
		up := s.accept(base.id, base.id)
		a, b := s.dial("nodeos-a", base.id, base.id), s.dial("nodeos-b", base.id, base.id)
		settle()
		up.write(base.frame)
		settle()
		s.stopLead()
		<-s.led
		a.close()
		s.inherit(fsm.Mark{Last: fsm.BlockID(base.id), Slot: uint32(base.slot), Source: fsm.NodeID(a.id)})
		s.lead()
		up = s.accept(base.id, base.id)
		settle()
		up.write(base.frame)
		time.Sleep(15 * time.Second) // fake time
		own := child(base.id, s.slot+32, "bpa", 2, 0)
		b.write(own.frame)
		settle()
		if up.has(own.id) {
			t.Error("the block of another replica went, and the upstream had not answered since the leader before")
		}
		up.answers.Store(true)
		time.Sleep(2 * time.Second) // fake time
		if !up.has(own.id) {
			t.Error("the block of the replica that is here did not go when the upstream had answered")
		}
	})
}
