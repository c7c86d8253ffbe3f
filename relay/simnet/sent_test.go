package simnet_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/simnet"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// A block whose sender is killed while the line is cut arrives nowhere. It has left all
// the same: another block of that height is the second one.
func TestBlocksThatDoNotArriveHaveLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, mem := start(t, simnet.Config{History: 50, NoSignatures: true})
		up, ok := w.Upstream(0).View()
		if !ok {
			t.Fatal("no upstream")
		}
		slot := up.Head.Slot + 1
		for w.Chain.ProducerAt(slot).String() != "bpa" || slot < up.Head.Slot+3 {
			slot++
		}
		send := func(host, memo string) {
			t.Helper()
			b, err := w.Chain.Child(up.Head, slot, up.Head.Claim, memo)
			if err != nil {
				t.Fatal(err)
			}
			c, err := mem.Host(host).Dial(t.Context(), "up-1:9876")
			if err != nil {
				t.Fatal(err)
			}
			c = w.Oracle.Watched(c, host, "up-1")
			mem.CutBoth(host, "up-1")
			hello := wire.Append(nil, &wire.Time{Xmt: 1})
			for _, part := range [][]byte{hello[:3], hello[3:], b.Frame()[:4], b.Frame()[4:100], append(b.Frame()[100:], hello...)} {
				if _, err := c.Write(part); err != nil {
					t.Fatal(err)
				}
			}
			mem.Kill(host)
			time.Sleep(time.Second) // fake time
		}
		send("r1", "one")
		send("r2", "one") // the same again is fine
		if r := w.Report(); r.Double != 0 || r.Left != 2 || r.Emitted != 0 {
			t.Errorf("the same block twice: %+v, want two that left, none emitted, none double", r)
		}
		send("r3", "another")
		if r := w.Report(); r.Double != 1 || r.Left != 3 || r.Doubles[0].Relay != "r3" {
			t.Errorf("another block of the height: %+v, want one double, by r3", r)
		}
	})
}
