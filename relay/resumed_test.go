package relay_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// The network stood still for so long that the vote gate was open. The first votes that come
// again go to the active replica alone: a standby that heard them would sign for six seconds.
func TestVotesAfterAStandstill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, director.Votes, nil)
		defer s.close()
		head := savanna(genesis(100), s.slot, "bpb", 0, 100)
		up := s.accept(head.id, head.id)
		up.write(head.frame)
		r := []*player{s.dial("a", head.id, head.id), s.dial("b", head.id, head.id)}
		settle()
		for range 24 {
			time.Sleep(wire.SlotInterval) // fake time
			for _, p := range append(r, up) {
				p.send(&wire.Time{Xmt: time.Now().UnixNano()})
			}
		}
		up.vote(1, head.id)
		settle()
		status, _ := s.node.Status(t.Context())
		for _, p := range r {
			if got, want := p.votesFor(head.id) == 1, p.id == status.Active; got != want {
				t.Errorf("%s has heard the vote: %v, want %v", p.name, got, want)
			}
		}
	})
}
