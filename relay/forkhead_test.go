package relay_test

import (
	"testing"
	"testing/synctest"

	"github.com/thinrelay/thinrelay/relay/director"
)

// A replica whose head is a block of its own that did not go out says so: it is given
// what it lacks from where its branch leaves the chain, not all above finality again,
// which are hundreds of blocks before Savanna.
func TestHeadOnAPrivateBranch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, director.Passive, nil)
		defer s.close()
		base := child(genesis(100), s.slot, "bpb", 0, 0)
		up := s.accept(base.id, base.id)
		up.write(base.frame)
		prev := s.grow(up, base, 300, 0)
		a := s.dial("nodeos-a", base.id, prev.id)
		settle()
		b := s.dial("nodeos-b", base.id, prev.id)
		settle()
		out, in := child(prev.id, prev.slot+1, "bpa", 1, 0), child(prev.id, prev.slot+1, "bpa", 2, 0)
		a.write(out.frame)
		settle()
		b.write(in.frame)
		settle()
		before := len(b.got())
		h := greeting(b.name, b.id, base.id, in.id)
		h.Generation = 2
		b.send(&h)
		settle()
		if n := len(b.got()) - before; !b.has(out.id) || n > 1 {
			t.Errorf("it was given %d blocks, the one that went out: %v; want that alone", n, b.has(out.id))
		}
	})
}
