package downstream_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/conn"
	"github.com/thinrelay/thinrelay/relay/downstream"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// archive is a Fetcher with every block; faults are played once each, in order.
type archive struct {
	size   int
	pause  time.Duration // before each block
	faults []fault

	mu     sync.Mutex
	asked  []string
	frames []*wire.Frame
}

// fault makes a fetch fail after some blocks.
type fault struct {
	after int
	err   error       // nil: returns too early without an error
	junk  *wire.Frame // delivered instead of the next block
}

func (a *archive) Fetch(ctx context.Context, start, end uint32, deliver func(*wire.Frame) error) error {
	a.mu.Lock()
	a.asked = append(a.asked, fmt.Sprintf("%d-%d", start, end))
	var f *fault
	if len(a.faults) > 0 {
		f, a.faults = &a.faults[0], a.faults[1:]
	}
	a.mu.Unlock()
	for i, num := 0, uint64(start); num <= uint64(end); i, num = i+1, num+1 {
		if a.pause > 0 {
			select {
			case <-time.After(a.pause):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		b := block(uint32(num), a.size)
		if f != nil && i == f.after {
			if f.junk == nil {
				b.Release()
				return f.err
			}
			b.Release()
			b = f.junk
		}
		err := deliver(b)
		a.mu.Lock()
		a.frames = append(a.frames, b)
		a.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *archive) calls() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.asked)
}

// free checks that nobody holds a delivered frame any more.
func (a *archive) free(t *testing.T) {
	t.Helper()
	for _, f := range a.frames {
		f.Release()
		if held(f) {
			t.Fatal("a delivered block is still referenced")
		}
	}
}

func held(f *wire.Frame) (held bool) {
	defer func() { held = recover() == nil }()
	f.Retain()
	return true
}

func (n *node) wantBlocks(from, to uint32) {
	n.t.Helper()
	for want := uint64(from); want <= uint64(to); want++ {
		if got := n.block(); uint64(got) != want {
			n.t.Fatalf("node got block %d, want %d", got, want)
		}
	}
}

// quiet checks that no block comes for a while. It answers time messages.
func (n *node) quiet(d time.Duration) {
	n.t.Helper()
	end := time.Now().Add(d)
	for {
		n.SetReadDeadline(end)
		f, err := n.r.Next()
		if err != nil {
			n.r = wire.NewReader(n.Conn) // the error was at a frame's border
			return
		}
		switch f.Type() {
		case wire.TypeBlock:
			n.t.Fatal("node got a block, want none")
		case wire.TypeTime:
			n.send(&wire.Time{Org: 1, Xmt: 2})
		}
		f.Release()
	}
}

func TestSync(t *testing.T) {
	down := errors.New("source went away")
	for _, tc := range []struct {
		name  string
		a     *archive
		asked []string
	}{
		{"plain", &archive{}, []string{"1-40"}},
		{"large blocks", &archive{size: 1 << 20}, []string{"1-40"}},
		{"source fails", &archive{faults: []fault{{10, down, nil}, {0, down, nil}, {5, down, nil}}}, []string{"1-40", "11-40", "11-40", "16-40"}},
		{"source ends early", &archive{faults: []fault{{39, nil, nil}}}, []string{"1-40", "40-40"}},
		{"source leaves a hole", &archive{faults: []fault{{3, nil, block(9, 0)}}}, []string{"1-40", "4-40"}},
		{"source repeats", &archive{faults: []fault{{3, nil, block(3, 0)}}}, []string{"1-40", "4-40"}},
		{"source sends junk", &archive{faults: []fault{{3, nil, wire.RawFrame(wire.TypeBlock, []byte("junk"))}}}, []string{"1-40", "4-40"}},
		{"source sends votes", &archive{faults: []fault{{3, nil, wire.RawFrame(wire.TypeVote, make([]byte, 324))}}}, []string{"1-40", "4-40"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t, downstream.Config{})
				n, up := r.join("a", wire.ID{1})
				begin := time.Now()
				up.Sync(t.Context(), tc.a, 1, 40)
				n.wantBlocks(1, 40)
				if took := time.Since(begin); took > time.Second {
					t.Errorf("took %s", took)
				}
				n.quiet(5 * time.Second)
				if got := tc.a.calls(); !slices.Equal(got, tc.asked) {
					t.Errorf("fetched %v, want %v", got, tc.asked)
				}
				r.end()
				tc.a.free(t)
			})
		})
	}
}

// TestSyncRequests follows nodeos: a second request raises the end, one with end 0 cancels, one after the end is new.
func TestSyncRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, downstream.Config{})
		n, up := r.join("a", wire.ID{1})
		a := &archive{pause: 10 * time.Millisecond}
		up.Sync(t.Context(), a, 10, 20)
		n.wantBlocks(10, 15)
		up.Sync(t.Context(), a, 21, 30)
		up.Sync(t.Context(), a, 1, 5) // not below what is open
		n.wantBlocks(16, 30)
		n.quiet(time.Second)

		up.Sync(t.Context(), a, 5, 6) // after the end of the first: any range again
		n.wantBlocks(5, 6)
		n.quiet(time.Second)

		up.Sync(t.Context(), a, 100, 1_000_000)
		n.wantBlocks(100, 110)
		up.Sync(t.Context(), a, 0, 0)
		synctest.Wait()
		n.quiet(time.Second)
		up.Sync(t.Context(), a, 0, 0) // nothing open

		up.Sync(t.Context(), a, 9, 8) // not a range
		n.quiet(time.Second)

		up.Sync(t.Context(), a, 4294967289, 4294967294) // the largest numbers do not run over
		n.wantBlocks(4294967289, 4294967294)
		n.quiet(time.Second)

		up.Sync(t.Context(), a, 0, 2)
		n.wantBlocks(1, 2)
		n.quiet(time.Second)
		want := []string{"10-20", "21-30", "5-6", "100-1000000", "4294967289-4294967294", "1-2"}
		if got := a.calls(); !slices.Equal(got, want) {
			t.Errorf("fetched %v, want %v", got, want)
		}
		r.end()
		a.free(t)
	})
}

// TestSyncCancelledAndAskedAgain: no block of the old request comes after the first of the new one.
func TestSyncCancelledAndAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, downstream.Config{})
		n, up := r.join("a", wire.ID{1})
		a := &archive{size: 100 << 10}
		up.Sync(t.Context(), a, 1, 1000)
		synctest.Wait() // socket and lane are full
		for range 3 {
			up.Sync(t.Context(), a, 0, 0)
			up.Sync(t.Context(), a, 5001, 5005)
		}
		for n.block() != 5001 {
		}
		n.wantBlocks(5002, 5005)
		n.quiet(time.Second)
		r.end()
		a.free(t)
	})
}

// TestSyncFlood: requests that are taken back faster than they end are not a goroutine each.
func TestSyncFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, downstream.Config{})
		n, up := r.join("a", wire.ID{1})
		slow := fetcher(func(ctx context.Context) error {
			<-ctx.Done()
			pass(time.Second)
			return context.Cause(ctx)
		})
		before := runtime.NumGoroutine()
		for range 1000 {
			up.Sync(t.Context(), slow, 1, 10)
			up.Sync(t.Context(), nil, 0, 0)
		}
		synctest.Wait()
		if more := runtime.NumGoroutine() - before; more > 50 {
			t.Errorf("%d goroutines for requests that were taken back", more)
		}
		pass(10 * time.Second)
		up.Sync(t.Context(), &archive{}, 20, 21)
		n.wantBlocks(20, 21)
		r.end()
	})
}

// TestSyncOneFetchAtATime: a new request waits until the fetch of a cancelled one has really ended.
func TestSyncOneFetchAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, downstream.Config{})
		n, up := r.join("a", wire.ID{1})
		begin := time.Now()
		up.Sync(t.Context(), fetcher(func(ctx context.Context) error {
			<-ctx.Done()
			pass(100 * time.Millisecond)
			return context.Cause(ctx)
		}), 1, 10)
		synctest.Wait()
		up.Sync(t.Context(), nil, 0, 0)
		up.Sync(t.Context(), &archive{}, 20, 21)
		n.wantBlocks(20, 21)
		if took := time.Since(begin); took != 100*time.Millisecond {
			t.Errorf("new request served after %s, want 100ms", took)
		}
		r.end()
	})
}

// TestSyncIsPaced: a replica that stops reading holds the fetch back, and live blocks still go before.
func TestSyncIsPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, downstream.Config{Conn: conn.Config{WriteTimeout: time.Hour}})
		n, up := r.join("a", wire.ID{1})
		a := &archive{size: 100 << 10}
		up.Sync(t.Context(), a, 1, 1000)
		synctest.Wait()
		a.mu.Lock()
		fetched := len(a.frames)
		a.mu.Unlock()
		if fetched > 25 { // 16 in the lane, 2 or 3 in the socket
			t.Errorf("%d blocks fetched for a replica that does not read", fetched)
		}
		live := block(900_000, 500)
		up.Conn().Send(conn.Blocks, live)
		live.Release()
		for i := 0; n.block() != 900_000; i++ {
			if i > 5 {
				t.Fatal("a live block waits behind the sync lane")
			}
		}
		r.end()
		a.free(t)
	})
}

// TestSyncGivesUp: without a block for SyncPatience the request is forgotten, and the next one is served.
func TestSyncGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, downstream.Config{})
		n, up := r.join("a", wire.ID{1})
		dead := &archive{faults: slices.Repeat([]fault{{0, errors.New("no source"), nil}}, 1000)}
		up.Sync(t.Context(), dead, 1, 10)
		n.quiet(40 * time.Second)
		if got := len(dead.calls()); got < 10 || got > 50 {
			t.Errorf("%d attempts in 30 s, want a back-off up to 1 s", got)
		}
		if lines := r.logs.lines("given up"); len(lines) != 1 {
			t.Errorf("%d log lines, want 1", len(lines))
		}
		up.Sync(t.Context(), &archive{}, 1, 3)
		n.wantBlocks(1, 3)
		r.end()
	})
}

// TestSyncEndsWithTheConnection: ReplicaDown comes after the fetch has ended.
func TestSyncEndsWithTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, downstream.Config{})
		n, up := r.join("a", wire.ID{1})
		fetching := make(chan struct{})
		ended := false
		up.Sync(t.Context(), fetcher(func(ctx context.Context) error {
			close(fetching)
			<-ctx.Done()
			ended = true
			return context.Cause(ctx)
		}), 1, 10)
		<-fetching
		n.Close()
		<-r.sink.down
		if !ended {
			t.Error("ReplicaDown while a fetch was going on")
		}
		up.Sync(t.Context(), &archive{}, 1, 10) // too late: nothing happens
		r.end()
	})
}

type fetcher func(context.Context) error

func (f fetcher) Fetch(ctx context.Context, _, _ uint32, _ func(*wire.Frame) error) error {
	return f(ctx)
}
