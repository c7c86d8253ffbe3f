package upstream_test

import (
	"context"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/thinrelay/thinrelay/relay/simnet/memnet"
	"github.com/thinrelay/thinrelay/relay/upstream"
	"github.com/thinrelay/thinrelay/relay/wire"
)

func TestMain(m *testing.M) {
	wire.PoisonReleased(true)
	os.Exit(m.Run())
}

// sink records what the dialer reports.
type sink struct {
	mu    sync.Mutex
	ups   []*upstream.Peer
	downs []error
	types []wire.Type
	nums  []uint32 // of blocks
	calls []string
	hold  func(*upstream.Peer, *wire.Frame) // may block
	up    chan struct{}                     // receives for each UpstreamUp, if not nil
}

var _ upstream.Sink = (*sink)(nil)

func (s *sink) UpstreamUp(p *upstream.Peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ups = append(s.ups, p)
	s.calls = append(s.calls, "up "+p.Addr())
	if s.up != nil {
		s.up <- struct{}{}
	}
}

func (s *sink) UpstreamDown(p *upstream.Peer, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.downs = append(s.downs, err)
	s.calls = append(s.calls, "down "+p.Addr())
}

func (s *sink) UpstreamFrame(p *upstream.Peer, f *wire.Frame) {
	defer f.Release()
	if s.hold != nil {
		s.hold(p, f)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.types = append(s.types, f.Type())
	s.calls = append(s.calls, f.Type().String()+" "+p.Addr())
	if f.Type() == wire.TypeBlock {
		if b, err := wire.ParseBlock(f.Body()); err == nil {
			s.nums = append(s.nums, b.Num())
		}
	}
}

func (s *sink) connected() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ups) - len(s.downs)
}

func (s *sink) peer(i int) *upstream.Peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ups[i]
}

func (s *sink) blocks() []uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.nums)
}

func (s *sink) seen(t wire.Type) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.types {
		if x == t {
			n++
		}
	}
	return n
}

func (s *sink) lost() []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.downs)
}

func (s *sink) log() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// logbook keeps log lines.
type logbook struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logbook) lines(with string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.b.String()) {
		if strings.Contains(line, with) {
			n++
		}
	}
	return n
}

func (l *logbook) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// world is a dialer on an in-memory network, inside a synctest bubble.
type world struct {
	t      *testing.T
	net    *memnet.Network
	sink   *sink
	log    *logbook
	config upstream.Config
	dialer *upstream.Dialer
	cancel context.CancelFunc
	ended  chan struct{}
	shut   []net.Listener
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, net: memnet.New(), sink: &sink{}, log: &logbook{}}
	w.config = upstream.Config{
		NodeName: "relay-1",
		ChainID:  func() (wire.ID, bool) { return testChain, true },
		Dial:     w.net.Host("relay").Dial,
		Logger:   hclog.New(&hclog.LoggerOptions{Output: w.log, Level: hclog.Info}),
	}
	return w
}

// listen adds a peer to the configuration and serves it.
func (w *world) listen(host string, serve func(net.Listener)) {
	w.t.Helper()
	l, err := w.net.Host(host).Listen(host + ":9876")
	if err != nil {
		w.t.Fatal(err)
	}
	w.shut = append(w.shut, l)
	w.config.Peers = append(w.config.Peers, host+":9876")
	go serve(l)
}

// run starts the dialer; it and the network end with the test.
func (w *world) run() {
	ctx, cancel := context.WithCancel(w.t.Context())
	w.cancel, w.ended = cancel, make(chan struct{})
	w.dialer = upstream.New(w.config)
	go func() {
		defer close(w.ended)
		if err := w.dialer.Run(ctx, w.sink); err != nil {
			w.t.Errorf("Run: %v", err)
		}
	}()
	synctest.Wait()
}

// end stops the dialer and the network, and checks that no connection was left open on our side.
func (w *world) end() {
	w.t.Helper()
	w.cancel()
	<-w.ended
	for _, l := range w.shut {
		l.Close()
	}
	synctest.Wait()
	if got := w.sink.connected(); got != 0 {
		w.t.Errorf("peers still up after Run: %d", got)
	}
	w.net.Close()
	time.Sleep(time.Second) // scripted peers see it at their next write
}

// bubble runs f in a synctest bubble.
func bubble(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		f(t, w)
		if w.cancel != nil {
			w.end()
		}
	})
}

func contains(s, part string) bool { return strings.Contains(s, part) }
