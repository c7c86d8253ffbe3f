package simnet_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/simnet"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// served returns the numbers of the blocks that come within 100 ms, and whether the
// node goes away then.
func (d *dummy) served() (blocks []*simnet.Block, away bool) {
	time.Sleep(100 * time.Millisecond)
	synctest.Wait()
	for {
		select {
		case f, ok := <-d.in:
			if !ok || f.Type() == wire.TypeGoAway {
				return blocks, true
			}
			if f.Type() == wire.TypeBlock {
				if b, err := simnet.ParseBlock(f.Payload()); err == nil {
					blocks = append(blocks, b)
				}
			}
		default:
			return blocks, false
		}
	}
}

func catchUpAfter(id wire.ID) *wire.Request {
	return &wire.Request{ReqBlocks: wire.IDList{Mode: wire.ModeCatchUp, IDs: []wire.ID{id}}}
}

// A request to catch up is answered with what follows the block it names; with what
// follows the root that was announced if that block is on another branch; with go_away
// if there is none of that height.
func TestCatchUpRequest(t *testing.T) {
	other := func(b *simnet.Block) (id wire.ID) { id = b.ID; id[20] ^= 1; return id }
	for _, tc := range []struct {
		name string
		ask  func(blocks []*simnet.Block, head int) wire.ID
		from int // below the head; -1: nothing
		away bool
	}{
		{"a block of the chain", func(b []*simnet.Block, head int) wire.ID { return b[head-5].ID }, 4, false},
		{"the head", func(b []*simnet.Block, head int) wire.ID { return b[head].ID }, -1, false},
		{"a block of another branch", func(b []*simnet.Block, head int) wire.ID { return other(b[head-2]) }, 9, false},
		{"a block above the head", func(b []*simnet.Block, head int) wire.ID { return wire.StartID(b[head].Num() + 1) }, -1, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, mem := start(t, simnet.Config{History: 50, NoSignatures: true})
				inRound(w, 0, 2) // which nobody fills
				d := dialDummy(t, w, mem, "relay", wire.Version9)
				blocks := w.Upstream(0).Blocks()
				head := len(blocks) - 1
				d.hello(wire.Version9, blocks[head-10].ID, blocks[head].ID)
				d.served()
				d.send(catchUpAfter(tc.ask(blocks, head)))
				got, away := d.served()
				var want []uint32
				for i := head - tc.from; tc.from >= 0 && i <= head; i++ {
					want = append(want, blocks[i].Num())
				}
				if nums := numbers(got); !slices.Equal(nums, want) || away != tc.away {
					t.Errorf("served %d, went away %v; want %d, %v", nums, away, want, tc.away)
				}
			})
		})
	}
}

// A node that produces serves the best branch that it has, which need not be its own: its
// siblings' blocks are stored, not applied. Where that branch is lower than its own, Spring
// 1.2 stops there, and older ones go away.
func TestCatchUpRequestWhileProducing(t *testing.T) {
	for release, away := range map[simnet.Release]bool{simnet.Spring12: false, simnet.Spring11: true} {
		t.Run(release.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, mem := start(t, simnet.Config{History: 50, NoSignatures: true})
				l, err := mem.Host("relay").Listen(":9876")
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				r := replica(t, w, simnet.ReplicaConfig{Name: "nodeos-a", Relays: []string{"relay:9876"}, Stale: true, Release: release})
				defer r.Kill()
				d := acceptDummy(t, w, l)
				inRound(w, 0, 3)
				own, _ := d.served()
				if len(own) < 3 {
					t.Fatalf("%d blocks in our round", len(own))
				}
				parent := own[len(own)-3]
				sibling, err := w.Chain.Child(parent, own[len(own)-1].Slot+3, parent.Claim, "sibling")
				if err != nil {
					t.Fatal(err)
				}
				d.write(sibling.Frame())
				d.send(catchUpAfter(parent.ID))
				got, gone := d.served()
				if len(got) == 0 || got[0].ID != sibling.ID || gone != away {
					t.Errorf("served %v, went away %v; want %s first, %v", got, gone, sibling, away)
				}
			})
		})
	}
}

func numbers(blocks []*simnet.Block) (out []uint32) {
	for _, b := range blocks {
		out = append(out, b.Num())
	}
	return out
}
