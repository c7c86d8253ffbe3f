package relay_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/director"
)

// The line to the standby is cut for longer than votes may be away, and mended just after the active replica has died
// in our round. A nodeos wants votes of others and of its own producer's finalizer before it goes on
// (producer_plugin.cpp:2099-2122): nobody votes again before it has built a block, so it is handed the last ones of both.
func TestOwnVotesAfterACut(t *testing.T) {
	for _, at := range []int{0, 1} {
		t.Run([]string{"at the leader", "at a follower"}[at], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				line := &fragile{}
				f := newFleet(t, fleetConfig{
					relays: 2, mode: director.Votes, load: 3, dials: [][]int{{0}, {at}}, finalizer: []int{0, 1},
					change: line.under("nodeos-b"),
				})
				defer f.close()
				rounds(2)
				if f.speaker() != f.replicas[0] {
					t.Fatal("nodeos-a is not active")
				}
				f.net.Oracle.Begin(f.awaitSlot(3, 10*time.Second))
				f.mem.CutBoth(f.members[at].name, "nodeos-b")
				line.reset()
				time.Sleep(10 * time.Second) // fake time
				f.replicas[0].Kill()
				time.Sleep(200 * time.Millisecond) // fake time
				f.mem.HealBoth(f.members[at].name, "nodeos-b")
				time.Sleep(12 * time.Second) // fake time: the rest of the round, and another
				f.clean(9, 1)
			})
		})
	}
}

// The same where the follower that the standby is connected to was away: it has heard no votes.
func TestVotesAfterAFollowerWasAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, fleetConfig{
			relays: 2, mode: director.Votes, load: 3, dials: [][]int{{0}, {1}}, finalizer: []int{0, 1},
		})
		defer f.close()
		rounds(2)
		if f.speaker() != f.replicas[0] {
			t.Fatal("nodeos-a is not active")
		}
		f.net.Oracle.Begin(f.awaitSlot(3, 10*time.Second))
		f.members[1].kill()
		time.Sleep(10 * time.Second) // fake time
		f.replicas[0].Kill()
		time.Sleep(200 * time.Millisecond) // fake time
		f.members[1].start()
		time.Sleep(12 * time.Second) // fake time: the rest of the round, and another
		f.clean(9, 3)
	})
}
