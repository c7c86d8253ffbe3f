package relay_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// A relay whose clock is behind, and that hears of the chain from one peer alone, learns
// the schedule all the same: a producer's turn is known once it has come by that clock.
func TestScheduleWithAClockThatIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := &stepped{}
		clock.ahead.Store(-int64(3 * time.Second))
		s := newStage(t, director.Passive, func(c *relay.Config) { c.Clock = clock })
		defer s.close()
		last := child(genesis(100), s.slot, "bpb", 0, 0)
		up := s.accept(last.id, last.id)
		up.write(last.frame)
		for range 84 {
			time.Sleep(wire.SlotInterval) // fake time
			slot := last.slot + 1
			last = child(last.id, slot, []string{"bpb", "bpa"}[slot/12%2], 0, 0)
			up.write(last.frame)
		}
		settle()
		if st, _ := s.node.Status(t.Context()); st.NextRound.IsZero() && !st.InRound {
			t.Error("it is not known when our next round is")
		}
	})
}
