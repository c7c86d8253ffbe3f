package relay_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// slow is a clock that is behind.
type slow struct {
	relay.SystemClock
	by time.Duration
}

func (c slow) SlotAt(t time.Time) wire.Slot { return c.SystemClock.SlotAt(t.Add(-c.by)) }
func (c slow) TimeOf(s wire.Slot) time.Time { return c.SystemClock.TimeOf(s).Add(c.by) }

// A relay whose clock is behind, and that hears of the chain from one peer alone, learns
// the schedule all the same: a producer's turn is known once it has come by that clock.
func TestScheduleWithAClockThatIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, director.Passive, func(c *relay.Config) { c.Clock = slow{by: 3 * time.Second} })
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
