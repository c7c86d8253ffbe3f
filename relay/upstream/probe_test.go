package upstream_test

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/relay/upstream"
	"github.com/thinrelay/thinrelay/relay/wire"
)

func TestProbe(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := newNode(t, 30)
		w.listen("node", n.serve)
		w.run()
		if !upstream.Probe(t.Context(), w.config.Dial, "node:9876") {
			t.Error("a listening peer is not reachable")
		}
		if upstream.Probe(t.Context(), w.config.Dial, "node:9877") {
			t.Error("a closed port is reachable")
		}
	})
}

func TestInspect(t *testing.T) {
	for _, known := range []bool{true, false} {
		bubble(t, func(t *testing.T, w *world) {
			n := newNode(t, 30)
			n.start = 3
			n.address = "seed1:9876:blk - 1234567"
			w.listen("node", n.serve)
			if !known {
				w.config.ChainID = nil
			}
			w.net.SetDefaultDelay(10 * time.Millisecond)
			r, err := upstream.Inspect(t.Context(), w.config, "node:9876")
			if err != nil {
				t.Fatal(err)
			}
			r.Took, r.ClockOffset = 0, 0
			want := upstream.Report{
				Addr: "node:9876", ChainID: testChain, NodeID: n.handshake(1).NodeID, Version: 11, Agent: "node", OS: "linux",
				P2PAddress: n.address, Head: n.chain.id(30), Root: n.chain.id(27), Start: 3,
			}
			if r != want {
				t.Errorf("chain known %v: report\n%+v, want\n%+v", known, r, want)
			}
			time.Sleep(time.Second) // fake time
			if got := w.net.Conns(); got != 0 {
				t.Errorf("%d connection ends open after Inspect", got)
			}
			closeAll(w)
		})
	}
}

func TestInspectSecondConnection(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := newNode(t, 30)
		n.maxConns = 1
		w.listen("node", n.serve)
		r, err := upstream.Inspect(t.Context(), w.config, "node:9876")
		if err != nil || !errors.Is(r.Second, upstream.ErrClosedEarly) {
			t.Errorf("second connection %v (%v), want closed on sight", r.Second, err)
		}
		closeAll(w)
	})
}

func TestInspectErrors(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := newNode(t, 30)
		n.chainID = wire.ID{7}
		w.listen("wrong", n.serve)
		w.listen("mute", func(l net.Listener) { accepter(l, drain) })
		w.listen("shut", func(l net.Listener) { accepter(l, func(c net.Conn) { c.Close() }) })
		for addr, want := range map[string]error{
			"wrong:9876": upstream.GoAway{Reason: wire.GoAwayWrongChain},
			"mute:9876":  upstream.ErrHandshakeTimeout,
			"shut:9876":  upstream.ErrClosedEarly,
		} {
			if _, err := upstream.Inspect(t.Context(), w.config, addr); !errors.Is(err, want) || upstream.Hint(err) == "" {
				t.Errorf("%s: %v (hint %q), want %v and a hint", addr, err, upstream.Hint(err), want)
			}
		}
		closeAll(w)
	})
}

// closeAll ends the network of a world whose dialer did not run.
func closeAll(w *world) {
	for _, l := range w.shut {
		l.Close()
	}
	w.net.Close()
	time.Sleep(time.Second) // fake time
}
