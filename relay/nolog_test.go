package relay_test

import (
	"testing"
	"testing/synctest"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/simnet"
)

// Upstreams without a block log have nothing below their last irreversible block. They are
// not asked for it: the answer would be go_away, each time anew. Releases before Leap 5 do
// not say what they have: they are asked for it once.
func TestUpstreamsWithoutBlockLog(t *testing.T) {
	t.Parallel()
	for _, tc := range some([]struct {
		name    string
		release simnet.Release
		legacy  bool
		mode    director.Mode
		lost    int
	}{
		{"Spring 1.2", simnet.Spring12, false, director.Votes, 2}, // both with the relay that is killed
		{"Leap 5", simnet.Leap5, true, director.Passive, 2},
		{"Leap 4", simnet.Leap4, true, director.Passive, 6},
		{"EOSIO 2.0", simnet.EOSIO20, true, director.Passive, 6},
	}) {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, fleetConfig{
					relays: 2, mode: tc.mode, load: 3, dials: [][]int{{0, 1}, {0, 1}}, history: 200, noFinalizer: tc.legacy,
					change: func(c *simnet.Config) {
						c.NoBlockLog, c.Release, c.Legacy, c.LegacyLag = true, tc.release, tc.legacy, 40
					},
				})
				defer f.close()
				rounds(2)
				f.net.Oracle.Begin(f.now())
				rounds(2)
				f.members[0].kill()
				f.appoint(f.members[1], 0)
				rounds(2)
				if got, lost := f.net.Report(), f.count(relay.UpstreamDown); got.Double != 0 || got.Unlinked != 0 || got.Missed > 1 || lost > tc.lost {
					f.dump(f.members[0].began, 60)
					t.Errorf("upstreams lost %d times, report=%+v", lost, brief(got))
				}
			})
		})
	}
}
