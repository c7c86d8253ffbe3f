package conn_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/conn"
	"github.com/thinrelay/thinrelay/relay/simnet/memnet"
)

// TestInflationIsRationed: what a connection's transactions inflate to has a bound over time.
func TestInflationIsRationed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, peer := pair(t, memnet.DefaultBuffer)
		defer peer.Close()
		c := conn.New(ours, conn.Config{})
		defer c.Close(nil)
		for _, step := range []struct {
			after time.Duration
			spend int
			want  int // what may be inflated after it
		}{
			{0, 0, 8 << 20},
			{0, 3 << 20, 5 << 20},
			{0, 5<<20 + 1, 0},
			{time.Second / 2, 0, 4<<20 - 1},
			{time.Minute, 0, 8 << 20},
		} {
			time.Sleep(step.after) // fake time
			c.Inflated(step.spend)
			if got := c.Inflatable(); got != step.want {
				t.Errorf("%v later, %d inflated: %d may be, want %d", step.after, step.spend, got, step.want)
			}
		}
	})
}
