package relay_test

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/thinrelay/thinrelay/fsm"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// A successor that hears the mark's own block only after it has begun to lead
// sends it to an upstream that lacks it, and what its source builds on it after
// it.
func TestMarkIsHeardLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, director.Passive, nil)
		defer s.close()
		s.stopLead()
		<-s.led
		base := child(genesis(100), s.slot, "bpb", 0, 0)
		mark := child(base.id, s.slot+1, "bpa", 0, 0)
		next := child(mark.id, s.slot+2, "bpa", 0, 0)
		r := s.dial("nodeos-a", base.id, base.id)
		settle()
		s.inherit(fsm.Mark{Last: fsm.BlockID(mark.id), Slot: uint32(mark.slot), Source: fsm.NodeID(r.id)})
		s.lead()
		up := s.accept(base.id, base.id)
		settle()
		if up.gone() != nil { // dialled by the leadership that is over
			up = s.accept(base.id, base.id)
			settle()
		}
		up.write(base.frame)
		settle()
		r.write(mark.frame)
		settle()
		r.write(next.frame)
		settle()
		if got, want := up.got(), []wire.ID{mark.id, next.id}; !slices.Equal(got, want) {
			t.Errorf("the upstream got %d of our blocks %v, want the mark's and the one after it; refused %v, %v",
				len(got), got, s.refused(mark.id), s.refused(next.id))
		}
	})
}
