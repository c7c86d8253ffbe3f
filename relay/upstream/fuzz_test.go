package upstream_test

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/upstream"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// FuzzPeer lets a peer say anything, after a good handshake or instead of one. Nothing panics, nothing is left over, and
// the state is one of those an operator knows.
func FuzzPeer(f *testing.F) {
	n := newNode(nil, 40)
	f.Add(true, wire.Append(nil, n.behindNotice()))
	f.Add(true, wire.Append(nil, n.handshake(2)))
	f.Add(false, wire.Append(nil, n.handshake(1)))
	f.Add(true, wire.Append(nil, &wire.GoAway{Reason: 7}))
	f.Add(false, wire.Append(nil, &wire.Time{Xmt: 1}))
	f.Add(true, n.chain.frames[3].Bytes())
	f.Add(true, wire.Append(nil, &wire.SyncRequest{Start: 1, End: 2}))
	f.Fuzz(func(t *testing.T, greet bool, data []byte) {
		bubble(t, func(t *testing.T, w *world) {
			w.listen("node", func(l net.Listener) {
				accepter(l, func(c net.Conn) {
					go drain(c)
					if greet {
						c.Write(wire.Append(nil, n.handshake(1)))
					}
					c.Write(data)
				})
			})
			w.run()
			fetched := make(chan error, 1)
			go func() {
				fetched <- w.dialer.Fetch(t.Context(), 2, 30, func(*wire.Frame) error { return nil })
			}()
			time.Sleep(7 * time.Second)
			synctest.Wait()
			if s := w.dialer.Statuses()[0].State; s == upstream.Stopped {
				t.Errorf("state %s while running", s)
			}
			w.cancel()
			<-w.ended
			<-fetched
		})
	})
}
