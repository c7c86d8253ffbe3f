package relay_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/director"
)

// While nobody leads the producer before us signs two blocks for some slots, and
// a new leader gets to know the one while the network goes on with the other: it
// fetches what it lacks, and our round is built on what the network has.
func TestTwinsAtTheTip(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, fleetConfig{relays: 2, mode: director.Votes, load: 4, dials: [][]int{{0, 1}, {1, 0}, {0, 1}}})
		defer f.close()
		rounds(2)
		f.net.Oracle.Begin(f.now())
		node, err := f.net.Producer("bpc") // before us
		if err != nil {
			t.Fatal(err)
		}
		for i := range repeat(24) {
			f.awaitSlot(0, 5*time.Second)
			old, next := f.members[i%2], f.members[(i+1)%2]
			f.group.elect(nil)
			old.resign()
			node.Equivocate(2)
			f.appoint(next, time.Duration(500+i*40)*time.Millisecond)
			rounds(1)
		}
		got := f.net.Report()
		if got.Double != 0 || got.Unlinked != 0 || got.Missed > 4 || got.SlotsOurs < repeat(24)*12-12 {
			f.dump(f.members[0].began, 300)
			t.Errorf("report=%+v, want our rounds whole, but for first slots soon after the leader came", brief(got))
		}
	})
}
