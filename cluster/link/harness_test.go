package link_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/cluster/link"
	"github.com/thinrelay/thinrelay/relay/simnet/memnet"
)

// port is a member's link port on a memnet host: the host's name is the member's.
type port struct {
	host *memnet.Host
	ln   net.Listener

	mu    sync.Mutex
	dials []time.Time
}

func (p *port) Dial(ctx context.Context, address, _ string) (net.Conn, error) {
	p.mu.Lock()
	p.dials = append(p.dials, time.Now())
	p.mu.Unlock()
	return p.host.Dial(ctx, address)
}

func (p *port) dialled() []time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]time.Time(nil), p.dials...)
}

func (p *port) Accept(ctx context.Context) (net.Conn, string, error) {
	stop := context.AfterFunc(ctx, func() { p.ln.Close() })
	defer stop()
	conn, err := p.ln.Accept()
	if err != nil {
		return nil, "", err
	}
	return conn, conn.RemoteAddr().(memnet.Addr).Host, nil
}

func open(t *testing.T, n *memnet.Network, name string) *port {
	t.Helper()
	h := n.Host(name)
	ln, err := h.Listen(name + ":1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return &port{host: h, ln: ln}
}

// leader is what a relay believes about who leads.
type leader struct {
	mu      sync.Mutex
	name    string
	changed chan struct{}
}

func newLeader(name string) *leader {
	return &leader{name: name, changed: make(chan struct{}, 1)}
}

func (l *leader) set(name string, tell bool) {
	l.mu.Lock()
	l.name = name
	l.mu.Unlock()
	if tell {
		select {
		case l.changed <- struct{}{}:
		default:
		}
	}
}

func (l *leader) target() (name, address string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.name == "" {
		return "", ""
	}
	return l.name, l.name + ":1"
}

// background runs f and returns how to end and await it.
func background(t *testing.T, f func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- f(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-over; err != nil {
				t.Errorf("ended with %v, want nil", err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

// hold is a handler that reads until the stream ends.
func hold(_ context.Context, _ string, _ link.Purpose, conn net.Conn) error {
	for buf := make([]byte, 1024); ; {
		if _, err := conn.Read(buf); err != nil {
			return err
		}
	}
}
