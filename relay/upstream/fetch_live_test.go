package upstream_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// A peer with p2p-max-nodes-per-host=1 closes the second connection on sight: its live connection serves.
func TestFetchOverLiveConnection(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := newNode(t, 300)
		n.head, n.maxConns = 200, 1
		var live *line
		n.block = func(_, num int, l *line) (*wire.Frame, bool) {
			if num == 60 { // live traffic goes on in between
				l.write(n.chain.frames[200])
				l.send(&wire.Vote{Block: n.chain.id(201)})
			}
			live = l
			return n.chain.frames[num-1], true
		}
		w.listen("node", n.serve)
		w.run()
		var got basket
		if err := w.dialer.Fetch(t.Context(), 11, 190, got.deliver(n.chain)); err != nil {
			t.Fatal(err)
		}
		got.holds(t, 11, 190)
		if want := []wire.SyncRequest{{Start: 11, End: 14}, {Start: 15, End: 64}, {Start: 65, End: 114}, {Start: 115, End: 164}, {Start: 165, End: 190}}; !slices.Equal(live.syncs(), want) {
			t.Errorf("asked for %v, want %v", live.syncs(), want)
		}
		synctest.Wait()
		if got := w.sink.blocks(); !slices.Equal(got, []uint32{201}) || w.sink.seen(wire.TypeVote) != 1 {
			t.Errorf("the sink got blocks %v and %d votes, want the live ones", got, w.sink.seen(wire.TypeVote))
		}
		if !w.dialer.Statuses()[0].Single {
			t.Error("the status does not say that the peer accepts one connection")
		}
		// It is remembered: no second attempt.
		before := w.log.lines("second connection")
		got = basket{}
		if err := w.dialer.Fetch(t.Context(), 11, 20, got.deliver(n.chain)); err != nil {
			t.Fatal(err)
		}
		got.holds(t, 11, 20)
		if after := w.log.lines("second connection"); before != 1 || after != 1 {
			t.Errorf("%d log lines about the refusal, want 1", after)
		}
		// Blocks outside of a fetch go to the sink as ever.
		live.write(n.chain.frames[14])
		synctest.Wait()
		if got := w.sink.blocks(); !slices.Equal(got, []uint32{201, 15}) {
			t.Errorf("the sink got blocks %v, want 15 too", got)
		}
	})
}

// The peer's live traffic waits for what it was asked for: of big blocks few are asked for at a time.
func TestFetchOverLiveConnectionBigBlocks(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := newNode(t, 100)
		n.maxConns = 1
		const size = 200 << 10
		n.block = func(_, num int, _ *line) (*wire.Frame, bool) {
			body := append([]byte(nil), n.chain.frames[num-1].Body()...)
			return wire.RawFrame(wire.TypeBlock, append(body, make([]byte, size)...)), true
		}
		w.listen("node", n.serve)
		w.run()
		next := 11
		err := w.dialer.Fetch(t.Context(), 11, 90, func(f *wire.Frame) error {
			if b, err := wire.ParseBlock(f.Body()); err != nil || b.ID != n.chain.id(next) {
				t.Errorf("got %v, %v, want block %d", b.ID, err, next)
			}
			next++
			return nil
		})
		if err != nil || next != 91 {
			t.Fatalf("fetched up to %d, %v", next-1, err)
		}
		for _, q := range n.conns()[0].syncs() {
			if n := int(q.End-q.Start) + 1; n*size > 1<<20 {
				t.Errorf("asked for blocks %d to %d at a time, %d bytes, want at most a megabyte", q.Start, q.End, n*size)
			}
		}
	})
}

// A peer that accepts a second connection is asked before one that does not: the live traffic is left alone.
func TestFetchSparesLiveConnections(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, b := newNode(t, 200), newNode(t, 200)
		a.maxConns = 1
		w.listen("a", a.serve)
		w.listen("b", b.serve)
		w.run()
		for range 3 {
			var got basket
			if err := w.dialer.Fetch(t.Context(), 1, 40, got.deliver(a.chain)); err != nil {
				t.Fatal(err)
			}
			got.holds(t, 1, 40)
		}
		if got := a.conns()[0].syncs(); !slices.Equal(got, []wire.SyncRequest{{Start: 1, End: 4}, {Start: 5, End: 40}}) {
			t.Errorf("the live connection served %v, want the first fetch only", got)
		}
	})
}

// A slow caller must not hold up the live traffic of the connection it shares.
func TestFetchOverLiveConnectionSlowCaller(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := newNode(t, 300)
		n.head, n.maxConns = 200, 1
		w.listen("node", n.serve)
		w.run()
		gate := make(chan struct{})
		var got basket
		take := got.deliver(n.chain)
		done := make(chan error)
		go func() {
			done <- w.dialer.Fetch(t.Context(), 1, 200, func(f *wire.Frame) error { <-gate; return take(f) })
		}()
		synctest.Wait()
		live := n.conns()[0]
		live.write(n.chain.frames[200])
		synctest.Wait()
		if got := w.sink.blocks(); !slices.Equal(got, []uint32{201}) {
			t.Errorf("the sink got %v while the caller is slow, want 201", got)
		}
		if got := len(live.syncs()); got != 1 {
			t.Errorf("%d chunks asked for while nothing is taken, want 1", got)
		}
		time.Sleep(30 * time.Second)
		close(gate)
		if err := <-done; err != nil {
			t.Error(err)
		}
		got.holds(t, 1, 200)
	})
}

// Near the head a block of the same height may be a live one of another branch: it is no lie, and the sink's.
func TestFetchOverLiveConnectionAtHead(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := newNode(t, 300)
		n.head, n.maxConns = 200, 1
		fork := newChain(200, 3)
		n.block = func(_, num int, l *line) (*wire.Frame, bool) {
			if num == 199 {
				l.write(fork.frames[198])
			}
			if num == 200 {
				l.write(n.chain.frames[200])
			}
			return n.chain.frames[num-1], true
		}
		w.listen("node", n.serve)
		w.run()
		var got basket
		if err := w.dialer.Fetch(t.Context(), 195, 200, got.deliver(n.chain)); err != nil {
			t.Error(err)
		}
		got.holds(t, 195, 200)
		synctest.Wait()
		if got := w.sink.blocks(); !slices.Equal(got, []uint32{198, 199, 199, 201, 200}) {
			t.Errorf("the sink got %v, want all above the root, both 199s and the live 201", got)
		}
	})
}

func TestFetchOverLiveConnectionFailover(t *testing.T) {
	for name, trouble := range troubles {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				a, b := newNode(t, 200), newNode(t, 200)
				a.maxConns, b.maxConns = 1, 1
				broken := false
				a.block = func(conn, num int, l *line) (*wire.Frame, bool) {
					if num <= 50 || (broken && name != "stalls") {
						return a.chain.frames[num-1], true
					}
					broken = name != "leaves one out"
					return trouble.do(l, a, num)
				}
				w.listen("a", a.serve)
				w.listen("b", b.serve)
				w.run()
				var got basket
				if err := w.dialer.Fetch(t.Context(), 10, 150, got.deliver(a.chain)); err != nil {
					t.Fatal(err)
				}
				got.holds(t, 10, 150)
				if syncs := b.conns()[0].syncs(); len(syncs) == 0 || syncs[0].Start != 51 {
					t.Errorf("second source was asked for %v, want from 51", syncs)
				}
				if got := w.log.lines("block source failed"); got != 1 {
					t.Errorf("%d log lines about the failure, want 1:\n%s", got, w.log.text())
				}
			})
		})
	}
}

// What a request over the live connection still brings after the fetch was given up is kept from the sink for a while.
func TestFetchLeftovers(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := newNode(t, 200)
		n.maxConns = 1
		n.block = func(_, num int, _ *line) (*wire.Frame, bool) {
			time.Sleep(10 * time.Millisecond)
			return n.chain.frames[num-1], true
		}
		w.listen("node", n.serve)
		w.run()
		gone := errors.New("replica gone")
		count := 0
		if err := w.dialer.Fetch(t.Context(), 1, 100, func(*wire.Frame) error {
			if count++; count == 5 {
				return gone
			}
			return nil
		}); !errors.Is(err, gone) {
			t.Errorf("error %v, want the caller's", err)
		}
		time.Sleep(time.Second)
		if got := w.sink.blocks(); len(got) != 0 {
			t.Errorf("the sink got %v of the abandoned fetch", got)
		}
		time.Sleep(5 * time.Second)
		n.conns()[0].write(n.chain.frames[14])
		synctest.Wait()
		if got := w.sink.blocks(); !slices.Equal(got, []uint32{15}) {
			t.Errorf("the sink got %v later, want block 15", got)
		}
		// After a reconnect a second connection is tried again.
		n.maxConns = 2
		n.conns()[0].net.Close()
		time.Sleep(time.Second)
		if w.dialer.Statuses()[0].Single {
			t.Error("still taken for a peer that accepts one connection")
		}
	})
}
