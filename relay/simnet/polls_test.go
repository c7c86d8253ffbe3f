package simnet_test

import (
	"testing"
	"testing/synctest"

	"github.com/thinrelay/thinrelay/relay/simnet"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// What leaves a process for upstreams: of a finalizer's key each vote once, for blocks that
// the network knows, and for later and later slots. A different one for a slot by another
// process is told apart.
func TestVotesThatLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := start(t, simnet.Config{History: 50, NoSignatures: true})
		up, ok := w.Upstream(0).View()
		if !ok {
			t.Fatal("no upstream")
		}
		child := func(slots wire.Slot, memo string) *simnet.Block {
			t.Helper()
			b, err := w.Chain.Child(up.Head, up.Head.Slot+slots, up.Head.Claim, memo)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		one, twin, later, private := child(1, "one"), child(1, "twin"), child(2, "later"), child(3, "private")
		setup := w.Oracle.Sent("r0", "up-1")
		for _, b := range []*simnet.Block{one, twin, later} {
			if _, err := setup.Write(b.Frame()); err != nil {
				t.Fatal(err)
			}
		}
		type cast struct {
			line   int // of lines: the process and its connection
			block  *simnet.Block
			strong bool
			key    byte
		}
		lines := []string{"r1 up-1", "r1 up-2", "r2 up-1"}
		for name, tc := range map[string]struct {
			casts         []cast
			broken, apart int
		}{
			"later and later":                   {[]cast{{0, up.Head, true, 1}, {0, one, true, 1}, {0, later, false, 1}}, 0, 0},
			"to each upstream":                  {[]cast{{0, one, true, 1}, {1, one, true, 1}}, 0, 0},
			"of two keys":                       {[]cast{{0, one, true, 1}, {0, twin, true, 2}}, 0, 0},
			"the same by two processes":         {[]cast{{0, one, true, 1}, {2, one, true, 1}}, 0, 0},
			"twice":                             {[]cast{{0, one, true, 1}, {0, one, true, 1}}, 1, 0},
			"an earlier slot":                   {[]cast{{0, later, true, 1}, {0, one, true, 1}}, 1, 0},
			"another block of the slot":         {[]cast{{0, one, true, 1}, {0, twin, true, 1}}, 1, 0},
			"another block, to another one":     {[]cast{{0, one, true, 1}, {1, twin, true, 1}}, 1, 0},
			"weak and strong":                   {[]cast{{0, one, true, 1}, {1, one, false, 1}}, 1, 0},
			"another block, by another process": {[]cast{{0, one, true, 1}, {2, twin, true, 1}}, 0, 1},
			"a block that nobody has":           {[]cast{{0, private, true, 1}}, 1, 0},
		} {
			w.Oracle.Begin(up.Head.Slot)
			on := make(map[string]func(wire.Vote))
			for _, line := range lines {
				to := w.Oracle.Sent(line[:2], line[3:])
				on[line] = func(v wire.Vote) {
					b := wire.Append(nil, &v)
					for _, part := range [][]byte{b[:3], b[3:100], b[100:]} {
						if _, err := to.Write(part); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			for _, v := range tc.casts {
				on[lines[v.line]](wire.Vote{Block: v.block.ID, Strong: v.strong, Key: [96]byte{v.key}})
			}
			if broken, apart, left := w.Oracle.Votes(); len(broken) != tc.broken || len(apart) != tc.apart || left != len(tc.casts) {
				t.Errorf("%s: broken %+v, apart %+v, %d seen, want %d, %d and %d", name, broken, apart, left, tc.broken, tc.apart, len(tc.casts))
			}
		}
	})
}
