package downstream_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/thinrelay/thinrelay/relay/downstream"
	"github.com/thinrelay/thinrelay/relay/simnet/memnet"
	"github.com/thinrelay/thinrelay/relay/wire"
)

func TestMain(m *testing.M) {
	wire.PoisonReleased(true)
	goleak.VerifyTestMain(m)
}

var chain = wire.ID{0xc4, 0xa1}

// recorder is a Sink that writes down what it is told.
type recorder struct {
	mu     sync.Mutex
	events []string
	up     chan *downstream.Replica
	down   chan error
	frames chan *wire.Frame
	hold   chan struct{} // when not nil, ReplicaDown waits for it
}

func newRecorder() *recorder {
	return &recorder{
		up: make(chan *downstream.Replica, 10000), down: make(chan error, 10000), frames: make(chan *wire.Frame, 10000),
	}
}

func (s *recorder) add(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, fmt.Sprintf(format, args...))
}

func (s *recorder) log() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.events...)
}

func (s *recorder) ReplicaUp(r *downstream.Replica) {
	s.add("up %d", r.Serial())
	s.up <- r
}

func (s *recorder) ReplicaDown(r *downstream.Replica, err error) {
	if s.hold != nil {
		<-s.hold
	}
	s.add("down %d", r.Serial())
	s.down <- err
}

func (s *recorder) ReplicaFrame(r *downstream.Replica, f *wire.Frame) {
	s.add("frame %d %s", r.Serial(), f.Type())
	select {
	case s.frames <- f:
	default:
		f.Release()
	}
}

var _ downstream.Sink = (*recorder)(nil)

// relay is a listener under test in a network in memory.
type relay struct {
	t    *testing.T
	net  *memnet.Network
	sink *recorder
	logs *logbook
	stop context.CancelFunc
	done chan error
}

// logbook is a log output that can be read while it is written.
type logbook struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logbook) lines(part string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.b.String()) {
		if strings.Contains(line, part) {
			found = append(found, line)
		}
	}
	return found
}

func start(t *testing.T, config downstream.Config) *relay {
	t.Helper()
	r := &relay{t: t, net: memnet.New(memnet.WithIPs()), sink: newRecorder(), logs: new(logbook), done: make(chan error, 1)}
	if config.Allow == nil {
		config.Allow = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	}
	if config.ChainID == nil {
		config.ChainID = func() (wire.ID, bool) { return chain, true }
	}
	config.Logger = hclog.New(&hclog.LoggerOptions{Output: r.logs, Level: hclog.Debug})
	ln, err := r.net.Host("relay").Listen(":9876")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	go func() { r.done <- downstream.Serve(ctx, ln, config, r.sink) }()
	return r
}

// end stops the listener and checks that nothing is left.
func (r *relay) end() {
	r.t.Helper()
	r.stop()
	if err := <-r.done; err != nil {
		r.t.Errorf("Serve returned %v, want nil at the end of its context", err)
	}
	close(r.sink.frames)
	for f := range r.sink.frames {
		f.Release()
	}
	r.net.Close()
}

// node is the nodeos side of a connection.
type node struct {
	t testing.TB
	net.Conn
	r    *wire.Reader
	logs *logbook
}

func (r *relay) dial(host string) *node {
	r.t.Helper()
	c, err := r.net.Host(host).Dial(r.t.Context(), "relay:9876")
	if err != nil {
		r.t.Fatal(err)
	}
	return &node{t: r.t, Conn: c, r: wire.NewReader(c), logs: r.logs}
}

// join dials and shakes hands, and returns both ends.
func (r *relay) join(host string, id wire.ID) (*node, *downstream.Replica) {
	r.t.Helper()
	n := r.dial(host)
	n.send(hello(id))
	n.expect(wire.TypeHandshake).Release()
	n.expect(wire.TypeTime).Release()
	return n, <-r.sink.up
}

func (n *node) send(m wire.Message) {
	n.t.Helper()
	if _, err := n.Write(wire.Append(nil, m)); err != nil {
		n.t.Fatalf("node writes: %v", err)
	}
}

func (n *node) next() *wire.Frame {
	n.t.Helper()
	if err := n.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		n.t.Fatal(err)
	}
	f, err := n.r.Next()
	if err != nil {
		n.t.Fatalf("node reads: %v\n%s", err, n.logs.lines(""))
	}
	return f
}

func (n *node) expect(want wire.Type) *wire.Frame {
	n.t.Helper()
	f := n.next()
	if f.Type() != want {
		n.t.Fatalf("node got %s, want %s", f.Type(), want)
	}
	return f
}

// block returns the number of the next block, skipping time messages.
func (n *node) block() uint32 {
	n.t.Helper()
	for {
		f := n.next()
		if f.Type() != wire.TypeTime {
			b, err := wire.ParseBlock(f.Body())
			if err != nil {
				n.t.Fatalf("node got %s: %v", f.Type(), err)
			}
			f.Release()
			return b.Num()
		}
		f.Release()
	}
}

// closedSilently checks that the relay closes without having said a word.
func (n *node) closedSilently() {
	n.t.Helper()
	if err := n.SetReadDeadline(time.Now().Add(time.Hour)); err != nil {
		n.t.Fatal(err)
	}
	got, err := io.ReadAll(n)
	if len(got) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		n.t.Fatalf("node got %d bytes and %v, want a silent close", len(got), err)
	}
}

// hello is what a Spring 1.2 replica says first.
func hello(id wire.ID) *wire.Handshake {
	return &wire.Handshake{
		NetworkVersion: wire.Version11, ChainID: chain, NodeID: id, Time: time.Now().UnixNano(),
		P2PAddress: ": - " + id.String()[:7], RootNum: 97, RootID: wire.ID{0, 0, 0, 97, 1}, HeadNum: 100, HeadID: wire.ID{0, 0, 0, 100, 2},
		OS: "linux", Agent: `"nodeos-a"`, Generation: 1,
	}
}

// block makes a block of the given number, padded to about size bytes.
func block(num uint32, size int) *wire.Frame {
	body := make([]byte, max(size, 116+66+2))
	binary.BigEndian.PutUint32(body[14:], num-1)
	return wire.RawFrame(wire.TypeBlock, body)
}

// pass lets fake time go by; it is for bubbles of synctest only.
func pass(d time.Duration) { <-time.After(d) }
