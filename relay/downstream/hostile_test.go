package downstream_test

import (
	"context"
	"io"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/thinrelay/thinrelay/relay/conn"
	"github.com/thinrelay/thinrelay/relay/downstream"
	"github.com/thinrelay/thinrelay/relay/wire"
	"github.com/thinrelay/thinrelay/relay/wire/captures"
)

// serveTCP runs a listener on a real socket until the test ends.
func serveTCP(t *testing.T, config downstream.Config) (addr string, sink *recorder) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	config.Allow = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	config.Logger = hclog.NewNullLogger()
	sink = newRecorder()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- downstream.Serve(ctx, ln, config, sink) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve returned %v", err)
		}
	})
	return ln.Addr().String(), sink
}

func dialTCP(t testing.TB, addr, from string) *node {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return &node{t: t, Conn: c, r: wire.NewReader(c), logs: new(logbook)}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// TestHostileSockets floods a real listener with connects, half of them with a claim of 8 MiB, while a replica that does
// not read is fed and another one gets every block.
func TestHostileSockets(t *testing.T) {
	if testing.Short() {
		t.Skip("2 000 sockets")
	}
	addr, sink := serveTCP(t, downstream.Config{Conn: conn.Config{LiveBytes: 8 << 20}})
	good, deaf := dialTCP(t, addr, "127.0.0.1"), dialTCP(t, addr, "127.0.0.2")
	defer good.Close()
	defer deaf.Close()
	deaf.send(hello(wire.ID{2}))
	deafUp := <-sink.up
	good.send(hello(wire.ID{1}))
	goodUp := <-sink.up
	good.expect(wire.TypeHandshake).Release()
	before := heap()

	var flood sync.WaitGroup
	var all []net.Conn
	var mu sync.Mutex
	for range 4 {
		flood.Go(func() {
			for i := range 500 {
				d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 3)}}
				c, err := d.Dial("tcp", addr)
				if err != nil {
					continue
				}
				if i%2 == 0 {
					c.Write([]byte{0, 0, 127, 0, 7, 1, 2, 3})
				}
				mu.Lock()
				all = append(all, c)
				mu.Unlock()
			}
		})
	}
	refused := 0
	for num := range uint32(200) {
		f := block(101+num, 100<<10)
		if !goodUp.Conn().Send(conn.Blocks, f) {
			t.Error("the queue of a replica that reads is full")
		}
		if !deafUp.Conn().Send(conn.Blocks, f) {
			refused++
		}
		f.Release()
		if got := good.block(); got != 101+num {
			t.Fatalf("replica got block %d, want %d", got, 101+num)
		}
	}
	flood.Wait()
	late := dialTCP(t, addr, "127.0.0.1")
	defer late.Close()
	late.send(hello(wire.ID{3}))
	late.expect(wire.TypeHandshake).Release()
	if refused == 0 {
		t.Error("20 MB fit the queue of a replica that does not read")
	}
	if after := heap(); after > before+24<<20 {
		t.Errorf("memory grew from %d to %d MiB", before>>20, after>>20)
	}
	for _, c := range all {
		c.Close()
	}
}

// TestSlowReaderIsClosed: the connection that does not read ends, alone.
func TestSlowReaderIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, downstream.Config{})
		_, slow := r.join("slow", wire.ID{1})
		fast, up := r.join("fast", wire.ID{2})
		f := block(101, 1<<20)
		slow.Conn().Send(conn.Blocks, f)
		begin := time.Now()
		for range 5 {
			up.Conn().Send(conn.Blocks, f)
			fast.block()
		}
		if took := time.Since(begin); took > 0 {
			t.Errorf("5 blocks took %s beside a slow reader", took)
		}
		<-r.sink.down
		if took := time.Since(begin); took != 10*time.Second {
			t.Errorf("slow reader closed after %s, want 10s", took)
		}
		if lines := r.logs.lines("slow_reader"); len(lines) != 1 {
			t.Errorf("%d log lines, want 1", len(lines))
		}
		f.Release()
		r.end()
	})
}

// FuzzSession feeds arbitrary bytes to a listener, as the first ones or behind a good handshake.
func FuzzSession(f *testing.F) {
	for _, name := range []string{"relay-votes/r0-1.from-node", "nodes/01-a2-to-bpc"} {
		stream, err := captures.Open(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(stream[:min(len(stream), 4000)], false)
		f.Add(stream[:min(len(stream), 4000)], true)
	}
	f.Add([]byte("\x09\x00\x00\x00\x06\x01\x00\x00\x00\xff\xff\xff\xff"), true)
	f.Add(wire.Append(nil, &wire.GoAway{Reason: 99}), true)
	f.Fuzz(func(t *testing.T, data []byte, greeted bool) {
		synctest.Test(t, func(t *testing.T) {
			r := start(t, downstream.Config{ChainID: func() (wire.ID, bool) { return wire.ID{}, false }})
			n := r.dial("a")
			go io.Copy(io.Discard, n)
			if greeted {
				n.send(hello(wire.ID{1}))
			}
			n.Write(data)
			n.Close()
			synctest.Wait()
			ups := len(r.sink.up)
			if greeted && ups != 1 {
				t.Errorf("%d replicas came up, want 1", ups)
			}
			for range ups {
				<-r.sink.down
			}
			r.end()
		})
	})
}
