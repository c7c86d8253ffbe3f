package upstream_test

import (
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// A peer flags a stranger as syncing; one that does not mixes live traffic in.
func TestSyncConnectionIgnoresLiveTraffic(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := newNode(t, 300)
		n.head = 200
		n.block = func(conn, num int, l *line) (*wire.Frame, bool) {
			if num%10 == 0 {
				l.write(n.chain.frames[250])
				l.write(n.chain.frames[5])
				l.send(&wire.Vote{Block: n.chain.id(201)})
				l.send(n.behindNotice())
				l.send(n.handshake(2))
			}
			return n.chain.frames[num-1], true
		}
		w.listen("node", n.serve)
		w.run()
		var got basket
		if err := w.dialer.Fetch(t.Context(), 11, 190, got.deliver(n.chain)); err != nil {
			t.Fatal(err)
		}
		got.holds(t, 11, 190)
		if got := w.sink.log(); len(got) != 2 {
			t.Errorf("sink heard %q, want nothing of the sync connection", got)
		}
		if got := len(n.conns()[1].handshakes()); got != 1 {
			t.Errorf("%d handshakes on the sync connection, want 1: an echo would bring live traffic", got)
		}
	})
}

// A sync connection whose handshake does not come counts as stalled after 2 s.
func TestSyncConnectionMute(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, b := newNode(t, 200), newNode(t, 200)
		w.listen("a", a.serve)
		w.listen("b", b.serve)
		w.run()
		a.mute = true
		began := time.Now()
		var got basket
		if err := w.dialer.Fetch(t.Context(), 1, 100, got.deliver(b.chain)); err != nil {
			t.Fatal(err)
		}
		got.holds(t, 1, 100)
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("took %s, want 2s", took)
		}
	})
}

// A peer that closed the kept sync connection meanwhile is simply dialled again.
func TestSyncConnectionClosedWhileIdle(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := newNode(t, 200)
		w.listen("node", n.serve)
		w.run()
		for range 3 {
			var got basket
			if err := w.dialer.Fetch(t.Context(), 1, 100, got.deliver(n.chain)); err != nil {
				t.Fatal(err)
			}
			got.holds(t, 1, 100)
			lines := n.conns()
			lines[len(lines)-1].net.Close()
		}
		if got := w.log.lines("failed"); got != 0 {
			t.Errorf("a closed idle connection is logged:\n%s", w.log.text())
		}
	})
}
