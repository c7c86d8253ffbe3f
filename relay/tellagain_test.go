package relay_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// A replica that is far behind is told to sync, and asks for nothing. It is told once more after a while, but not by a
// relay that does not lead any more, and that nobody has asked to feed it: another one does.
func TestToldToSyncByWhoFeedsIt(t *testing.T) {
	for name, leads := range map[string]bool{"the leader": true, "a follower": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, director.Passive, func(c *relay.Config) { c.RingBlocks = 16 })
				defer s.close()
				prev := child(genesis(100), s.slot, "bpb", 0, 0)
				up := s.accept(prev.id, prev.id)
				up.write(prev.frame)
				prev = s.grow(up, prev, 40, 0)
				h := greeting("up", up.id, prev.id, prev.id)
				h.Generation = 2
				up.send(&h)
				settle()
				r := s.dial("nodeos-a", genesis(50), genesis(50))
				settle()
				if n := r.syncs(); n != 1 {
					t.Fatalf("told to sync %d times, want once", n)
				}
				if !leads {
					s.stopLead()
					<-s.led
					s.led <- nil // for close
				}
				time.Sleep(7 * time.Second) // fake time
				if n, want := r.syncs(), map[bool]int{true: 2, false: 1}[leads]; n != want {
					t.Errorf("told to sync %d times, want %d", n, want)
				}
			})
		})
	}
}

// syncs returns how often a peer was told to sync.
func (p *player) syncs() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, notice := range p.told {
		if notice.KnownBlocks.Mode == wire.ModeLastIrrCatchUp {
			n++
		}
	}
	return n
}
