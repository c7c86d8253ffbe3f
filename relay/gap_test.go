package relay_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// An upstream takes longer than a slot to serve what leads to its head, and of the blocks it
// has made meanwhile the first was lost: it was broadcast before our echo. What the second
// one lacks is asked for when the range has come, also if nothing follows it: our round may.
func TestGapAboveARange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, director.Passive, nil)
		defer s.close()
		chain := []script{child(genesis(100), s.slot, "bpb", 0, 0)}
		for range 31 {
			last := chain[len(chain)-1]
			chain = append(chain, child(last.id, last.slot+1, "bpb", 0, 0))
		}
		head := 29
		up := s.accept(chain[head-3].id, chain[head].id)
		settle()
		for _, b := range chain[:head] {
			up.write(b.frame)
		}
		time.Sleep(600 * time.Millisecond) // fake time
		up.write(chain[head+2].frame)
		settle()
		up.write(chain[head].frame)
		time.Sleep(3 * time.Second) // fake time
		lost := chain[head+1].id.Num()
		if got := up.requests(); !slices.Contains(got, wire.SyncRequest{Start: lost, End: lost}) {
			t.Fatalf("asked for %v, want block %d as well", got, lost)
		}
		up.write(chain[head+1].frame)
		settle()
		if status, _ := s.node.Status(t.Context()); status.Tip.ID != chain[head+2].id {
			t.Errorf("the chain ends at %d, want %d", status.Tip.ID.Num(), chain[head+2].id.Num())
		}
	})
}
