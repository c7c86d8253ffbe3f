package relay_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/fsm"
	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// stillClock holds up whoever asks it the time, once: the process is stopped. That must be the hub's own goroutine, which asks at each tick:
// nothing of a replica may come before the next one, or its reader sleeps with the hub's turn, and the hub waits for that outside of fake time.
type stillClock struct {
	relay.SystemClock
	still *atomic.Int64
}

func (c stillClock) SlotAt(t time.Time) wire.Slot {
	time.Sleep(time.Duration(c.still.Swap(0))) // fake time
	return c.SystemClock.SlotAt(t)
}

// gaveUp fails unless the relay has ended its leadership because it stood still, and has it lead again.
func (s *stage) gaveUp() {
	s.t.Helper()
	select {
	case err := <-s.led:
		if !errors.Is(err, relay.ErrStoodStill) {
			s.t.Errorf("leadership ended by %v, want %v", err, relay.ErrStoodStill)
		}
		s.lead()
	default:
		s.t.Error("it leads")
	}
}

// A leader's process is stopped, and a block of its replica waits for it when it goes on. Where
// another leader may have gone by unresolved_after meanwhile, that block stays; elsewhere it goes, late: no
// other block can.
func TestLeaderThatStoodStillIsOneNoMore(t *testing.T) {
	for name, tc := range map[string]struct {
		after, still time.Duration
		goes         bool
	}{
		"for longer than unresolved_after": {5 * time.Second, 7 * time.Second, false},
		"for a moment":                     {5 * time.Second, 2 * time.Second, true},
		"without unresolved_after":         {0, 7 * time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var still atomic.Int64
				s := newStage(t, director.Passive, func(c *relay.Config) {
					c.UnresolvedAfter, c.Clock = tc.after, stillClock{still: &still}
				})
				defer s.close()
				base := child(genesis(100), s.slot, "bpb", 0, 0)
				up := s.accept(base.id, base.id)
				a := s.dial("nodeos-a", base.id, base.id)
				settle()
				up.write(base.frame)
				settle()
				s.stopLead()
				<-s.led
				s.inherit(fsm.Mark{Last: fsm.BlockID(base.id), Slot: uint32(base.slot), Source: fsm.NodeID(a.id)})
				s.lead()
				up = s.accept(base.id, base.id)
				settle()
				still.Store(int64(tc.still))
				settle()
				one := child(base.id, s.slot+1, "bpa", 1, 0)
				a.write(one.frame)
				time.Sleep(tc.still + time.Second) // fake time
				if up.has(one.id) != tc.goes {
					t.Errorf("the block went: %v, want %v", !tc.goes, tc.goes)
				}
				if tc.goes {
					return
				}
				s.gaveUp()
			})
		})
	}
}

// A leader's process is stopped when a block that it let go has got to nobody, and when it goes on an upstream
// is there. Another leader may have gone by unresolved_after meanwhile: the block is not sent again.
func TestLeaderThatStoodStillSendsNothingAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var still atomic.Int64
		var cut atomic.Bool
		s := newStage(t, director.Passive, func(c *relay.Config) {
			c.UnresolvedAfter, c.Clock = 5*time.Second, stillClock{still: &still}
			dialUnless(c, &cut)
		})
		defer s.close()
		base := child(genesis(100), s.slot, "bpb", 0, 0)
		up := s.accept(base.id, base.id)
		a := s.dial("nodeos-a", base.id, base.id)
		settle()
		up.write(base.frame)
		settle()
		cut.Store(true)
		s.stopLead()
		<-s.led
		s.inherit(fsm.Mark{Last: fsm.BlockID(base.id), Slot: uint32(base.slot), Source: fsm.NodeID(a.id)})
		defer s.group.hold()()
		s.lead()
		settle()
		one := child(base.id, s.slot+1, "bpa", 1, 0)
		a.write(one.frame)
		settle()
		if n := s.count(relay.Forwarded); n != 1 {
			t.Fatalf("%d blocks let go, want 1", n)
		}
		still.Store(int64(7 * time.Second))
		settle()
		cut.Store(false)
		up = s.accept(base.id, base.id)
		time.Sleep(8 * time.Second) // fake time
		if up.has(one.id) {
			t.Error("the block was sent again")
		}
	})
}

// A process is stopped when it has been elected and does not lead yet. What it is told then of its leadership may be over.
func TestLeadershipFromBeforeItStoodStill(t *testing.T) {
	for name, tc := range map[string]struct {
		later time.Duration
		leads bool
	}{
		"at once": {0, false},
		"later":   {2 * time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var still atomic.Int64
				s := newStage(t, director.Passive, func(c *relay.Config) {
					c.UnresolvedAfter, c.Clock = 5*time.Second, stillClock{still: &still}
				})
				defer s.close()
				base := child(genesis(100), s.slot, "bpb", 0, 0)
				up := s.accept(base.id, base.id)
				a := s.dial("nodeos-a", base.id, base.id)
				settle()
				up.write(base.frame)
				settle()
				s.stopLead()
				<-s.led
				s.inherit(fsm.Mark{Last: fsm.BlockID(base.id), Slot: uint32(base.slot), Source: fsm.NodeID(a.id)})
				still.Store(int64(7 * time.Second))
				one := child(base.id, s.slot+1, "bpa", 1, 0)
				a.write(one.frame)
				time.Sleep(7*time.Second + 200*time.Millisecond + tc.later) // fake time
				s.lead()
				settle()
				if got := s.count(relay.Forwarded) == 1; got != tc.leads {
					t.Errorf("the block was let go: %v, want %v", got, tc.leads)
				}
				if tc.leads {
					return
				}
				s.gaveUp()
			})
		})
	}
}
