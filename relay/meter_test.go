package relay_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// tally is a meter.
type tally struct{ up, down, dropped, overflows, fetched atomic.Int64 }

func (m *tally) TransactionUp()      { m.up.Add(1) }
func (m *tally) TransactionDown()    { m.down.Add(1) }
func (m *tally) TransactionDropped() { m.dropped.Add(1) }
func (m *tally) QueueOverflow()      { m.overflows.Add(1) }
func (m *tally) SyncBlocks(n int)    { m.fetched.Add(int64(n)) }

// Transactions are counted by their way, and one that was seen before as dropped. A
// replica that reads nothing overflows its queue once, however much it misses.
// TestFarBehindCatchesUp has the blocks that are fetched.
func TestMeter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &tally{}
		s := newStage(t, director.Passive, func(c *relay.Config) { c.Meter = m })
		defer s.close()
		prev := child(genesis(100), s.slot, "bpb", 0, 0)
		up := s.accept(prev.id, prev.id)
		up.write(prev.frame)
		r := s.dial("nodeos-a", prev.id, prev.id)
		settle()
		for _, from := range []*player{up, up, r} { // the second sends what the first has sent
			body := transaction(t, 200)
			if from == r {
				body[len(body)-2] = 1
			}
			f := wire.RawFrame(wire.TypeTransaction, body)
			from.write(f.Bytes())
			f.Release()
			settle()
		}
		if up, down, dropped := m.up.Load(), m.down.Load(), m.dropped.Load(); up != 1 || down != 1 || dropped != 1 {
			t.Errorf("%d transactions up, %d down, %d dropped, want 1 each", up, down, dropped)
		}
		nc, err := s.mem.Host("nodeos-z").Dial(s.ctx, "relay:9876")
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		h := greeting("nodeos-z", wire.ID{9}, prev.id, prev.id)
		f := wire.Encode(&h)
		defer f.Release()
		if _, err := nc.Write(f.Bytes()); err != nil {
			t.Fatal(err)
		}
		s.grow(up, prev, 16, 4<<20)
		if got := m.overflows.Load(); got != 1 {
			t.Errorf("%d overflows, want 1", got)
		}
	})
}
