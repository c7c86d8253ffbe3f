package downstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/thinrelay/thinrelay/relay/conn"
	"github.com/thinrelay/thinrelay/relay/wire"
)

const (
	acceptPauseMin = 5 * time.Millisecond
	acceptPauseMax = time.Second
)

// Sink is told what replicas do. The calls for one replica come from one goroutine: ReplicaUp, then its frames, then
// ReplicaDown with the cause. Different replicas call at the same time. A call may block: then nothing is read from
// that replica, and only from that one.
type Sink interface {
	ReplicaUp(*Replica)
	ReplicaDown(*Replica, error)
	// ReplicaFrame gets the frame's reference. All message types come but time and go_away, unknown ones included.
	ReplicaFrame(*Replica, *wire.Frame)
}

// listener is one Serve.
type listener struct {
	config  Config
	sink    Sink
	journal *journal
	lobby   *lobby
	roster  roster
	serial  uint64
	guests  sync.WaitGroup
}

// Serve accepts replicas until ctx ends, which is not an error, or ln fails for good. It closes ln and every connection
// and waits for all of them before it returns.
func Serve(ctx context.Context, ln net.Listener, config Config, sink Sink) error {
	l := &listener{config: config.withDefaults(), sink: sink, roster: roster{byNode: make(map[wire.ID]*Replica)}}
	l.journal = newJournal(l.config.Logger)
	l.lobby = newLobby(&l.config)

	serving, stop := context.WithCancel(ctx)
	var closed sync.WaitGroup
	closed.Go(func() {
		turn := time.NewTicker(journalWindow)
		defer turn.Stop()
		for {
			select {
			case <-turn.C:
				l.journal.turn()
			case <-serving.Done():
				_ = ln.Close() // that is all that can be done about it
				return
			}
		}
	})
	err := l.accept(serving, ln)
	stop()
	closed.Wait()
	l.guests.Wait()
	l.journal.turn()
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("accept replicas: %w", err)
}

// accept takes connections until ln is closed.
func (l *listener) accept(ctx context.Context, ln net.Listener) error {
	var pause time.Duration
	for {
		nc, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return err
			}
			// Out of descriptors or memory, or a peer that vanished: pending connections end in seconds, so go on.
			pause = min(max(2*pause, acceptPauseMin), acceptPauseMax)
			l.journal.note(kind{level: hclog.Error, text: "accept replica"}, refusalLines, "error", err, "pause", pause)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
			continue
		}
		pause = 0
		l.admit(ctx, nc)
	}
}

// admit decides about a connection by its address alone, and starts it.
func (l *listener) admit(ctx context.Context, nc net.Conn) {
	g := &guest{addr: conn.AddrPort(nc.RemoteAddr())}
	if !l.config.allowed(g.addr.Addr()) {
		_ = nc.Close() // nothing was sent, nothing is lost
		l.refused(g, ErrNotAllowed)
		return
	}
	l.serial++
	g.serial = l.serial
	g.conn = conn.New(nc, l.config.Conn)
	evicted, err := l.lobby.enter(g)
	if err != nil {
		g.conn.Close(err)
		l.refused(g, err)
		return
	}
	if evicted != nil {
		evicted.conn.Close(ErrCrowded)
	}
	l.guests.Go(func() { l.host(ctx, g) })
}

// refused logs a connection that never became a replica.
func (l *listener) refused(g *guest, err error) {
	level := hclog.Warn
	if errors.Is(err, conn.ErrPeerClosed) {
		level = hclog.Debug // a port check, or a nodeos that stopped
	}
	l.journal.note(kind{level, "replica refused", reason(err)}, refusalLines, "addr", g.addr, "error", err)
}
