package conn_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/thinrelay/thinrelay/relay/conn"
	"github.com/thinrelay/thinrelay/relay/simnet/memnet"
	"github.com/thinrelay/thinrelay/relay/wire"
)

func TestMain(m *testing.M) {
	wire.PoisonReleased(true) // a reference used or given back too often shows at once; none is hidden by the pool
	goleak.VerifyTestMain(m)
}

// pair connects two ends in memory; the buffer is what one direction holds before its writer blocks.
func pair(t *testing.T, buffer int) (ours, peer net.Conn) {
	t.Helper()
	n := memnet.New(memnet.WithBuffer(buffer), memnet.WithIPs())
	l, err := n.Host("relay").Listen(":9876")
	if err != nil {
		t.Fatal(err)
	}
	peer, err = n.Host("node").Dial(context.Background(), "relay:9876")
	if err != nil {
		t.Fatal(err)
	}
	ours, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return ours, peer
}

// served runs Serve and keeps what it returns.
type served struct {
	*conn.Conn
	t      *testing.T
	frames chan *wire.Frame
	cause  chan error
}

func serve(ctx context.Context, t *testing.T, nc net.Conn, config conn.Config) *served {
	t.Helper()
	s := &served{Conn: conn.New(nc, config), t: t, frames: make(chan *wire.Frame, 1024), cause: make(chan error, 1)}
	go func() {
		s.cause <- s.Serve(ctx, func(f *wire.Frame) error {
			s.frames <- f
			return nil
		})
	}()
	return s
}

// ended waits for Serve and checks its cause.
func (s *served) ended(want error) {
	s.t.Helper()
	if got := <-s.cause; !errors.Is(got, want) {
		s.t.Fatalf("Serve returned %v, want %v", got, want)
	}
	close(s.frames)
	for f := range s.frames {
		f.Release()
	}
}

// shut ends the connection from our side.
func (s *served) shut() {
	s.t.Helper()
	s.Close(nil)
	s.ended(conn.ErrClosed)
}

// numbered makes a frame that carries n and is of the given size.
func numbered(t testing.TB, typ wire.Type, n uint32, size int) *wire.Frame {
	t.Helper()
	body := make([]byte, max(4, size-5))
	binary.LittleEndian.PutUint32(body, n)
	return wire.RawFrame(typ, body)
}

func number(f *wire.Frame) uint32 { return binary.LittleEndian.Uint32(f.Body()) }

// mustBeFree gives the test's own reference back and fails if anyone else still holds one.
func mustBeFree(t *testing.T, frames ...*wire.Frame) {
	t.Helper()
	for i, f := range frames {
		f.Release()
		if held(f) {
			t.Fatalf("frame %d of %d is still referenced", i, len(frames))
		}
	}
}

func held(f *wire.Frame) (held bool) {
	defer func() { held = recover() == nil }()
	f.Retain() // panics once all references are gone
	return true
}

// peerReader reads what a peer gets.
type peerReader struct {
	t testing.TB
	r *wire.Reader
	c net.Conn
}

func readPeer(t testing.TB, c net.Conn) *peerReader {
	return &peerReader{t: t, r: wire.NewReader(c), c: c}
}

// next returns the next frame; it fails the test after a minute.
func (p *peerReader) next() *wire.Frame {
	p.t.Helper()
	if err := p.c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		p.t.Fatal(err)
	}
	f, err := p.r.Next()
	if err != nil {
		p.t.Fatalf("peer reads: %v", err)
	}
	return f
}

func (p *peerReader) time() wire.Time {
	p.t.Helper()
	f := p.next()
	defer f.Release()
	if f.Type() != wire.TypeTime {
		p.t.Fatalf("peer got %s, want time", f.Type())
	}
	m, err := wire.ParseTime(f.Body())
	if err != nil {
		p.t.Fatal(err)
	}
	return m
}

// silent fails if anything arrives within d.
func (p *peerReader) silent(d time.Duration) {
	p.t.Helper()
	if err := p.c.SetReadDeadline(time.Now().Add(d)); err != nil {
		p.t.Fatal(err)
	}
	if n, err := p.c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		p.t.Fatalf("peer got %d bytes and %v, want silence for %s", n, err, d)
	}
}

func send(t testing.TB, c io.Writer, m wire.Message) {
	t.Helper()
	f := wire.Encode(m)
	defer f.Release()
	if _, err := c.Write(f.Bytes()); err != nil {
		t.Fatalf("peer writes: %v", err)
	}
}

// pass lets fake time go by; it is for bubbles of synctest only.
func pass(d time.Duration) { <-time.After(d) }
