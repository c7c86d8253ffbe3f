package upstream_test

import (
	"encoding/binary"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/upstream"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// Whatever one peer does, the others are served.
func TestHostilePeersDoNotDisturb(t *testing.T) {
	huge := make([]byte, 4+wire.MaxPayload)
	binary.LittleEndian.PutUint32(huge, wire.MaxPayload)
	n := newNode(t, 40)
	hello := wire.Append(nil, n.handshake(1))
	for name, peer := range map[string]struct {
		send func(c net.Conn)
		want error
	}{
		"8 MiB before the handshake":           {func(c net.Conn) { huge[4] = 7; c.Write(huge) }, upstream.ErrEarlyFrame},
		"sync_request before the handshake":    {func(c net.Conn) { c.Write(wire.Append(nil, &wire.SyncRequest{Start: 1, End: 9})) }, upstream.ErrEarlyFrame},
		"unknown message before the handshake": {func(c net.Conn) { c.Write(wire.RawFrame(99, nil).Bytes()) }, upstream.ErrEarlyFrame},
		"endless notices before the handshake": {func(c net.Conn) {
			for {
				if _, err := c.Write(wire.Append(nil, n.behindNotice())); err != nil {
					return
				}
			}
		}, upstream.ErrEarlyFrame},
		"malformed handshake": {func(c net.Conn) { c.Write(wire.RawFrame(0, make([]byte, 100)).Bytes()) }, upstream.ErrMessage},
		"root above head": {func(c net.Conn) {
			h := n.handshake(1)
			h.RootNum, h.RootID, h.HeadNum, h.HeadID = h.HeadNum, h.HeadID, h.RootNum, h.RootID
			c.Write(wire.Append(nil, h))
		}, upstream.ErrHandshake},
		"numbers that are not those of the ids": {func(c net.Conn) {
			h := n.handshake(1)
			h.HeadNum += 5
			c.Write(wire.Append(nil, h))
		}, upstream.ErrHandshake},
		"our own words": {func(c net.Conn) {
			r := wire.NewReader(c)
			for {
				f, err := r.Next()
				if err != nil {
					return
				}
				c.Write(f.Bytes())
			}
		}, upstream.ErrOwnHandshake},
		"length zero":           {func(c net.Conn) { c.Write(append(slices.Clone(hello), 0, 0, 0, 0)) }, wire.ErrFrameEmpty},
		"length over the limit": {func(c net.Conn) { c.Write(append(slices.Clone(hello), 1, 0, 128, 0)) }, wire.ErrFrameTooLarge},
		"endless handshakes": {func(c net.Conn) {
			c.Write(hello)
			for i := 0; ; i++ {
				h := n.handshake(2)
				h.HeadNum, h.HeadID = uint32(38+i%2), n.chain.id(38+i%2)
				if _, err := c.Write(wire.Append(nil, h)); err != nil {
					return
				}
			}
		}, upstream.ErrFlood},
		"malformed notice":  {func(c net.Conn) { c.Write(append(slices.Clone(hello), wire.RawFrame(4, []byte{1}).Bytes()...)) }, upstream.ErrMessage},
		"malformed go_away": {func(c net.Conn) { c.Write(append(slices.Clone(hello), wire.RawFrame(2, []byte{1}).Bytes()...)) }, upstream.ErrMessage},
		"go_away":           {func(c net.Conn) { goAway(wire.GoAwayValidation)(c) }, upstream.GoAway{Reason: wire.GoAwayValidation}},
		"a relay's go_away": {func(c net.Conn) { goAway(wire.GoAwaySelf)(c) }, upstream.ErrOwnHandshake},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				good := newNode(t, 40)
				w.listen("good", good.serve)
				w.listen("evil", func(l net.Listener) {
					accepter(l, func(c net.Conn) {
						if name != "our own words" {
							go drain(c)
						}
						peer.send(c)
					})
				})
				w.run()
				time.Sleep(10 * time.Millisecond)
				s := w.dialer.Statuses()
				if s[1].State != upstream.BackingOff {
					t.Errorf("state %s, want backing off", s[1].State)
				}
				if got, want := s[1].LastError, peer.want.Error(); !contains(got, want) {
					t.Errorf("error %q, want %q", got, want)
				}
				if got := w.log.lines("peer=evil:9876 error="); got != 1 {
					t.Errorf("%d log lines about the peer, want 1:\n%s", got, w.log.text())
				}
				before := good.conns()[0]
				before.write(good.chain.frames[39])
				synctest.Wait()
				if s[0].State != upstream.Connected || len(w.sink.blocks()) != 1 {
					t.Errorf("the other peer is %s and delivered %d blocks, want connected and 1", s[0].State, len(w.sink.blocks()))
				}
			})
		})
	}
}
