package relay_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/fsm"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// While its upstream was away the network left out a block that the relay has, and what
// came in its place is irreversible there by now: the relay asks for that block too. It
// asked for nothing below the upstream's finality, nothing linked, and for as long as
// blocks of ours went on coming the ring was not begun anew: all of them were lost.
func TestIrreversibleBlockInPlaceOfOurs(t *testing.T) {
	for name, since := range map[string]int{"irreversible": 0, "far below what is": 6} {
		t.Run(name, func(t *testing.T) { testBlockInPlaceOfOurs(t, since) })
	}
}

func testBlockInPlaceOfOurs(t *testing.T, since int) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, director.Passive, nil)
		defer s.close()
		chain := []script{child(genesis(100), s.slot, "bpb", 0, 0)}
		add := func() {
			last := chain[len(chain)-1]
			chain = append(chain, child(last.id, last.slot+1, "bpb", 0, 0))
		}
		up := s.accept(chain[0].id, chain[0].id)
		for range 5 {
			up.write(chain[len(chain)-1].frame)
			add()
		}
		left := chain[len(chain)-1] // the network leaves this one out
		up.write(left.frame)
		settle()
		up.close()

		last := chain[len(chain)-2]
		chain[len(chain)-1] = child(last.id, left.slot+1, "bpb", 0, 0)
		for range since {
			add()
		}
		root := chain[len(chain)-1]
		add()
		add()
		head := chain[len(chain)-1]
		up = s.accept(root.id, head.id)
		served := 0
		for range 30 {
			time.Sleep(100 * time.Millisecond) // fake time
			for _, q := range up.requests()[served:] {
				served++
				for _, b := range chain {
					if b.id.Num() >= q.Start && b.id.Num() <= q.End {
						up.write(b.frame)
					}
				}
			}
		}
		status, _ := s.node.Status(t.Context())
		if got, want := status.Tip.ID, head.id; got != want {
			t.Errorf("tip %d %s, want the network's, %d %s; asked for %v", got.Num(), got.Short(), want.Num(), want.Short(), up.requests())
		}
	})
}

// A relay that starts while all upstreams are away hears its replica alone, which goes on with a branch of its own. When an upstream is back the network
// is elsewhere, below what the relay has of the chain, and nothing that it tells links. Where our rounds are so close to one another that something of
// ours always comes, the ring was never begun anew, and no block of ours left any more.
func TestOwnBranchBesideTheNetworks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, director.Passive, nil)
		defer s.close()
		s.stopLead()
		<-s.led
		own := child(genesis(120), s.slot, "bpa", 0, 0)
		network := []script{child(genesis(100), s.slot, "bpb", 0, 0)}
		r := s.dial("nodeos-a", genesis(119), genesis(120))
		settle()
		s.inherit(fsm.Mark{Last: fsm.BlockID(own.id), Slot: uint32(own.slot), Source: fsm.NodeID(r.id)})
		s.lead()
		settle()
		r.write(own.frame)
		var up *player
		served := 0
		for slot := s.slot + 1; slot < s.slot+8*director.RoundSlots; slot++ {
			time.Sleep(wire.SlotInterval) // fake time
			last := network[len(network)-1]
			switch {
			case (slot-s.slot)/director.RoundSlots%2 == 0:
				own = child(own.id, slot, "bpa", 0, 0)
				r.write(own.frame)
			default:
				last = child(last.id, slot, "bpb", 0, 0)
				network = append(network, last)
				if up != nil {
					up.write(last.frame)
				}
			}
			if slot == s.slot+2*director.RoundSlots {
				for up == nil || up.gone() != nil { // whoever was dialled in vain comes first
					up = s.accept(network[len(network)-3].id, last.id)
					settle()
				}
			}
			if up == nil {
				continue
			}
			settle()
			for _, q := range up.requests()[served:] {
				served++
				for _, b := range network {
					if b.id.Num() >= q.Start && b.id.Num() <= q.End {
						up.write(b.frame)
					}
				}
			}
		}
		settle()
		status, _ := s.node.Status(t.Context())
		if got, want := status.Tip.ID, network[len(network)-1].id; got != want {
			t.Errorf("tip %d %s, want the network's, %d %s; the mark is at %d; asked for %v", got.Num(), got.Short(), want.Num(), want.Short(), s.marked(), up.requests())
		}
	})
}

// Where we alone produce nothing of the network's ever comes. Now and then a block of an upstream that does not link, and whose parents it does not serve, is no
// reason to begin the chain here anew: our blocks go on leaving.
func TestBlocksThatDoNotLinkNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, director.Passive, nil)
		defer s.close()
		own := child(genesis(100), s.slot, "bpb", 0, 0)
		up := s.accept(own.id, own.id)
		r := s.dial("nodeos-a", own.id, own.id)
		up.answers.Store(true)
		settle()
		up.write(own.frame)
		for slot := s.slot + 1; slot < s.slot+15*director.RoundSlots; slot++ {
			time.Sleep(wire.SlotInterval) // fake time
			own = child(own.id, slot, "bpa", 0, 0)
			r.write(own.frame)
			settle()
			if !up.has(own.id) {
				t.Fatalf("block %d of ours did not go out: refused %v", slot-s.slot, s.refused(own.id))
			}
			if (slot-s.slot)%(3*director.RoundSlots) == 0 {
				up.write(child(genesis(own.id.Num()+2), slot, "bpb", 1, 0).frame)
			}
		}
	})
}
