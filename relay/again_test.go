package relay_test

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"
)

// An upstream tells a long lie and then the last block of it again and again. Each time took
// as long as the way down to what others have: 160 µs, so that 10 Mbit/s of it were all that
// the hub could do. The time is real: it is less than two seconds here, and was half a minute.
func TestBlockThatIsToldAgainTakesNoTime(t *testing.T) {
	began := time.Now()
	synctest.Test(t, func(t *testing.T) {
		c := newTrial(t)
		defer c.close()
		r := c.replicas(c.base.id, "a")
		lie := c.base
		for range 2000 {
			lie = savanna(lie.id, lie.slot+1, "bpb", 9, 101)
			c.evil.write(lie.frame)
		}
		flood := bytes.Repeat(lie.frame, 1000)
		for range repeat(200) {
			c.evil.write(flood)
		}
		settle()
		chain := c.honest([]script{c.base}, 1, func(script) {})
		expect(t, r, chain[1], true, "the chain goes on")
	})
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("200000 times the same block took %s", took)
	}
}
