// Package link carries streams of opaque bytes between relays: the feed, one from each follower to the current leader,
// and short-lived sync streams beside it.
//
// Run guarantees that a relay has at most one feed at any time, that it goes to the leader its target function names,
// and that the old one is over before a new one begins. Serve guarantees at most one feed per member: a newer one ends
// the older. Names come from the listener, which authenticates them.
//
// It never looks into a stream, never buffers, and never decides who leads. A stream that stalls without an error is for
// the bytes' owner to notice; the transport only finds peers that are gone.
package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/thinrelay/thinrelay/cluster/internal/quiet"
)

var (
	// ErrLeaderChanged is the cause of a feed's context when another relay leads now.
	ErrLeaderChanged = errors.New("the leader changed")

	// ErrReplaced is the cause of a served feed's context when the same member has opened a newer one.
	ErrReplaced = errors.New("the member opened a newer feed")
)

// Dialer connects to a member by address and name. transport.LinkLayer is one.
type Dialer interface {
	Dial(ctx context.Context, address, name string) (net.Conn, error)
}

// Listener accepts connections from members and says who they are. transport.LinkLayer is one.
type Listener interface {
	Accept(ctx context.Context) (conn net.Conn, name string, err error)
}

// Config holds what Run, Open and Serve need. Zero durations and numbers get defaults.
type Config struct {
	Dialer   Dialer       // for Run and Open
	Listener Listener     // for Serve
	Logger   hclog.Logger // nil: none

	// DialTimeout bounds connect and TLS handshake. Default 3 s.
	DialTimeout time.Duration

	// HelloTimeout bounds the hello, on both sides. Default 5 s.
	HelloTimeout time.Duration

	// MinBackoff and MaxBackoff bound the pause before the same leader is dialled again; it doubles and is jittered by
	// half. A change of leader is followed at once. Default 50 ms and 1 s.
	MinBackoff, MaxBackoff time.Duration

	// Gone, if not nil, is told by Run that the leader's process has ended, as far as can be seen from here: its feed ended by
	// itself, and at once no new stream could be opened. It must not block.
	Gone func(name string)

	// MaxStreams bounds the streams of one purpose that one member may have open here: its replicas' fetches leave room for an
	// operator's call. Its feed is taken in any case, and ends the one before. Default 16.
	MaxStreams int
}

const (
	steadyAfter = 5 * time.Second // a feed that has lived so long begins its next back-off anew
	lookAgain   = time.Second     // target is asked this often even when nobody says that it changed
	logInterval = time.Minute
)

// Link dials and serves streams.
type Link struct {
	cfg   Config
	log   hclog.Logger
	quiet *quiet.Limiter
}

// New returns a Link. It starts nothing.
func New(cfg Config) *Link {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&cfg.DialTimeout, 3*time.Second)
	def(&cfg.HelloTimeout, 5*time.Second)
	def(&cfg.MinBackoff, 50*time.Millisecond)
	def(&cfg.MaxBackoff, time.Second)
	if cfg.MaxStreams <= 0 {
		cfg.MaxStreams = 16
	}
	if cfg.Logger == nil {
		cfg.Logger = hclog.NewNullLogger()
	}
	return &Link{cfg: cfg, log: cfg.Logger, quiet: quiet.New(logInterval)}
}

// Open opens a stream to a member. The stream may be written to at once; the first Read also reads the member's answer,
// and returns a *RefusedError if that is no, or ErrNoAnswer if none comes within HelloTimeout.
func (l *Link) Open(ctx context.Context, name, address string, purpose Purpose) (net.Conn, error) {
	dialCtx, cancel := context.WithTimeout(ctx, l.cfg.DialTimeout)
	defer cancel()
	conn, err := l.cfg.Dialer.Dial(dialCtx, address, name)
	if err != nil {
		return nil, err
	}
	hello := appendHello(nil, purpose)
	err = conn.SetWriteDeadline(time.Now().Add(l.cfg.HelloTimeout))
	if err == nil {
		_, err = conn.Write(hello)
	}
	if err == nil {
		err = conn.SetWriteDeadline(time.Time{})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s stream to %s: %w", purpose, name, err), conn.Close())
	}
	return &opened{Conn: conn, name: name, timeout: l.cfg.HelloTimeout}, nil
}

// closeWith closes a connection when a context ends. The returned function undoes that, and waits for a close that has
// begun.
func closeWith(ctx context.Context, conn net.Conn) (release func()) {
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(closed)
		_ = conn.Close()
	})
	return func() {
		if !stop() {
			<-closed
		}
	}
}
