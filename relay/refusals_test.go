package relay_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/gate"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// A relay that was restarted a moment before it takes over, as in a rolling
// upgrade: the replicas have just reconnected, with the mark's block as their
// head. That proves that its child is still to be built, and nothing is lost.
func TestSuccessorRestartedAMomentBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, fleetConfig{relays: 2, mode: director.Votes, load: 4, dials: [][]int{{0, 1}, {0, 1}, {0, 1}}, finalizer: []int{0, 1}, seed: 5})
		defer f.close()
		rounds(2)
		f.net.Oracle.Begin(f.now())
		f.restartInTurn()
		got := f.net.Report()
		if got.Double != 0 || got.Unlinked != 0 || got.Missed != 0 || got.SlotsOurs < 36 {
			t.Errorf("report=%+v, want nothing lost", brief(got))
		}
	})
}

// Where all replicas sign, those of the standbys are refused and offered again
// at every tick: each is told of once.
func TestRefusalsAreToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, fleetConfig{relays: 2, mode: director.Passive, load: 4, dials: [][]int{{0, 1}, {0, 1}, {0, 1}}, finalizer: []int{0, 1}, seed: 5})
		defer f.close()
		rounds(2)
		f.restartInTurn()
		f.refusedOnce()
	})
}

// restartInTurn restarts the follower, and a moment later kills the leader,
// three times in the middle of a round of ours.
func (f *fleet) restartInTurn() {
	for range 3 {
		f.awaitSlot(2, 0)
		first, second := f.members[0], f.members[1]
		second.kill()
		second.start()
		for second.attached() < len(f.replicas) {
			time.Sleep(10 * time.Millisecond)
		}
		first.kill()
		f.appoint(second, 300*time.Millisecond)
		time.Sleep(3 * time.Second)
		first.start()
		rounds(1)
		f.appoint(first, 0)
		rounds(1)
	}
}

// attached counts the replicas that are connected to the relay.
func (m *member) attached() (n int) {
	s, _ := m.node.Status(m.f.t.Context())
	for _, r := range s.Replicas {
		if r.Addr != "" {
			n++
		}
	}
	return n
}

// refusedOnce checks that a relay tells of a block by a source once that it is
// refused, however often it is offered again.
func (f *fleet) refusedOnce() {
	f.t.Helper()
	type refusal struct {
		member        string
		block, source wire.ID
	}
	told, refused, unwatched := make(map[refusal]int), 0, 0
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.records {
		if r.Kind == relay.Refused {
			refused++
			if r.Reason == gate.Source {
				unwatched++
			}
			told[refusal{r.member, r.Block.ID, r.Source}]++
		}
	}
	if refused != len(told) || unwatched == 0 {
		f.t.Errorf("%d refusals told of %d blocks, %d for their source", refused, len(told), unwatched)
	}
}
