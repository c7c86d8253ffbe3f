package upstream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/thinrelay/thinrelay/relay/conn"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// syncConn is a second connection to a peer, for block fetches alone. It claims to know nothing and never echoes, so the
// peer takes it for a node that is syncing and sends nothing live on it (net_plugin.cpp:1382-1384). Blocks are handed
// on from its reader, so that a slow caller stops the reading, and TCP the peer. It serves one fetch after the other
// and ends when it has been idle for a while.
type syncConn struct {
	config *Config
	ready  chan struct{} // closed when the peer's handshake is accepted
	done   chan struct{} // closed when it has ended
	err    error         // why; read after done

	close   context.CancelCauseFunc
	conn    *conn.Conn  // set before ready
	greeted bool        // the reader's
	idle    *time.Timer // closes it when the handshake does not come, and later when nobody fetches

	mu     sync.Mutex
	height uint32
	job    *syncJob
}

// syncJob is one sync_request under way. The reader owns it while it is installed.
type syncJob struct {
	q        *sequence
	end      uint32
	deliver  Deliver
	stall    *time.Timer
	finished chan struct{}
}

// viaSync fetches over the target's sync connection, which is opened if there is none. The caller holds the target.
func (t *target) viaSync(ctx context.Context, p *Peer, q *sequence, deliver Deliver) error {
	for {
		from, used := q.next, t.sync != nil && !t.sync.ended()
		if !used {
			sc, err := t.dialer.openSync(t)
			if err != nil {
				return err
			}
			t.sync = sc
		}
		err := t.sync.fetch(ctx, p, q, deliver)
		if err == nil {
			return nil
		}
		t.sync.close(err)
		<-t.sync.done
		t.sync = nil
		// A connection kept from an earlier fetch may have ended just now; that says nothing of the peer.
		if gone := errors.Is(err, errIdle) || errors.Is(err, conn.ErrPeerClosed); !used || !gone || q.next > from {
			return err
		}
	}
}

// openSync starts a sync connection, which lives until it is closed or Run ends.
func (d *Dialer) openSync(t *target) (*syncConn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	ctx := d.running
	if ctx == nil {
		return nil, ErrNoSource
	}
	s := &syncConn{config: &d.config, ready: make(chan struct{}), done: make(chan struct{})}
	ctx, s.close = context.WithCancelCause(ctx)
	s.idle = time.AfterFunc(d.config.StallTimeout, s.expire)
	d.syncs.Go(func() {
		s.err = s.run(ctx, t.addr)
		s.idle.Stop()
		s.close(s.err)
		close(s.done)
	})
	return s, nil
}

// expire ends a connection that has waited too long, for the peer's handshake or for a fetch.
func (s *syncConn) expire() {
	select {
	case <-s.ready:
		s.close(errIdle)
	default:
		s.close(ErrHandshakeTimeout)
	}
}

// run dials, greets and reads.
func (s *syncConn) run(ctx context.Context, addr string) error {
	c, err := s.config.connect(ctx, addr, s.config.Conn, s.config.DialTimeout)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return err
	}
	s.conn = c
	voice := newVoice(s.config, c)
	if _, err := voice.open(view{}); err != nil {
		c.Close(err)
	}
	err = c.Serve(ctx, func(f *wire.Frame) error { return s.handle(voice, f) })
	if !s.greeted {
		return closedEarly(c, err)
	}
	return err
}

// handle takes one frame and its reference.
func (s *syncConn) handle(voice *voice, f *wire.Frame) error {
	defer f.Release()
	switch t := f.Type(); {
	case t == wire.TypeGoAway:
		return goAway(f.Body())
	case t == wire.TypeHandshake && !s.greeted:
		g, err := voice.greet(f.Body())
		if err != nil {
			return err
		}
		s.greeted = true
		s.rise(g.told.head.Num())
		s.idle.Reset(s.config.SyncIdle)
		close(s.ready)
	case t == wire.TypeHandshake:
		if h, err := wire.ParseHandshake(f.Body()); err == nil {
			s.rise(h.HeadNum)
		}
	case t == wire.TypeBlock:
		return s.block(f)
	}
	return nil // live traffic of a peer that does not take us for syncing
}

// block hands the next block of the job on. Others are live ones, or left over from a job before.
func (s *syncConn) block(f *wire.Frame) error {
	s.mu.Lock()
	job := s.job
	s.mu.Unlock()
	if job == nil || blockNum(f.Body()) != job.q.next {
		return nil
	}
	job.stall.Stop()
	id, err := job.q.follows(f.Body())
	if err != nil {
		return err
	}
	if err := job.deliver(f); err != nil {
		return deliverError{err}
	}
	job.q.advance(id)
	if job.q.next > job.end {
		s.mu.Lock()
		s.job = nil
		s.mu.Unlock()
		close(job.finished)
		return nil
	}
	job.stall.Reset(s.config.StallTimeout)
	return nil
}

// fetch runs q chunk by chunk, up to what the peer has. A new chunk is asked for when the last is complete: before Leap a
// second request restarted the first (p2p notes, 4.2). It returns nil when all the peer has is delivered.
func (s *syncConn) fetch(ctx context.Context, p *Peer, q *sequence, deliver Deliver) error {
	select {
	case <-s.ready:
	case <-s.done:
		return s.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if !s.idle.Stop() {
		return errIdle // it ends just now; asked again, the target opens another one
	}
	for {
		s.rise(p.Height())
		s.mu.Lock()
		end := min(q.end, s.height, q.next+s.config.SyncChunk-1)
		s.mu.Unlock()
		if q.next > end {
			break
		}
		if err := s.chunk(ctx, q, end, deliver); err != nil {
			return err
		}
	}
	s.idle.Reset(s.config.SyncIdle)
	return nil
}

// chunk runs one sync_request. On return the job is no longer the reader's.
func (s *syncConn) chunk(ctx context.Context, q *sequence, end uint32, deliver Deliver) error {
	job := &syncJob{q: q, end: end, deliver: deliver, finished: make(chan struct{})}
	next := q.next
	job.stall = time.AfterFunc(s.config.StallTimeout, func() { s.close(fmt.Errorf("%w: nothing for %s", ErrStalled, s.config.StallTimeout)) })
	defer job.stall.Stop()
	s.mu.Lock()
	s.job = job
	s.mu.Unlock()
	f := wire.Encode(&wire.SyncRequest{Start: next, End: end})
	defer f.Release()
	if !s.conn.Send(conn.Control, f) {
		s.close(ErrSlow)
	}
	select {
	case <-job.finished:
		return nil
	case <-s.done:
		return s.err
	case <-ctx.Done():
		s.close(context.Cause(ctx))
		<-s.done
		return context.Cause(ctx)
	}
}

func (s *syncConn) rise(height uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.height = max(s.height, height)
}

func (s *syncConn) ended() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}
