package relay_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// Where all replicas sign, the active one hangs, and the mark was not moved to the last block of the producer before
// us: that came late, or it is not known whether the replica has got it. What another replica builds on that block
// goes once the active one is late, and all that follows in time.
func TestActiveReplicaHangsAndThePredecessorIsLate(t *testing.T) {
	for name, tc := range map[string]struct {
		before  time.Duration // our first slot
		answers bool          // the active replica has answered until then
	}{
		"it came late":                    {550 * time.Millisecond, false},
		"it is not known to be there yet": {700 * time.Millisecond, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newTrial(t)
				defer c.close()
				a := c.replicas(c.base.id, "nodeos-a")[0]
				b := c.replicas(c.base.id, "nodeos-b")[0]
				const ours = wire.Slot(36)
				a.answers.Store(tc.answers)
				prev := c.toOurs(ours-2, a)
				a.answers.Store(false)
				time.Sleep(time.Until(ours.Time().Add(-tc.before))) // fake time
				prev = child(prev.id, ours-1, "bpb", 0, 0)
				c.up.write(prev.frame)
				c.evil.write(prev.frame)
				for slot := ours; slot < ours+3; slot++ {
					time.Sleep(time.Until(slot.Time().Add(-50 * time.Millisecond))) // fake time
					prev = child(prev.id, slot, "bpa", 1, 0)
					b.write(prev.frame)
					time.Sleep(300 * time.Millisecond) // fake time: the first one when the active replica is late
					if !c.up.has(prev.id) {
						t.Errorf("block %d of our round did not go out: refused %v", slot-ours, c.refused(prev.id))
					}
				}
			})
		})
	}
}
