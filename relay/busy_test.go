package relay_test

import (
	"encoding/binary"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// slow is a clock that lets readers go first whenever the hub looks at it, as it is where the
// hub takes longer for a frame than its reader does.
type slow struct {
	relay.SystemClock
	looks atomic.Int64
}

func (c *slow) SlotAt(t time.Time) wire.Slot {
	c.looks.Add(1)
	for range 50 {
		runtime.Gosched()
	}
	return c.SystemClock.SlotAt(t)
}

// A replica sends more than the hub keeps up with. Everything else has its turn all the same:
// the clock, which the lateness of our blocks hangs on, and the end of a leadership.
func TestFloodLeavesTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := &slow{}
		c := newTrial(t, func(cfg *relay.Config) { cfg.Clock = clock })
		defer c.close()
		r := c.replicas(c.base.id, "a", "b")
		const flood = 12000
		vote := wire.Vote{Block: c.base.id}
		var frames []byte
		for n := range uint32(flood) {
			binary.LittleEndian.PutUint32(vote.Sig[:], n)
			frames = wire.Append(frames, &vote)
		}
		before := clock.looks.Load()
		for _, p := range r {
			go p.write(frames)
		}
		for clock.looks.Load() < before+300 {
			runtime.Gosched()
		}
		if _, ok := c.node.Status(t.Context()); !ok {
			t.Fatal("no status")
		}
		if n := clock.looks.Load() - before; n > flood {
			t.Errorf("the hub had handled %d frames of the flood before it did anything else", n)
		}
	})
}
