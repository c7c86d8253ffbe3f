package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/thinrelay/thinrelay/cluster/internal/crowd"
	"github.com/thinrelay/thinrelay/cluster/internal/quiet"
)

// ErrClosed is returned by dials after Close. It wraps net.ErrClosed.
var ErrClosed = fmt.Errorf("the cluster transport is closed: %w", net.ErrClosed)

// Config says who we are and who may connect.
type Config struct {
	// Node is our own member name. Our certificate must carry it.
	Node string

	// Listen is the "host:port" to listen on. It is not used when Listener is set.
	Listen string

	// Advertise is the "host:port" other members dial: the address of the Raft layer. Empty: the listener's address,
	// which must then not be a wildcard.
	Advertise string

	// CA, Cert and Key are PEM files: the CA (or several, while one is replaced), our certificate with its chain, and
	// its key.
	CA, Cert, Key string

	// Allowed reports whether a name belongs to a member. It is asked at every handshake, from many goroutines, and must
	// not block. Nil allows every member certificate of our CA.
	Allowed func(name string) bool

	// NameOf finds the member that advertises an address, so that a dial by address (all Raft has) is pinned to that
	// member. When it is nil or does not know the address, any allowed member but ourselves may answer there.
	NameOf func(address string) (name string, ok bool)

	// Listener is used instead of Listen, for tests. Close closes it.
	Listener net.Listener

	// Dial is used instead of TCP, for tests.
	Dial func(ctx context.Context, address string) (net.Conn, error)

	// HandshakeTimeout bounds the TLS handshake of an accepted connection, and a Raft dial without a timeout of its own.
	// Zero: 5 s.
	HandshakeTimeout time.Duration

	// MaxHandshakes bounds the connections that have not proved who they are. Beyond it the oldest one of the source
	// with the most is closed, so a flood displaces itself and not a member. Zero: 64.
	MaxHandshakes int

	// Logger receives one line per event an operator can act on. Nil: none.
	Logger hclog.Logger
}

func (c Config) withDefaults() Config {
	if c.HandshakeTimeout <= 0 {
		c.HandshakeTimeout = defaultHandshakeTimeout
	}
	if c.MaxHandshakes <= 0 {
		c.MaxHandshakes = defaultMaxHandshakes
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	if c.Dial == nil {
		c.Dial = dialTCP
	}
	if c.Allowed == nil {
		c.Allowed = func(string) bool { return true }
	}
	return c
}

// Transport is the port. Close ends everything it has started.
type Transport struct {
	cfg   Config
	log   hclog.Logger
	quiet *quiet.Limiter
	creds *credentials
	base  net.Listener
	raft  *RaftLayer
	link  *LinkLayer

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	pending *crowd.Crowd // accepted connections that have not proved who they are

	mu      sync.Mutex
	closed  bool
	conns   map[*Conn]struct{}
	refused map[string]uint64
}

// Open reads the certificates, listens and starts to accept. The caller closes the Transport.
func Open(cfg Config) (*Transport, error) {
	cfg = cfg.withDefaults()
	creds, err := openCredentials(cfg)
	if err != nil {
		return nil, err
	}
	base := cfg.Listener
	if base == nil {
		if base, err = listenTCP(cfg.Listen); err != nil {
			return nil, fmt.Errorf("listen for members on %s: %w", cfg.Listen, err)
		}
	}
	advertise, err := advertised(cfg.Advertise, base.Addr())
	if err != nil {
		return nil, errors.Join(err, base.Close())
	}
	t := &Transport{
		cfg:     cfg,
		log:     cfg.Logger,
		quiet:   quiet.New(logInterval),
		creds:   creds,
		base:    base,
		pending: crowd.New(cfg.MaxHandshakes),
		conns:   make(map[*Conn]struct{}),
		refused: make(map[string]uint64),
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.raft = &RaftLayer{layer: newLayer(t, ProtoRaft, advertise)}
	t.link = &LinkLayer{layer: newLayer(t, ProtoLink, advertise)}
	t.wg.Go(t.accept)
	t.wg.Go(t.watch)
	return t, nil
}

// Raft returns the layer for raft.NetworkTransport. There is one; it cannot be opened again after its Close.
func (t *Transport) Raft() *RaftLayer { return t.raft }

// Link returns the layer for relay-to-relay streams. There is one; it cannot be opened again after its Close.
func (t *Transport) Link() *LinkLayer { return t.link }

// Addr returns the address it listens on.
func (t *Transport) Addr() net.Addr { return t.base.Addr() }

// Certificate describes the certificate in use, for status and for a warning before it ends.
func (t *Transport) Certificate() Certificate { return t.creds.current().info }

// Refused returns how many connections were refused since the start, by reason.
func (t *Transport) Refused() map[string]uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make(map[string]uint64, len(t.refused))
	for reason, n := range t.refused {
		out[reason] = n
	}
	return out
}

// recheck closes connections that would not be made now: of those whom Allowed no longer accepts, and those made with the
// certificate of a CA that is trusted no more. One that has ended meanwhile closes none.
func (t *Transport) recheck() {
	roots := t.creds.current().roots
	for _, c := range t.open() {
		if err := t.recognize(c, roots); err != nil {
			t.log.Warn("connection of a member closed", "peer", c.peer, "error", err)
			c.abort()
		}
	}
}

func (t *Transport) recognize(c *Conn, roots *x509.CertPool) error {
	if !t.cfg.Allowed(c.peer) {
		return fmt.Errorf("%w: %q", ErrNotMember, c.peer)
	}
	_, err := verify(c.ConnectionState().PeerCertificates, roots, c.began)
	return err
}

// watch looks at the certificate files now and then, whether anybody connects or not, and at the connections that are open.
func (t *Transport) watch() {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			t.creds.refresh()
			t.recheck()
		case <-t.ctx.Done():
			return
		}
	}
}

// Close stops listening, closes every connection at once, and waits for what it has started.
func (t *Transport) Close() error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil
	}
	t.closed = true
	t.mu.Unlock()
	t.cancel()
	err := t.base.Close()
	t.raft.shut()
	t.link.shut()
	t.wg.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (t *Transport) open() []*Conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]*Conn, 0, len(t.conns))
	for c := range t.conns {
		out = append(out, c)
	}
	return out
}

// dial connects to a member. want is its name, or empty when only the address is known.
func (t *Transport) dial(ctx context.Context, address, want, proto string) (*Conn, error) {
	raw, err := t.cfg.Dial(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("dial member %s: %w", member(want, address), err)
	}
	socket := &socket{Conn: raw}
	var peer string
	creds := t.creds.refresh()
	config := creds.client.Clone()
	config.NextProtos = []string{proto}
	config.VerifyConnection = func(state tls.ConnectionState) error {
		var err error
		peer, err = t.identify(state, creds.roots, want)
		return err
	}
	conn := tls.Client(socket, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, fmt.Errorf("dial member %s: %w", member(want, address), err)
	}
	return t.adopt(conn, socket, peer, proto)
}

func member(name, address string) string {
	if name == "" {
		return address
	}
	return name + " at " + address
}

// adopt takes charge of an authenticated connection.
func (t *Transport) adopt(conn *tls.Conn, s *socket, peer, proto string) (*Conn, error) {
	c := &Conn{Conn: conn, socket: s, t: t, peer: peer, proto: proto, began: time.Now()}
	t.mu.Lock()
	closed := t.closed
	if !closed {
		t.conns[c] = struct{}{}
	}
	t.mu.Unlock()
	if closed {
		s.Close()
		return nil, ErrClosed
	}
	return c, nil
}

func (t *Transport) forget(c *Conn) {
	t.mu.Lock()
	delete(t.conns, c)
	t.mu.Unlock()
}
