package conn_test

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/relay/conn"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// sockets connects two ends over loopback TCP.
func sockets(t testing.TB) (ours, peer net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			close(accepted)
			return
		}
		accepted <- c
	}()
	if peer, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	ours, ok := <-accepted
	if !ok {
		t.Fatal("accept failed")
	}
	return ours, peer
}

// link is two Conns over loopback; what the far one receives is counted.
type link struct {
	near, far *conn.Conn
	got       atomic.Int64
	each      chan time.Time // when not nil, the time of each arrival
	wait      sync.WaitGroup
}

func newLink(t testing.TB, each bool) *link {
	t.Helper()
	a, b := sockets(t)
	k := &link{near: conn.New(a, conn.Config{}), far: conn.New(b, conn.Config{})}
	if each {
		k.each = make(chan time.Time, 16)
	}
	k.wait.Go(func() { _ = k.near.Serve(context.Background(), func(f *wire.Frame) error { f.Release(); return nil }) })
	k.wait.Go(func() {
		_ = k.far.Serve(context.Background(), func(f *wire.Frame) error {
			f.Release()
			k.got.Add(1)
			if k.each != nil {
				k.each <- time.Now()
			}
			return nil
		})
	})
	k.near.Start()
	k.far.Start()
	t.Cleanup(func() {
		k.near.Close(nil)
		k.far.Close(nil)
		k.wait.Wait()
	})
	return k
}

// TestNoAllocations sends frames over a real socket and back through a reader.
func TestNoAllocations(t *testing.T) {
	if testing.Short() {
		t.Skip("measures")
	}
	defer wire.PoisonReleased(wire.PoisonReleased(false))
	k := newLink(t, true)
	f := numbered(t, wire.TypeBlock, 1, 1000)
	defer f.Release()
	once := func() {
		for range 10 {
			k.near.Send(conn.Blocks, f)
		}
		for range 10 {
			<-k.each
		}
	}
	once()
	if raceEnabled() {
		once()
		return
	}
	if got := testing.AllocsPerRun(200, once); got >= 1 {
		t.Errorf("%v allocations per 10 frames sent and received, want 0", got)
	}
}

// raceEnabled finds out whether released frames are never pooled, which is so under the race detector.
func raceEnabled() bool {
	return testing.AllocsPerRun(20, func() { wire.RawFrame(wire.TypeVote, nil).Release() }) >= 1
}

func BenchmarkThroughput(b *testing.B) {
	defer wire.PoisonReleased(wire.PoisonReleased(false))
	for _, size := range []int{330, 1 << 10, 100 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			k := newLink(b, false)
			f := numbered(b, wire.TypeBlock, 1, size)
			defer f.Release()
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				if err := k.near.SendWait(b.Context(), conn.Blocks, f); err != nil {
					b.Fatal(err)
				}
			}
			for k.got.Load() < int64(b.N) {
				runtime.Gosched()
			}
		})
	}
}

// BenchmarkLatency measures from Send to the handler of the other side, one frame at a time on idle connections.
func BenchmarkLatency(b *testing.B) {
	defer wire.PoisonReleased(wire.PoisonReleased(false))
	for _, size := range []int{330, 1 << 10, 100 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			k := newLink(b, true)
			f := numbered(b, wire.TypeBlock, 1, size)
			defer f.Release()
			took := make([]time.Duration, 0, b.N)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				start := time.Now()
				k.near.Send(conn.Blocks, f)
				took = append(took, (<-k.each).Sub(start))
			}
			b.StopTimer()
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1e3, "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1e3, "p99-µs")
		})
	}
}

// BenchmarkFanOut sends one frame to 50 connections and waits for all.
func BenchmarkFanOut(b *testing.B) {
	defer wire.PoisonReleased(wire.PoisonReleased(false))
	for _, size := range []int{1 << 10, 100 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			links := make([]*link, 50)
			for i := range links {
				links[i] = newLink(b, true)
			}
			f := numbered(b, wire.TypeBlock, 1, size)
			defer f.Release()
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				for _, k := range links {
					k.near.Send(conn.Blocks, f)
				}
				for _, k := range links {
					<-k.each
				}
			}
		})
	}
}
