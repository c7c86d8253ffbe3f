package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"github.com/thinrelay/thinrelay/cluster/internal/crowd"
)

func (t *Transport) accept() {
	const firstPause, lastPause = 5 * time.Millisecond, time.Second
	pause := firstPause
	for {
		conn, err := t.base.Accept()
		if err == nil {
			pause = firstPause
			guest, _ := t.pending.Enter(conn)
			t.wg.Go(func() { t.receive(conn, guest) })
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

// receive runs the server's side of a handshake and hands the connection to its layer.
func (t *Transport) receive(raw net.Conn, guest *crowd.Guest) {
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
	s := &socket{Conn: raw}
	conn := tls.Server(s, config)
	err := conn.HandshakeContext(ctx)
	if displaced := t.pending.Leave(guest); displaced {
		err = errEvicted
	}
	from := source(raw.RemoteAddr())
	if err != nil {
		raw.Close()
		t.refuse(from, conn.ConnectionState(), err)
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
		t.refuse(from, conn.ConnectionState(), errNotServed)
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
