package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"
)

// handshake is an accepted connection that has not proved who it is.
type handshake struct {
	conn    net.Conn
	source  string
	began   time.Time
	evicted bool // guarded by Transport.mu
}

func (t *Transport) accept() {
	const firstPause, lastPause = 5 * time.Millisecond, time.Second
	pause := firstPause
	for {
		conn, err := t.base.Accept()
		if err == nil {
			pause = firstPause
			if h := t.begin(conn); h != nil {
				t.wg.Go(func() { t.receive(h) })
			}
			continue
		}
		if t.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			return
		}
		if ok, skipped := t.quiet.Allow("accept"); ok { // out of file descriptors, mostly
			t.log.Error("cannot accept members", "error", err, "skipped", skipped)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-t.ctx.Done():
			timer.Stop()
			return
		}
		pause = min(2*pause, lastPause)
	}
}

// begin registers a handshake and makes room for it, by closing the oldest one of the source that has most.
func (t *Transport) begin(conn net.Conn) *handshake {
	h := &handshake{conn: conn, source: source(conn.RemoteAddr()), began: time.Now()}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		conn.Close()
		return nil
	}
	t.pending[h] = struct{}{}
	if len(t.pending) <= t.cfg.MaxHandshakes {
		return h
	}
	count := make(map[string]int)
	var victim *handshake
	for p := range t.pending {
		count[p.source]++
	}
	for p := range t.pending {
		if victim == nil || count[p.source] > count[victim.source] ||
			count[p.source] == count[victim.source] && p.began.Before(victim.began) {
			victim = p
		}
	}
	victim.evicted = true
	delete(t.pending, victim)
	victim.conn.Close()
	return h
}

// receive runs the server's side of a handshake and hands the connection to its layer.
func (t *Transport) receive(h *handshake) {
	ctx, cancel := context.WithTimeout(t.ctx, t.cfg.HandshakeTimeout)
	defer cancel()
	creds := t.creds.refresh()
	var peer string
	config := creds.server.Clone()
	config.VerifyConnection = func(state tls.ConnectionState) error {
		if state.NegotiatedProtocol == "" {
			return ErrNoProtocol
		}
		var err error
		peer, err = t.identify(state, creds.roots, "")
		return err
	}
	s := &socket{Conn: h.conn}
	conn := tls.Server(s, config)
	err := conn.HandshakeContext(ctx)

	t.mu.Lock()
	evicted := h.evicted
	delete(t.pending, h)
	t.mu.Unlock()
	if evicted {
		err = errEvicted
	}
	if err != nil {
		h.conn.Close()
		t.refuse(h.source, conn.ConnectionState(), err)
		return
	}
	c, err := t.adopt(conn, s, peer, conn.ConnectionState().NegotiatedProtocol)
	if err != nil {
		return // closing
	}
	layer := t.raft.layer
	if c.proto == ProtoLink {
		layer = t.link.layer
	}
	if !layer.offer(c) {
		c.abort()
		t.refuse(h.source, conn.ConnectionState(), errNotServed)
	}
}

func source(a net.Addr) string {
	if a == nil {
		return "unknown"
	}
	if host, _, err := net.SplitHostPort(a.String()); err == nil {
		return host
	}
	return a.String()
}
