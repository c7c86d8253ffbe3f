package upstream_test

import (
	"context"
	"net"
	"runtime"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/thinrelay/thinrelay/relay/upstream"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// On real sockets, with a peer of each kind, nothing is left after Run, Fetch and Inspect.
func TestNothingIsLeft(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	n := newNode(t, 3000)
	d, s, stop := dialLoopback(t, n, n, n)
	for range 3 {
		var b basket
		if err := d.Fetch(t.Context(), 1, 3000, b.deliver(n.chain)); err != nil {
			t.Fatal(err)
		}
		b.holds(t, 1, 3000)
	}
	if got := s.connected(); got != 3 {
		t.Errorf("%d peers up, want 3", got)
	}
	r, err := upstream.Inspect(t.Context(), upstream.Config{}, d.Statuses()[0].Addr)
	if err != nil || r.ChainID != testChain || r.Second != nil {
		t.Errorf("report %+v, %v", r, err)
	}
	if !upstream.Probe(t.Context(), nil, d.Statuses()[0].Addr) {
		t.Error("not reachable")
	}
	stop()
}

// Memory stays bounded while a slow caller takes a large range.
func TestFetchMemory(t *testing.T) {
	n := newNode(t, 400)
	big := make([]byte, 1<<20)
	n.block = func(_, num int, _ *line) (*wire.Frame, bool) {
		body := append(n.chain.frames[num-1].Body()[:len(n.chain.frames[num-1].Body()):len(n.chain.frames[num-1].Body())], big...)
		return wire.RawFrame(wire.TypeBlock, body), true
	}
	d, _, stop := dialLoopback(t, n)
	defer stop()
	peak := uint64(0)
	count := 0
	if err := d.Fetch(t.Context(), 1, 400, func(f *wire.Frame) error {
		if count++; count%50 == 0 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapInuse)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if count != 400 || peak > 128<<20 {
		t.Errorf("%d blocks of 1 MiB, %d MiB in use; want 400 and less than 128", count, peak>>20)
	}
}

func dialLoopback(t testing.TB, nodes ...*node) (*upstream.Dialer, *sink, func()) {
	t.Helper()
	config := upstream.Config{ChainID: func() (wire.ID, bool) { return testChain, true }}
	var listeners []net.Listener
	for _, n := range nodes {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners = append(listeners, l)
		config.Peers = append(config.Peers, l.Addr().String())
		go n.serve(l)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &sink{up: make(chan struct{}, len(nodes))}
	d := upstream.New(config)
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx, s) }()
	for range nodes {
		select {
		case <-s.up:
		case <-time.After(10 * time.Second):
			t.Fatal("peer not connected in 10 s")
		}
	}
	return d, s, func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		for _, l := range listeners {
			l.Close()
		}
	}
}

// BenchmarkFetch fetches 5000 small blocks over loopback, the peer included.
func BenchmarkFetch(b *testing.B) {
	n := newNode(nil, 5000)
	d, _, stop := dialLoopback(b, n)
	defer stop()
	b.ReportAllocs()
	for b.Loop() {
		count := 0
		if err := d.Fetch(context.Background(), 1, 5000, func(*wire.Frame) error { count++; return nil }); err != nil || count != 5000 {
			b.Fatalf("%d blocks, %v", count, err)
		}
	}
	b.ReportMetric(float64(5000*b.N)/b.Elapsed().Seconds(), "blocks/s")
}

// BenchmarkFetchLive is the same over the live connection of a peer that accepts no second one.
func BenchmarkFetchLive(b *testing.B) {
	n := newNode(nil, 5000)
	n.maxConns = 1
	d, _, stop := dialLoopback(b, n)
	defer stop()
	for b.Loop() {
		count := 0
		if err := d.Fetch(context.Background(), 1, 4990, func(*wire.Frame) error { count++; return nil }); err != nil || count != 4990 {
			b.Fatalf("%d blocks, %v", count, err)
		}
	}
	b.ReportMetric(float64(4990*b.N)/b.Elapsed().Seconds(), "blocks/s")
}
