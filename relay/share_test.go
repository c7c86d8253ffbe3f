package relay_test

import (
	"sync"
	"testing"
	"testing/synctest"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// halted is a meter that holds up the hub at the first transaction.
type halted struct {
	tally
	once    sync.Once
	release chan struct{}
}

func (m *halted) TransactionDown() { m.once.Do(func() { <-m.release }) }

// An upstream sends more than the hub keeps up with. A block of ours does not wait for all
// of it, but for a share of the inbox: a frame can be made to take a third of a millisecond,
// and a thousand of them were before ours.
func TestFloodDoesNotFillTheInbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &halted{release: make(chan struct{})}
		c := newTrial(t, func(cfg *relay.Config) { cfg.Meter = m })
		defer c.close()
		r := c.replicas(c.base.id, "a")
		first := child(c.base.id, c.base.slot+1, "bpa", 0, 0)
		r[0].write(first.frame) // what follows it waits for nothing that others have to do
		settle()
		f := wire.RawFrame(wire.TypeTransaction, transaction(t, 200))
		c.evil.write(f.Bytes())
		f.Release()
		settle()
		lie, flood := c.base, []byte(nil)
		for range 1500 {
			lie = child(lie.id, lie.slot+1, "bpb", 9, 0)
			flood = append(flood, lie.frame...)
		}
		go c.evil.write(flood)
		settle()
		ours := child(first.id, first.slot+1, "bpa", 0, 0)
		r[0].write(ours.frame)
		settle()
		close(m.release)
		settle()
		c.mu.Lock()
		defer c.mu.Unlock()
		before := 0
		for _, rec := range c.records {
			if rec.Kind == relay.Forwarded && rec.Block.ID == ours.id {
				if before > 80 {
					t.Errorf("%d blocks of an upstream's flood went before ours", before)
				}
				return
			}
			if rec.Kind == relay.Network {
				before++
			}
		}
		t.Error("our block was not forwarded")
	})
}
