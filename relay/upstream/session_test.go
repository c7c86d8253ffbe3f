package upstream_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eoscanada/eos-go/ecc"

	"github.com/thinrelay/thinrelay/relay/conn"
	"github.com/thinrelay/thinrelay/relay/upstream"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// The first bytes are those of a nodeos that dials: time, then the handshake of generation 1. After the peer's
// handshake comes generation 2 with the peer's own root and head, and nothing else.
func TestOpeningAndEcho(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := newNode(t, 100)
		w.listen("node", n.serve)
		began := time.Now()
		w.run()

		l := n.conns()[0]
		got := l.handshakes()
		if len(got) != 2 {
			t.Fatalf("handshakes: %d, want 2", len(got))
		}
		node, address := got[0].NodeID, got[0].P2PAddress
		if want := fmt.Sprintf("relay-1:9876 - %.7s", node); node.IsZero() || address != want {
			t.Errorf("p2p_address %q, want %q", address, want)
		}
		want := &wire.Handshake{
			NetworkVersion: 1214, ChainID: testChain, NodeID: node, Time: began.UnixNano(), P2PAddress: address,
			OS: "linux", Agent: "relay-1", Generation: 1,
		}
		stream := wire.Append(nil, &wire.Time{Xmt: began.UnixNano()})
		stream = wire.Append(stream, want)
		want.Generation = 2
		want.RootNum, want.RootID = 97, n.chain.id(97)
		want.HeadNum, want.HeadID = 100, n.chain.id(100)
		stream = wire.Append(stream, want)
		if sent := l.bytes(); !bytes.Equal(sent, stream) {
			t.Errorf("sent\n%x, want\n%x", sent, stream)
		}

		p := w.sink.peer(0)
		if p.Head() != n.chain.id(100) || p.Root() != n.chain.id(97) || p.Start() != 1 || p.Version() != 11 || !p.Votes() {
			t.Errorf("peer: head %d root %d start %d version %d votes %v", p.Head().Num(), p.Root().Num(), p.Start(), p.Version(), p.Votes())
		}
		if got, want := w.sink.log(), []string{"up node:9876", "notice node:9876"}; !slices.Equal(got, want) {
			t.Errorf("sink heard %q, want %q", got, want)
		}
	})
}

func TestNoEchoOfWhatWasSaid(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := newNode(t, 20)
		w.config.Hello = func() (root, head wire.ID) { return n.chain.id(17), n.chain.id(20) }
		w.listen("node", n.serve)
		w.run()
		got := n.conns()[0].handshakes()
		if len(got) != 1 || got[0].HeadID != n.chain.id(20) || got[0].RootNum != 17 {
			t.Errorf("handshakes: %d, want one with what Hello gave", len(got))
		}
	})
}

// A root above the head would be answered with go_away, for good.
func TestHelloWithRootAboveHeadIsNotSaid(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := newNode(t, 20)
		w.config.Hello = func() (root, head wire.ID) { return n.chain.id(18), n.chain.id(17) }
		w.listen("node", n.serve)
		w.run()
		if got := n.conns()[0].handshakes()[0]; got.RootNum != 0 || got.HeadNum != 0 || !got.HeadID.IsZero() {
			t.Errorf("first handshake claims root %d head %d, want nothing", got.RootNum, got.HeadNum)
		}
	})
}

func TestLaterHandshakes(t *testing.T) {
	for _, test := range []struct {
		name       string
		root, head int // of the peer's second handshake; its first had 37, 40
		echo       bool
	}{
		{"a new head is no reason to speak", 38, 45, false},
		{"its root passed the head we announced", 41, 44, true},
		{"its head fell behind what we announced", 37, 39, true},
		{"its root fell behind what we announced", 36, 40, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				n := newNode(t, 50)
				n.head = 40
				w.listen("node", n.serve)
				w.run()
				l := n.conns()[0]
				h := n.handshake(2)
				h.RootNum, h.RootID = uint32(test.root), n.chain.id(test.root)
				h.HeadNum, h.HeadID = uint32(test.head), n.chain.id(test.head)
				l.send(h)
				synctest.Wait()

				got := l.handshakes()[2:]
				switch {
				case !test.echo && len(got) > 0:
					t.Errorf("sent %d more handshakes, want none", len(got))
				case test.echo && (len(got) != 1 || got[0].Generation != 3 || got[0].HeadID != h.HeadID || got[0].RootID != h.RootID):
					t.Errorf("sent %d more handshakes, want one of generation 3 with the peer's root and head", len(got))
				}
				if got := w.sink.seen(wire.TypeHandshake); got != 1 {
					t.Errorf("sink got %d handshakes, want 1", got)
				}
				if p := w.sink.peer(0); p.Head() != h.HeadID || p.Root() != h.RootID {
					t.Errorf("peer's head %d root %d, want %d %d", p.Head().Num(), p.Root().Num(), test.head, test.root)
				}
			})
		})
	}
}

// A nodeos that rejects block after block sends as many handshakes as it can: one in 50 ms, and one more for each new
// head of its own. It is not closed.
func TestFastestHandshakes(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := newNode(t, 200)
		n.head = 100
		w.listen("node", n.serve)
		w.run()
		l := n.conns()[0]
		for i := range 600 { // 30 s
			l.send(n.handshake(2))
			if i%10 == 0 {
				n.head++
				l.send(n.handshake(2))
			}
			time.Sleep(50 * time.Millisecond) // fake time
		}
		if s := w.dialer.Statuses()[0]; s.State != upstream.Connected || len(n.conns()) != 1 {
			t.Errorf("state %s after %d connections, last error %q", s.State, len(n.conns()), s.LastError)
		}
	})
}

// A notice last_irr_catch_up says that the peer takes us for far behind and has fallen silent: echo and empty request.
func TestNoticeOfBeingBehindIsAnswered(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := newNode(t, 200)
		n.head = 100
		w.listen("node", n.serve)
		w.run()
		l := n.conns()[0]
		n.head = 150
		before := len(l.messages())
		l.send(n.behindNotice())
		l.send(n.behindNotice()) // at once: no reason to say it twice
		synctest.Wait()

		got := l.messages()[before:]
		if len(got) != 2 {
			t.Fatalf("sent %d messages, want handshake and request", len(got))
		}
		h, ok := got[0].(*wire.Handshake)
		if !ok || h.Generation != 3 || h.HeadID != n.chain.id(150) || h.RootID != n.chain.id(97) {
			t.Errorf("first answer %+v, want generation 3 with head 150 and the last known root", got[0])
		}
		if r, ok := got[1].(*wire.Request); !ok || r.ReqBlocks.Mode != wire.ModeNone || r.ReqTrx.Mode != wire.ModeNone {
			t.Errorf("second answer %+v, want request none", got[1])
		}
		if got := w.sink.seen(wire.TypeNotice); got != 3 {
			t.Errorf("sink got %d notices, want 3", got)
		}
	})
}

func TestNoticeCatchUpIsNotAnswered(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := newNode(t, 110)
		n.head = 100
		w.listen("node", n.serve)
		w.run()
		l := n.conns()[0]
		before := len(l.messages())
		l.send(&wire.Notice{KnownBlocks: wire.IDList{Mode: wire.ModeCatchUp, Pending: 105, IDs: []wire.ID{n.chain.id(105), wire.StartID(7)}}})
		synctest.Wait()
		if got := l.messages()[before:]; len(got) > 0 {
			t.Errorf("answered with %d messages", len(got))
		}
		if p := w.sink.peer(0); p.Head() != n.chain.id(105) || p.Start() != 7 || p.Height() != 105 {
			t.Errorf("peer: head %d start %d height %d, want 105 7 105", p.Head().Num(), p.Start(), p.Height())
		}
	})
}

// EOS 2.1 uses indexes 9 and 10 for other messages: it must hear version 1, and they must not pass for votes.
func TestPrunedFamily(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := newNode(t, 30)
		n.version = wire.VersionBase + 5
		w.listen("node", n.serve)
		w.run()
		l := n.conns()[0]
		got := l.handshakes()
		if len(got) != 2 || got[1].Generation != 1 || got[1].NetworkVersion != wire.Version1 || got[1].HeadID != n.chain.id(30) {
			t.Fatalf("handshakes: %+v, want a second generation 1 with version 1 and the peer's head", got)
		}
		for _, typ := range []wire.Type{9, 10, wire.TypeTransaction} {
			l.write(wire.RawFrame(typ, []byte{1, 2, 3}))
		}
		l.send(n.behindNotice())
		synctest.Wait()
		if got, want := w.sink.log(), []string{"up node:9876", "notice node:9876", "packed_transaction node:9876", "notice node:9876"}; !slices.Equal(got, want) {
			t.Errorf("sink heard %q, want %q", got, want)
		}
		if w.sink.peer(0).Votes() {
			t.Error("votes allowed to a peer of version 5")
		}
		if got := l.handshakes(); got[2].Generation != 2 || got[2].NetworkVersion != wire.Version1 {
			t.Errorf("next handshake: generation %d version %d, want 2 and version 1", got[2].Generation, got[2].NetworkVersion)
		}
	})
}

func TestVotesByVersion(t *testing.T) {
	for version, want := range map[uint16]bool{1: false, 7: false, 8: false, 9: true, 11: true, 12: true} {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				n := newNode(t, 30)
				n.version = wire.VersionBase + version
				n.address = "10.0.0.1:9876:blk - 1234567"
				w.listen("node", n.serve)
				w.run()
				p := w.sink.peer(0)
				if p.Votes() != want || p.Version() != int(version) || p.Transactions() {
					t.Errorf("votes %v version %d transactions %v, want %v %d false", p.Votes(), p.Version(), p.Transactions(), want, version)
				}
			})
		})
	}
}

func TestHandshakesAreSigned(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		key, err := ecc.NewPrivateKey("5KQwrPbwdL6PhXujxW37FSSQZ1JiwsST4cqQzDeyXtP79zkvFD3")
		if err != nil {
			t.Fatal(err)
		}
		w.config.PeerKey = key
		n := newNode(t, 100)
		w.listen("node", n.serve)
		w.run()
		for _, h := range n.conns()[0].handshakes() {
			if got, err := wire.CheckHandshake(h); err != nil || got.String() != key.PublicKey().String() {
				t.Errorf("generation %d signed by %s, %v", h.Generation, got, err)
			}
		}
	})
}

// What the peer broadcasts between our handshake and its own is kept for the sink.
func TestEarlyFramesAreKept(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := newNode(t, 30)
		n.mute = true
		w.listen("node", n.serve)
		w.run()
		l := n.conns()[0]
		l.write(n.chain.frames[27])
		l.send(&wire.Vote{Block: n.chain.id(28)})
		l.send(n.handshake(1))
		l.write(n.chain.frames[28])
		synctest.Wait()
		if got, want := w.sink.log(), []string{"up node:9876", "signed_block node:9876", "vote node:9876", "signed_block node:9876"}; !slices.Equal(got, want) {
			t.Errorf("sink heard %q, want %q", got, want)
		}
	})
}

func TestRequestsAndAnnounce(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := newNode(t, 30)
		w.listen("node", n.serve)
		w.run()
		l, p := n.conns()[0], w.sink.peer(0)
		before := len(l.messages())
		if !p.RequestCatchUp(n.chain.id(20)) || !p.RequestRange(21, 22) || !p.Announce(n.chain.id(21), n.chain.id(22)) {
			t.Fatal("requests were refused")
		}
		if p.RequestRange(0, 3) || p.RequestRange(5, 4) {
			t.Error("an empty range was asked for")
		}
		synctest.Wait()
		got := l.messages()[before:]
		if len(got) != 3 {
			t.Fatalf("%d messages, want 3", len(got))
		}
		if r := got[0].(*wire.Request); r.ReqBlocks.Mode != wire.ModeCatchUp || !slices.Equal(r.ReqBlocks.IDs, []wire.ID{n.chain.id(20)}) {
			t.Errorf("request %+v", r)
		}
		if r := got[1].(*wire.SyncRequest); *r != (wire.SyncRequest{Start: 21, End: 22}) {
			t.Errorf("sync_request %+v", r)
		}
		if h := got[2].(*wire.Handshake); h.Generation != 3 || h.RootNum != 21 || h.HeadNum != 22 {
			t.Errorf("handshake %+v", h)
		}
		if got := w.sink.blocks(); !slices.Equal(got, []uint32{21, 22}) {
			t.Errorf("sink got blocks %v, want 21 22", got)
		}
	})
}

// Every connection has its own node id and p2p_address.
func TestIdentitiesAreDistinct(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, b := newNode(t, 30), newNode(t, 30)
		w.listen("a", a.serve)
		w.listen("b", b.serve)
		w.run()
		w.net.Kill("a")
		synctest.Wait()
		l, err := w.net.Host("a").Listen("a:9876")
		if err != nil {
			t.Fatal(err)
		}
		w.shut = append(w.shut, l)
		go a.serve(l)
		time.Sleep(time.Second)
		ids, addresses := map[wire.ID]bool{}, map[string]bool{}
		for _, l := range append(a.conns(), b.conns()...) {
			h := l.handshakes()[0]
			ids[h.NodeID], addresses[h.P2PAddress] = true, true
		}
		if len(ids) != 3 || len(addresses) != 3 {
			t.Errorf("%d node ids, %d addresses on 3 connections", len(ids), len(addresses))
		}
	})
}

// Who overflows a peer's queue hears when it has room again.
func TestDrained(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		var drained []*upstream.Peer
		w.config.Drained = func(p *upstream.Peer) { drained = append(drained, p) }
		w.config.Conn.LiveFrames = 4
		n := newNode(t, 30)
		w.listen("node", n.serve)
		w.run()
		p := w.sink.peer(0)
		for range 1 << 20 {
			if !p.Conn().Send(conn.Blocks, n.chain.frames[0]) {
				break
			}
		}
		synctest.Wait()
		if len(drained) != 1 || drained[0] != p {
			t.Errorf("drained %v, want the peer once", drained)
		}
	})
}

// A sink that blocks on one peer's frame holds up that peer alone.
func TestSinkBlocksOnePeer(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, b := newNode(t, 30), newNode(t, 30)
		w.listen("a", a.serve)
		w.listen("b", b.serve)
		gate := make(chan struct{})
		w.sink.hold = func(p *upstream.Peer, f *wire.Frame) {
			if p.Index() == 0 && f.Type() == wire.TypeBlock {
				<-gate
			}
		}
		w.run()
		a.conns()[0].write(a.chain.frames[28])
		synctest.Wait()
		b.conns()[0].write(b.chain.frames[29])
		time.Sleep(20 * time.Second) // and the peer that waits is still told that we live
		if got := w.sink.blocks(); !slices.Equal(got, []uint32{30}) || w.sink.connected() != 2 {
			t.Errorf("blocks %v with %d peers, want 30 with 2", got, w.sink.connected())
		}
		close(gate)
		synctest.Wait()
		if got := w.sink.blocks(); !slices.Equal(got, []uint32{30, 29}) {
			t.Errorf("blocks %v, want 30 29", got)
		}
	})
}
