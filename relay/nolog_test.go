package relay_test

import (
	"testing"
	"testing/synctest"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/simnet"
)

// Upstreams without a block log have nothing below their last irreversible block, and say
// so. They are not asked for it: the answer would be go_away, each time anew.
func TestUpstreamsWithoutBlockLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, fleetConfig{
			relays: 2, mode: director.Votes, load: 3, dials: [][]int{{0, 1}, {0, 1}}, history: 200,
			change: func(c *simnet.Config) { c.NoBlockLog = true },
		})
		defer f.close()
		rounds(2)
		f.net.Oracle.Begin(f.now())
		rounds(2)
		f.members[0].kill()
		f.appoint(f.members[1], 0)
		rounds(2)
		if got := f.net.Report(); got.Double != 0 || got.Unlinked != 0 || got.Missed > 1 || f.count(relay.UpstreamDown) > 2 {
			f.dump(f.members[0].began, 60)
			t.Errorf("upstreams lost %d times, report=%+v", f.count(relay.UpstreamDown), brief(got))
		}
	})
}
