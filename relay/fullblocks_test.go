package relay_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/director"
)

// full makes every block of the network and of the replicas be full after that time.
func (f *fleet) full(after time.Duration) {
	f.t.Helper()
	for _, name := range []string{"bpb", "bpc"} {
		n, err := f.net.Producer(name)
		if err != nil {
			f.t.Fatal(err)
		}
		n.Full(after)
	}
	for _, r := range f.replicas {
		r.Node().Full(after)
	}
}

// Full blocks come far ahead of their slots, a whole round within a second, and faster than
// the group agrees on them: none of ours is lost, nor when the leader is killed while they wait.
func TestFullBlocksComeAheadOfTime(t *testing.T) {
	t.Parallel()
	for _, mode := range []director.Mode{director.Votes, director.Passive} {
		for _, after := range some([]time.Duration{20 * time.Millisecond, 250 * time.Millisecond}) {
			t.Run(fmt.Sprintf("%s/%s", mode, after), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFleet(t, fleetConfig{
						relays: 3, mode: mode, load: 5, dials: [][]int{{0, 1}, {1, 2}, {2, 0}}, commit: 90 * time.Millisecond,
					})
					defer f.close()
					f.full(after)
					rounds(2)
					f.net.Oracle.Begin(f.now())
					began := time.Now()
					rounds(2)
					for i, leader := range f.members[:2] {
						f.awaitSlot(0, time.Duration(200+150*i)*time.Millisecond)
						leader.kill()
						f.appoint(f.members[i+1], 600*time.Millisecond)
						time.Sleep(8 * time.Second) // fake time
						leader.start()
					}
					rounds(1)
					got := f.net.Report()
					if got.SlotsOurs < 48 || got.Missed != 0 || got.Double != 0 || got.Unlinked != 0 {
						f.dump(began, 120)
						t.Errorf("report=%+v, want nothing missed", brief(got))
					}
					if got.LeadAvgMS < 1500 {
						t.Errorf("blocks came %v ms ahead of their time on average: the test proves nothing", got.LeadAvgMS)
					}
				})
			})
		}
	}
}
