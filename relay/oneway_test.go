package relay_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// The producers before us miss their rounds, so that one upstream has nothing to say, and
// another one makes blocks up meanwhile, or tells again what both have told. That is no reason to take the first one for an
// upstream whose line is broken one way: it gets our block.
func TestLiesDoNotMakeAnotherUnheard(t *testing.T) {
	for name, again := range map[string]bool{"made up": false, "told again": true} {
		t.Run(name, func(t *testing.T) { testLiesDoNotMakeAnotherUnheard(t, again) })
	}
}

func testLiesDoNotMakeAnotherUnheard(t *testing.T, again bool) {
	synctest.Test(t, func(t *testing.T) {
		c := newTrial(t)
		defer c.close()
		head := savanna(c.base.id, c.slot+1, "bpb", 0, 101)
		c.up.write(head.frame)
		c.evil.write(head.frame)
		settle()
		c.up.vote(1, head.id)
		a := c.replicas(head.id, "a")[0]
		for i := range 6 {
			time.Sleep(wire.SlotInterval) // fake time
			if again {
				c.evil.write(head.frame)
			} else {
				c.evil.write(child(genesis(110), c.slot, "bpb", byte(i), 0).frame)
			}
		}
		settle()
		ours := savanna(head.id, c.slot+8, "bpa", 0, 101)
		a.write(ours.frame)
		settle()
		if !c.up.has(ours.id) {
			t.Errorf("our block did not go out: refused %v", c.refused(ours.id))
		}
	})
}
