package relay_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/director"
)

// No replica is there, and a finalizer host passes a block of ours on that it has got elsewhere, as every nodeos does:
// it is not made active for that, nor is the right to follow the chain given to it.
func TestObserverIsNotMadeActive(t *testing.T) {
	for _, mode := range []director.Mode{director.Votes, director.Passive} {
		t.Run(mode.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, mode, nil)
				defer s.close()
				base := child(genesis(100), s.slot, "bpb", 0, 0)
				up := s.accept(base.id, base.id)
				up.write(base.frame)
				fin := s.dial("fin-1", base.id, base.id)
				settle()
				ours := child(base.id, s.slot+1, "bpa", 0, 0)
				fin.write(ours.frame)
				settle()
				if n := s.count(relay.ActiveChange); n != 0 || up.has(ours.id) {
					t.Errorf("the active replica has changed %d times, and the block has gone: %v; want neither", n, up.has(ours.id))
				}
				a := s.dial("nodeos-a", base.id, base.id)
				time.Sleep(500 * time.Millisecond) // fake time: a replica is chosen
				if st, _ := s.node.Status(t.Context()); st.Active != a.id {
					t.Errorf("active is %s, want the replica that has come", st.Active.Short())
				}
				own := child(base.id, s.slot+2, "bpa", 1, 0)
				a.write(own.frame)
				settle()
				if !up.has(own.id) {
					t.Errorf("the replica's own block did not go: refused %v", s.refused(own.id))
				}
			})
		})
	}
}
