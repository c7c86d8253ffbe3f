package downstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/thinrelay/thinrelay/relay/conn"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// host looks after one connection from its first byte to its end.
func (l *listener) host(ctx context.Context, g *guest) {
	defer l.lobby.leave(g)
	late := time.AfterFunc(l.config.HandshakeTimeout, func() { g.conn.Close(ErrNoHandshake) })
	defer late.Stop()
	var r *Replica
	err := g.conn.Serve(ctx, func(f *wire.Frame) (err error) {
		if f.Type() == wire.TypeGoAway {
			defer f.Release()
			return goAway(f)
		}
		if r != nil {
			l.sink.ReplicaFrame(r, f)
			return nil
		}
		defer f.Release()
		r, err = l.greet(ctx, g, f, late)
		return err
	})
	if r == nil {
		if ctx.Err() == nil {
			l.refused(g, err)
		}
		return
	}
	r.endSync(err)
	l.journal.note(kind{level: hclog.Info, text: "replica disconnected"}, passageLines,
		"agent", r.agent, "addr", r.addr, "reason", reason(err), "error", err, "after", time.Since(r.since).Round(time.Millisecond))
	l.sink.ReplicaDown(r, err)
	l.roster.leave(r)
}

// greet checks the first frame, answers it, and introduces the replica to the sink. With an error there was no replica, nor with
// neither: a relay is told what is wrong, which a nodeos is not, so that its own log and status say so.
func (l *listener) greet(ctx context.Context, g *guest, f *wire.Frame, late *time.Timer) (*Replica, error) {
	h, err := l.config.check(f)
	if errors.Is(err, ErrRelay) {
		l.refused(g, err)
		bye := wire.Encode(&wire.GoAway{Reason: wire.GoAwaySelf})
		defer bye.Release()
		g.conn.Send(conn.Control, bye)
		return nil, nil // it hangs up when it has read that; else its time ends
	}
	if err != nil {
		return nil, err
	}
	if !l.lobby.settle(g) {
		return nil, ErrCrowded
	}
	late.Stop()
	r := newReplica(ctx, &l.config, g.conn, g.addr, g.serial, h)
	echo, err := l.config.sign(&r.said)
	if err != nil {
		r.end(err)
		return nil, err
	}
	defer echo.Release()
	if err := l.roster.enter(r); err != nil {
		r.end(err)
		return nil, err
	}
	g.conn.Send(conn.Control, echo) // an empty queue takes it, a closed one ends this connection anyway
	g.conn.Start()
	l.journal.note(kind{level: hclog.Info, text: "replica connected"}, passageLines,
		"agent", r.agent, "addr", r.addr, "node_id", r.NodeID().String()[:7], "version", r.Version(),
		"head", h.HeadNum, "root", h.RootNum)
	l.sink.ReplicaUp(r)
	return r, nil
}

// goAway is the end of a connection whose peer said so.
func goAway(f *wire.Frame) error {
	m, err := wire.ParseGoAway(f.Body())
	if err != nil {
		return fmt.Errorf("%w: %w", conn.ErrProtocol, err)
	}
	return fmt.Errorf("%w: %s", ErrGoAway, m.Reason)
}
