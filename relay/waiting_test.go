package relay_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// An upstream tells blocks that link to nothing, more than may wait for what they build on.
// A block of another one, which waits until a gap is filled, is still there when that has
// come: else the chain here was a block behind for as long as the flood lasted.
func TestFloodLeavesWhatWaits(t *testing.T) {
	for name, ahead := range map[string]int{"": 0, "above the chain": 60} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newTrial(t)
				defer c.close()
				r := c.replicas(c.base.id, "a")
				c.lie(c.base, ahead)
				one := child(c.base.id, c.base.slot+1, "bpb", 1, 0)
				two := child(one.id, one.slot+1, "bpb", 1, 0)
				c.up.write(two.frame)
				settle()
				for n := range uint32(3000) {
					far := child(genesis(two.id.Num()+20+n%200), two.slot+40, "bpb", 9, 0)
					c.evil.write(another(far, n).frame)
				}
				settle()
				c.up.write(one.frame)
				time.Sleep(wire.SlotInterval / 2) // fake time
				expect(t, r, one, true, "the gap is filled")
				expect(t, r, two, true, "the gap is filled")
			})
		})
	}
}
