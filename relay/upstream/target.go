package upstream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/thinrelay/thinrelay/relay/conn"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// prunedFor is how long a peer that went away since it had been asked for a block that it does not have, and that does not tell
// which ones it has, is not asked for any below its root. Releases before Leap 5 do not tell (leap v4.0.6, net_plugin.cpp:434-444).
const prunedFor = 10 * time.Minute

// reminder is how often a failure that goes on is logged again.
const reminder = time.Minute

// target is one configured peer: the loop that keeps a live connection to it, and what is known of it for fetches.
type target struct {
	dialer *Dialer
	index  int
	addr   string
	log    hclog.Logger

	mu           sync.Mutex
	status       PeerStatus
	peer         *Peer     // nil while there is no live connection
	busy         bool      // a fetch uses this peer
	prunedUntil  time.Time // it lacks blocks, and does not tell which: count on none below its root
	singleUntil  time.Time // it refused a second connection: fetch over the live one
	lateUntil    time.Time // it failed a fetch: ask others first
	liarUntil    time.Time // it sent blocks that do not follow: ask only when there is nobody else
	doubts       int       // how often a replica did not take its blocks, one time soon after the other
	doubtedUntil time.Time // ask others first, if they serve
	delivered    time.Time // when a fetch last got blocks from it

	sync *syncConn // belongs to the fetch that holds busy
}

// run keeps the peer connected until ctx ends.
func (t *target) run(ctx context.Context, sink Sink) {
	defer t.enter(Stopped)
	var b backoff
	var said struct {
		cause string
		at    time.Time
	}
	for {
		held, err := t.connect(ctx, sink)
		if ctx.Err() != nil {
			return
		}
		c := causeOf(err)
		wait := b.next(c, held)
		t.failed(err, c, wait)

		level := hclog.Warn
		switch now := time.Now(); {
		case c.alarm:
			level = hclog.Error
		case c.name == said.cause && now.Sub(said.at) < reminder && b.tries > 1:
			level = hclog.Debug
		}
		if level != hclog.Debug {
			said.cause, said.at = c.name, time.Now()
		}
		args := []any{"error", err, "cause", c.name, "attempt", b.tries, "retry_in", wait.Round(time.Millisecond)}
		if c.hint != "" {
			args = append(args, "hint", c.hint)
		}
		msg := "upstream lost"
		if held == 0 {
			msg = "upstream not reached"
		}
		t.log.Log(level, msg, args...)
		if !sleep(ctx, wait) {
			return
		}
	}
}

// connect makes one connection and serves it until it ends. It returns for how long the peer was connected, zero when
// its handshake never came, and why the connection ended.
func (t *target) connect(ctx context.Context, sink Sink) (held time.Duration, err error) {
	config := &t.dialer.config
	t.enter(Dialing)
	c, err := config.connect(ctx, t.addr, config.Conn, config.DialTimeout)
	if err != nil {
		return 0, err
	}
	t.enter(Handshaking)

	s := &session{target: t, voice: newVoice(config, c), sink: sink}
	impatience := time.AfterFunc(config.HandshakeTimeout, func() { c.Close(ErrHandshakeTimeout) })
	defer impatience.Stop()
	var since time.Time
	s.ready = func(p *Peer) {
		impatience.Stop()
		since = time.Now()
		t.up(p)
	}
	insist := s.open()
	err = c.Serve(ctx, s.handle)
	insist()
	s.end()
	if s.peer == nil {
		return 0, closedEarly(c, err)
	}
	held = max(time.Since(since), 1)
	close(s.peer.done)
	t.down()
	if errors.Is(err, GoAway{Reason: wire.GoAwayBenign}) && s.peer.Start() == 0 {
		t.mu.Lock()
		t.prunedUntil = time.Now().Add(prunedFor)
		t.mu.Unlock()
	}
	sink.UpstreamDown(s.peer, err)
	return held, err
}

// open says our opening words. The function returned must be called at the end.
func (s *session) open() func() {
	config := s.voice.config
	root, head := config.Hello()
	hello := view{root: root, head: head}.sane()
	asking, err := s.voice.open(hello)
	if err != nil {
		s.voice.conn.Close(err)
	}
	s.asking = asking
	if !asking {
		return func() {}
	}
	timer := time.AfterFunc(config.HandshakeTimeout/2, func() { _ = s.voice.insist(hello) }) // its failure shows as a closed connection
	return func() { timer.Stop() }
}

// pruned is until when the peer is asked for no block below its root if it does not tell which it has.
func (t *target) pruned() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.prunedUntil
}

// up makes the peer available to fetches and to status.
func (t *target) up(p *Peer) {
	config := &t.dialer.config
	if config.Drained != nil {
		p.Conn().SetOnDrained(func() { config.Drained(p) })
	}
	t.mu.Lock()
	t.peer = p
	t.singleUntil = time.Time{} // it may have been told meanwhile to accept more
	t.status.State, t.status.Since, t.status.Alarm = Connected, time.Now(), false
	t.mu.Unlock()
	t.dialer.wake()
	t.log.Info("upstream connected", "head", p.Head().Num(), "id", p.Head().Short(), "root", p.Root().Num(),
		"version", p.Version(), "agent", p.Agent(), "votes", p.Votes(), "transactions", p.Transactions())
}

func (t *target) down() {
	t.mu.Lock()
	t.peer = nil
	t.mu.Unlock()
	t.dialer.wake()
}

// connect dials and wraps the socket.
func (c *Config) connect(ctx context.Context, addr string, template conn.Config, timeout time.Duration) (*conn.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	nc, err := c.Dial(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("dial upstream %s: %w", addr, err)
	}
	template.OnDrained = nil
	return conn.New(nc, template), nil
}

// closedEarly says of a connection closed before the handshake whether the peer did it on sight.
func closedEarly(c *conn.Conn, err error) error {
	if !errors.Is(err, conn.ErrPeerClosed) {
		return err
	}
	if c.Stats().FramesIn > 0 {
		return fmt.Errorf("%w, having said something: %w", ErrClosedEarly, err)
	}
	return fmt.Errorf("%w: %w", ErrClosedEarly, err)
}

// sleep waits; false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
