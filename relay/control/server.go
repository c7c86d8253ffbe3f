package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Limits of the server. They protect the relay from its readers.
const (
	maxConns       = 256              // open connections; more are closed at once
	maxSubscribers = 64               // event streams
	maxHeaderBytes = 16 << 10         // request headers
	maxBodyBytes   = 4 << 10          // request bodies
	headerTimeout  = 5 * time.Second  // to read the request's head, and again its body
	writeTimeout   = 10 * time.Second // to write an answer, or one event
	idleTimeout    = 2 * time.Minute  // between requests of a connection
	removeTimeout  = 12 * time.Second // for a removal: two changes of the group, and word of them to the member; relayctl waits for 15 s
	statusTimeout  = time.Second      // what a status may take at most
	drainTimeout   = 3 * time.Second  // for requests under way when the server stops
)

// Config is what a [Server] needs.
type Config struct {
	// Node is the relay. Required. If it implements [Membership] too, members
	// can be removed.
	Node Node

	// Metrics is served at /metrics where it is set.
	Metrics *Metrics

	// TokenFile holds the bearer token that allows state changes from other
	// hosts; it is read at each use, so a new token needs no restart. Empty:
	// only loopback and client certificates may change state.
	TokenFile string

	// Logger gets one line per state change and per dropped subscriber.
	Logger hclog.Logger

	// QuietWait bounds the wait for a moment outside our round before a
	// step-down. Default 20 s: two rounds back to back and a margin.
	QuietWait time.Duration
}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	if c.QuietWait == 0 {
		c.QuietWait = 20 * time.Second
	}
	return c
}

// Server serves the control API of one member.
type Server struct {
	cfg     Config
	node    Node
	log     hclog.Logger
	hub     *hub
	access  access
	page    page
	handler http.Handler

	stepping sync.Mutex // one step-down at a time
	streams  atomic.Int32
	conns    atomic.Int32
}

// New returns a server for cfg.Node. It listens to nothing before [Server.Run].
func New(cfg Config) *Server {
	cfg = cfg.withDefaults()
	s := &Server{
		cfg: cfg, node: cfg.Node, log: cfg.Logger,
		hub:    newHub(cfg.Logger),
		access: access{tokenFile: cfg.TokenFile},
		page:   newPage(),
	}
	s.handler = s.routes()
	return s
}

// Handler returns the API as a handler, for tests and for embedding. Its event
// streams are silent unless [Server.Run] runs.
func (s *Server) Handler() http.Handler { return s.handler }

// Run serves on ln until ctx ends, then ends the event streams, gives requests
// under way a few seconds, and returns nil. Where ln is a TLS listener that
// verifies client certificates, such a certificate allows state changes.
func (s *Server) Run(ctx context.Context, ln net.Listener) error {
	// Streams must end before Shutdown waits for them, so requests live on a
	// context of their own.
	streams, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	srv := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          s.log.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
		ConnState:         s.limitConns,
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			return context.WithValue(ctx, streamsKey{}, streams)
		},
	}

	var wg sync.WaitGroup
	defer wg.Wait()
	pump, stopPump := context.WithCancel(ctx)
	defer stopPump()
	wg.Go(func() { s.hub.run(pump, s.node.Events(pump)) })

	served := make(chan error, 1)
	wg.Go(func() { served <- srv.Serve(ln) })

	select {
	case err := <-served:
		return fmt.Errorf("serve control API on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	stop()
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if err := srv.Shutdown(drain); err != nil {
		_ = srv.Close() // whoever is left has had its time
		if !errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("stop control API on %s: %w", ln.Addr(), err)
		}
	}
	return nil
}

// streamsKey finds the context that ends event streams.
type streamsKey struct{}

func (s *Server) limitConns(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if s.conns.Add(1) > maxConns {
			_ = c.Close() // the server notices and reports StateClosed
		}
	case http.StateClosed, http.StateHijacked:
		s.conns.Add(-1)
	}
}

// status asks the node and completes the answer.
func (s *Server) status(ctx context.Context) (Status, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	st, err := s.node.Status(ctx)
	if err != nil {
		return Status{}, err
	}
	if st.Time.IsZero() {
		st.Time = time.Now().UTC()
	}
	if st.Events == nil {
		st.Events = s.hub.recent(recentEvents)
	}
	st.Assess()
	return st, nil
}
