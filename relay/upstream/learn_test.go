package upstream_test

import (
	"errors"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/relay/upstream"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// Without a chain id a handshake would be refused: a time message that looks like an answer makes the peer speak first.
func TestChainIsLearned(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := newNode(t, 100)
		w.listen("node", n.serve)
		var learned []wire.ID
		w.config.ChainID = func() (wire.ID, bool) {
			if len(learned) > 0 {
				return learned[0], true
			}
			return wire.ID{}, false
		}
		w.config.Learned = func(id wire.ID) error { learned = append(learned, id); return nil }
		w.run()
		if len(learned) != 1 || learned[0] != testChain {
			t.Fatalf("learned %v, want the peer's chain once", learned)
		}
		time.Sleep(2900 * time.Millisecond) // fake time: when we would give up waiting, and before the next time message
		l := n.conns()[0]
		if got, want := l.types(), []wire.Type{wire.TypeTime, wire.TypeTime, wire.TypeHandshake}; !slices.Equal(got, want) {
			t.Errorf("sent %v, want %v", got, want)
		}
		h := l.handshakes()[0]
		if h.Generation != 1 || h.ChainID != testChain || h.HeadID != n.chain.id(100) {
			t.Errorf("handshake: generation %d chain %s head %d, want 1, the peer's, 100", h.Generation, h.ChainID, h.HeadNum)
		}
	})
}

func TestChainNotLearned(t *testing.T) {
	t.Run("the peer waits for us", func(t *testing.T) {
		bubble(t, func(t *testing.T, w *world) {
			n := newNode(t, 100)
			w.config.ChainID = nil
			w.listen("node", func(l net.Listener) {
				accepter(l, func(c net.Conn) {
					defer c.Close()
					r := wire.NewReader(c)
					for {
						f, err := r.Next()
						if err != nil {
							return
						}
						if f.Type() == wire.TypeHandshake {
							c.Write(wire.Append(nil, &wire.GoAway{Reason: wire.GoAwayWrongChain}))
							return
						}
					}
				})
			})
			_ = n
			w.run()
			time.Sleep(3 * time.Second) // fake time
			s := w.dialer.Statuses()[0]
			if s.State != upstream.BackingOff || !s.Alarm || w.log.lines("set chain_id") != 1 {
				t.Errorf("status %+v, want an alarm; log:\n%s", s, w.log.text())
			}
			if retry := time.Until(s.Retry); retry > 10*time.Second {
				t.Errorf("next attempt in %s, want soon: another peer may tell the chain", retry)
			}
		})
	})
	t.Run("the owner refuses it", func(t *testing.T) {
		bubble(t, func(t *testing.T, w *world) {
			n := newNode(t, 100)
			w.config.ChainID = nil
			w.config.Learned = func(wire.ID) error { return errors.New("disk full") }
			w.listen("node", n.serve)
			w.run()
			if w.log.lines("disk full") != 1 || len(w.sink.log()) != 0 {
				t.Errorf("sink heard %q; log:\n%s", w.sink.log(), w.log.text())
			}
		})
	})
}
