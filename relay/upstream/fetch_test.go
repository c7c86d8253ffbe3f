package upstream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/upstream"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// basket collects what a fetch delivers and checks it against a chain.
type basket struct {
	mu   sync.Mutex
	nums []uint32
	bad  error
}

func (b *basket) deliver(c *chain) upstream.Deliver {
	return func(f *wire.Frame) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		block, err := wire.ParseBlock(f.Body())
		switch {
		case err != nil:
			b.bad = err
		case !bytes.Equal(f.Bytes(), c.frames[block.Num()-1].Bytes()):
			b.bad = fmt.Errorf("block %d is not the chain's", block.Num())
		}
		b.nums = append(b.nums, block.Num())
		return nil
	}
}

// holds checks that the blocks from start to end came in order, once each.
func (b *basket) holds(t *testing.T, start, end uint32) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bad != nil {
		t.Error(b.bad)
	}
	for i, num := range b.nums {
		if num != start+uint32(i) {
			t.Fatalf("delivery %d is block %d, want %d", i, num, start+uint32(i))
		}
	}
	if got, want := len(b.nums), int(end-start)+1; got != want {
		t.Errorf("%d blocks delivered, want %d", got, want)
	}
}

func TestFetch(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := newNode(t, 2600)
		w.listen("node", n.serve)
		w.run()
		var b basket
		if err := w.dialer.Fetch(t.Context(), 11, 2510, b.deliver(n.chain)); err != nil {
			t.Fatal(err)
		}
		b.holds(t, 11, 2510)

		lines := n.conns()
		if len(lines) != 2 {
			t.Fatalf("%d connections, want a live and a sync one", len(lines))
		}
		got := lines[1].handshakes()
		if len(got) != 1 || got[0].Generation != 1 || got[0].HeadNum != 0 || got[0].RootNum != 0 {
			t.Errorf("sync connection said %+v, want one handshake that knows nothing", got)
		}
		if got[0].NodeID == lines[0].handshakes()[0].NodeID {
			t.Error("the sync connection has the node id of the live one")
		}
		if got, want := lines[1].syncs(), []wire.SyncRequest{{Start: 11, End: 1010}, {Start: 1011, End: 2010}, {Start: 2011, End: 2510}}; !slices.Equal(got, want) {
			t.Errorf("asked for %v, want %v", got, want)
		}
		if got := w.sink.blocks(); len(got) != 0 {
			t.Errorf("the sink got %d blocks of the fetch", len(got))
		}

		// The next fetch uses the same connection, and an idle one is closed.
		b = basket{}
		if err := w.dialer.Fetch(t.Context(), 2511, 2600, b.deliver(n.chain)); err != nil {
			t.Fatal(err)
		}
		b.holds(t, 2511, 2600)
		if got := len(n.conns()); got != 2 {
			t.Errorf("%d connections, want the sync connection used again", got)
		}
		time.Sleep(11 * time.Second)
		if l := n.conns()[1]; !l.ended() {
			t.Error("an idle sync connection is still open after 11 s")
		}
		b = basket{}
		if err := w.dialer.Fetch(t.Context(), 1, 3, b.deliver(n.chain)); err != nil {
			t.Fatal(err)
		}
		b.holds(t, 1, 3)
	})
}

// trouble is a way in which a source fails after it has sent block 50.
var troubles = map[string]struct {
	do    func(l *line, n *node, num int) (*wire.Frame, bool)
	want  error
	pause time.Duration // what the failover may take
}{
	"stalls": {func(*line, *node, int) (*wire.Frame, bool) { return nil, false }, upstream.ErrStalled, 2 * time.Second},
	"closes": {func(l *line, _ *node, _ int) (*wire.Frame, bool) { l.net.Close(); return nil, true }, nil, 0},
	"sends go_away": {func(l *line, _ *node, _ int) (*wire.Frame, bool) {
		l.send(&wire.GoAway{Reason: wire.GoAwayBenign})
		return nil, true
	}, upstream.GoAway{Reason: wire.GoAwayBenign}, 0},
	"lies": {func(_ *line, n *node, num int) (*wire.Frame, bool) {
		return wire.RawFrame(wire.TypeBlock, blockBody(wire.StartID(uint32(num-1)), 7, 7)), true
	}, upstream.ErrUnlinked, 0},
	"leaves one out": {func(_ *line, n *node, num int) (*wire.Frame, bool) { return n.chain.frames[num], true }, upstream.ErrStalled, 2 * time.Second},
	"sends rubbish": {func(_ *line, n *node, num int) (*wire.Frame, bool) {
		return wire.RawFrame(wire.TypeBlock, append(blockBody(n.chain.id(num-1), 0, 0)[:80], 0xff)), true
	}, upstream.ErrUnlinked, 0},
}

func TestFetchFailover(t *testing.T) {
	for name, trouble := range troubles {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				a, b := newNode(t, 200), newNode(t, 200)
				broken := false
				a.block = func(conn, num int, l *line) (*wire.Frame, bool) {
					if num <= 50 || broken {
						return a.chain.frames[num-1], true
					}
					broken = name != "leaves one out"
					return trouble.do(l, a, num)
				}
				w.listen("a", a.serve)
				w.listen("b", b.serve)
				w.run()
				var got basket
				began := time.Now()
				if err := w.dialer.Fetch(t.Context(), 10, 150, got.deliver(a.chain)); err != nil {
					t.Fatal(err)
				}
				got.holds(t, 10, 150)
				if took := time.Since(began); took != trouble.pause {
					t.Errorf("took %s, want %s", took, trouble.pause)
				}
				if syncs := b.conns()[1].syncs(); !slices.Equal(syncs, []wire.SyncRequest{{Start: 51, End: 150}}) {
					t.Errorf("second source was asked for %v, want 51 to 150", syncs)
				}
				if got := w.log.lines("block source failed"); got != 1 {
					t.Errorf("%d log lines about the failure, want 1:\n%s", got, w.log.text())
				}
				if trouble.want != nil && w.log.lines(trouble.want.Error()) != 1 {
					t.Errorf("the log does not say %q:\n%s", trouble.want, w.log.text())
				}
				// The one that failed is not asked first again.
				before := len(a.conns())
				got = basket{}
				if err := w.dialer.Fetch(t.Context(), 10, 20, got.deliver(a.chain)); err != nil {
					t.Fatal(err)
				}
				if after := len(a.conns()); after != before || len(b.conns()[1].syncs()) != 2 {
					t.Error("the source that failed was asked first")
				}
				if live := w.sink.connected(); live != 2 {
					t.Errorf("%d live connections, want 2: a failed fetch is no reason to end one", live)
				}
			})
		})
	}
}

// With only one source there is no other to go to, but a liar's block still does not get through.
func TestFetchFromLiarAlone(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := newNode(t, 200)
		n.block = func(_, num int, l *line) (*wire.Frame, bool) {
			if num < 50 {
				return n.chain.frames[num-1], true
			}
			return troubles["lies"].do(l, n, num)
		}
		w.listen("node", n.serve)
		w.run()
		var got basket
		err := w.dialer.Fetch(t.Context(), 1, 100, got.deliver(n.chain))
		if !errors.Is(err, upstream.ErrNoSource) || !errors.Is(err, upstream.ErrUnlinked) {
			t.Errorf("error %v, want ErrNoSource and ErrUnlinked", err)
		}
		got.holds(t, 1, 49)
		if got := len(n.conns()); got != 2 {
			t.Errorf("%d connections, want a live one and one attempt", got)
		}
	})
}

// Two sources that disagree: the fetch fails, and the next one begins with somebody else.
func TestFetchSourcesDisagree(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		fork, b, c := newNode(t, 200), newNode(t, 200), newNode(t, 200)
		fork.chain = newChain(200, 9)
		fork.block = func(_, num int, _ *line) (*wire.Frame, bool) { return fork.chain.frames[num-1], num < 50 }
		w.listen("fork", fork.serve)
		w.listen("b", b.serve)
		w.listen("c", c.serve)
		w.run()
		var got basket
		if err := w.dialer.Fetch(t.Context(), 1, 100, got.deliver(fork.chain)); !errors.Is(err, upstream.ErrUnlinked) {
			t.Errorf("error %v, want ErrUnlinked", err)
		}
		got.holds(t, 1, 49)
		got = basket{}
		if err := w.dialer.Fetch(t.Context(), 1, 100, got.deliver(b.chain)); err != nil {
			t.Error(err)
		}
		got.holds(t, 1, 100)
	})
}

func TestFetchNoSource(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := newNode(t, 200)
		n.start = 50
		w.listen("node", n.serve)
		w.run()
		var got basket
		for _, r := range [][2]uint32{{49, 60}, {201, 210}} {
			if err := w.dialer.Fetch(t.Context(), r[0], r[1], got.deliver(n.chain)); !errors.Is(err, upstream.ErrNoSource) {
				t.Errorf("fetch %v: %v, want ErrNoSource", r, err)
			}
		}
		for _, r := range [][2]uint32{{0, 60}, {10, 9}} {
			if err := w.dialer.Fetch(t.Context(), r[0], r[1], got.deliver(n.chain)); err == nil {
				t.Errorf("fetch %v: no error", r)
			}
		}
		if got := len(n.conns()); got != 1 {
			t.Errorf("%d connections, want the live one only", got)
		}
		// What it has is delivered, and the rest is an error.
		if err := w.dialer.Fetch(t.Context(), 190, 210, got.deliver(n.chain)); !errors.Is(err, upstream.ErrNoSource) {
			t.Errorf("fetch over the head: %v, want ErrNoSource", err)
		}
		got.holds(t, 190, 200)
		if got := n.conns()[1].syncs(); !slices.Equal(got, []wire.SyncRequest{{Start: 190, End: 200}}) {
			t.Errorf("asked for %v, want no more than the peer has", got)
		}
		w.cancel()
		<-w.ended
		if err := w.dialer.Fetch(t.Context(), 100, 110, got.deliver(n.chain)); !errors.Is(err, upstream.ErrNoSource) {
			t.Errorf("fetch after Run: %v, want ErrNoSource", err)
		}
	})
}

// The most advanced peer is asked, a block that only a late starter lacks goes to the one that has it.
func TestFetchChoosesSource(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		behind, ahead, young := newNode(t, 200), newNode(t, 200), newNode(t, 200)
		behind.head, young.start = 100, 150
		w.listen("behind", behind.serve)
		w.listen("ahead", ahead.serve)
		w.listen("young", young.serve)
		w.net.SetDelay("relay", "ahead", 30*time.Millisecond) // far away, but ahead counts more
		w.run()
		time.Sleep(time.Second)
		var got basket
		if err := w.dialer.Fetch(t.Context(), 60, 190, got.deliver(ahead.chain)); err != nil {
			t.Fatal(err)
		}
		got.holds(t, 60, 190)
		if len(behind.conns()) != 1 || len(ahead.conns()) != 2 || len(young.conns()) != 1 {
			t.Errorf("connections: %d %d %d, want 1 2 1", len(behind.conns()), len(ahead.conns()), len(young.conns()))
		}
	})
}

// Fetches at the same time use different sources; a third waits for one of two, and too many are refused.
func TestFetchConcurrency(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, b := newNode(t, 200), newNode(t, 200)
		w.listen("a", a.serve)
		w.listen("b", b.serve)
		w.config.MaxFetches = 3
		w.run()
		gate := make(chan struct{})
		var wg sync.WaitGroup
		var got [3]basket
		for i := range got {
			wg.Go(func() {
				take := got[i].deliver(a.chain)
				if err := w.dialer.Fetch(t.Context(), 1, 100, func(f *wire.Frame) error { <-gate; return take(f) }); err != nil {
					t.Errorf("fetch %d: %v", i, err)
				}
			})
		}
		synctest.Wait()
		if err := w.dialer.Fetch(t.Context(), 1, 9, got[0].deliver(a.chain)); !errors.Is(err, upstream.ErrBusy) {
			t.Errorf("fourth fetch: %v, want ErrBusy", err)
		}
		if len(a.conns()) != 2 || len(b.conns()) != 2 {
			t.Errorf("connections: %d %d, want one sync connection to each", len(a.conns()), len(b.conns()))
		}
		time.Sleep(20 * time.Second) // a slow caller is no stall
		close(gate)
		wg.Wait()
		for i := range got {
			got[i].holds(t, 1, 100)
		}
		if len(a.conns()) != 2 || len(b.conns()) != 2 {
			t.Errorf("connections: %d %d, want no more", len(a.conns()), len(b.conns()))
		}
	})
}

func TestFetchCancel(t *testing.T) {
	for _, single := range []bool{false, true} {
		t.Run(fmt.Sprintf("single=%v", single), func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				n := newNode(t, 200)
				if single {
					n.maxConns = 1
				}
				w.listen("node", n.serve)
				w.run()
				why := errors.New("the replica left")
				ctx, cancel := context.WithCancelCause(t.Context())
				delivered := 0
				err := w.dialer.Fetch(ctx, 1, 100, func(*wire.Frame) error {
					if delivered++; delivered == 5 {
						cancel(why)
						<-ctx.Done()
						return ctx.Err()
					}
					return nil
				})
				if !errors.Is(err, why) && !errors.Is(err, context.Canceled) {
					t.Errorf("error %v, want the cause", err)
				}
				if delivered != 5 {
					t.Errorf("%d deliveries, want 5", delivered)
				}
				synctest.Wait()
				if got := w.sink.blocks(); len(got) != 0 {
					t.Errorf("the sink got blocks %v of the abandoned fetch", got)
				}
				if got := w.log.lines("source failed"); got != 0 {
					t.Errorf("the source is blamed:\n%s", w.log.text())
				}
				// Waiting for a source can be cancelled too, and the source is free again.
				var b basket
				if err := w.dialer.Fetch(t.Context(), 1, 100, b.deliver(n.chain)); err != nil {
					t.Error(err)
				}
				b.holds(t, 1, 100)
			})
		})
	}
}

// An error of the caller ends the fetch and is nobody's fault.
func TestFetchDeliverError(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := newNode(t, 200)
		w.listen("node", n.serve)
		w.run()
		full := errors.New("replica gone")
		if err := w.dialer.Fetch(t.Context(), 1, 100, func(*wire.Frame) error { return full }); !errors.Is(err, full) {
			t.Errorf("error %v, want the caller's", err)
		}
		if w.log.lines("source failed") != 0 {
			t.Errorf("the source is blamed:\n%s", w.log.text())
		}
	})
}

// Run ends while a fetch is under way.
func TestFetchEndsWithRun(t *testing.T) {
	for _, single := range []bool{false, true} {
		bubble(t, func(t *testing.T, w *world) {
			n := newNode(t, 200)
			if single {
				n.maxConns = 1
			}
			n.block = func(_, num int, _ *line) (*wire.Frame, bool) { return n.chain.frames[num-1], num < 20 }
			w.listen("node", n.serve)
			w.run()
			done := make(chan error)
			go func() { done <- w.dialer.Fetch(t.Context(), 1, 100, func(*wire.Frame) error { return nil }) }()
			synctest.Wait()
			w.cancel()
			<-w.ended
			if err := <-done; !errors.Is(err, upstream.ErrNoSource) {
				t.Errorf("single %v: error %v, want ErrNoSource", single, err)
			}
		})
	}
}

// A replica hung up, for reasons of its own perhaps, on what a source had delivered. The other
// one serves nothing: it is asked first once, not for each range.
func TestFetchFromDoubted(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, b := newNode(t, 200), newNode(t, 200)
		b.block = func(int, int, *line) (*wire.Frame, bool) { return nil, false }
		w.listen("a", a.serve)
		w.listen("b", b.serve)
		w.run()
		began := time.Now()
		for i := range uint32(6) {
			var got basket
			if err := w.dialer.Fetch(t.Context(), 1+10*i, 10+10*i, got.deliver(a.chain)); err != nil {
				t.Fatal(err)
			}
			got.holds(t, 1+10*i, 10+10*i)
			if i == 0 {
				w.dialer.Doubt()
			}
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("six ranges took %s, want 2s", took)
		}
	})
}
