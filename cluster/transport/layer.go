package transport

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// layer is one protocol of the port.
type layer struct {
	t         *Transport
	proto     string
	advertise net.Addr
	queue     chan *Conn

	ctx    context.Context // ends when the layer is closed
	cancel context.CancelFunc
	mu     sync.Mutex // orders offer and shut
}

func newLayer(t *Transport, proto string, advertise net.Addr) *layer {
	l := &layer{t: t, proto: proto, advertise: advertise, queue: make(chan *Conn, acceptQueue)}
	l.ctx, l.cancel = context.WithCancel(t.ctx)
	return l
}

// offer queues an accepted connection, if somebody takes it.
func (l *layer) offer(c *Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil {
		return false
	}
	select {
	case l.queue <- c:
		return true
	default:
		return false
	}
}

func (l *layer) accept(ctx context.Context) (*Conn, error) {
	if l.ctx.Err() != nil {
		return nil, ErrClosed
	}
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.ctx.Done():
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// shut ends accept and closes the connections of this protocol: raft.NetworkTransport leaves its own ones open.
func (l *layer) shut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cancel()
	for _, c := range l.t.open() {
		if c.proto == l.proto {
			c.abort()
		}
	}
}

func (l *layer) dial(ctx context.Context, address, name string) (*Conn, error) {
	if l.ctx.Err() != nil {
		return nil, ErrClosed
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(l.ctx, cancel)
	defer stop()
	c, err := l.t.dial(ctx, address, name, l.proto)
	if err != nil {
		return nil, err
	}
	if l.ctx.Err() != nil { // closed meanwhile: shut may not have seen it
		c.abort()
		return nil, ErrClosed
	}
	return c, nil
}

// RaftLayer carries Raft. Closing it closes Raft's connections, too.
type RaftLayer struct{ *layer }

var _ raft.StreamLayer = (*RaftLayer)(nil)

// Accept waits for a connection from a member.
func (l *RaftLayer) Accept() (net.Conn, error) {
	c, err := l.accept(context.Background())
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Dial connects to the member that advertises an address, and to no other (Config.NameOf). The timeout bounds TCP
// connect and TLS handshake together.
func (l *RaftLayer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	if timeout <= 0 {
		timeout = l.t.cfg.HandshakeTimeout
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	var name string
	if l.t.cfg.NameOf != nil {
		if known, ok := l.t.cfg.NameOf(string(address)); ok {
			name = known
		}
	}
	c, err := l.dial(ctx, string(address), name)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Close ends Accept and closes all Raft connections.
func (l *RaftLayer) Close() error {
	l.shut()
	return nil
}

// Addr returns the advertised address.
func (l *RaftLayer) Addr() net.Addr { return l.advertise }

// LinkLayer carries streams between relays.
type LinkLayer struct{ *layer }

// Accept waits for a connection and returns the member's name with it.
func (l *LinkLayer) Accept(ctx context.Context) (net.Conn, string, error) {
	c, err := l.accept(ctx)
	if err != nil {
		return nil, "", err
	}
	return c, c.peer, nil
}

// Dial connects to a member by address and name, and to no other member.
func (l *LinkLayer) Dial(ctx context.Context, address, name string) (net.Conn, error) {
	c, err := l.dial(ctx, address, name)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Close ends Accept and closes all link connections.
func (l *LinkLayer) Close() error {
	l.shut()
	return nil
}

// Addr returns the advertised address.
func (l *LinkLayer) Addr() net.Addr { return l.advertise }

// address is an advertised address: it need not be an IP.
type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

func advertised(configured string, bound net.Addr) (net.Addr, error) {
	if configured != "" {
		if host, _, err := net.SplitHostPort(configured); err != nil {
			return nil, fmt.Errorf("advertise address: %w", err)
		} else if wildcard(host) {
			return nil, fmt.Errorf("advertise address %s: members cannot dial a wildcard", configured)
		}
		return address(configured), nil
	}
	if host, _, err := net.SplitHostPort(bound.String()); err == nil && wildcard(host) {
		return nil, fmt.Errorf("listening on %s: set cluster.advertise to the address other members dial", bound)
	}
	return address(bound.String()), nil
}

func wildcard(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.IsUnspecified()
}
