package downstream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/thinrelay/thinrelay/relay/conn"
	"github.com/thinrelay/thinrelay/relay/wire"
)

const (
	syncPauseMin = 50 * time.Millisecond
	syncPauseMax = time.Second
)

// maxRuns is how many requests of a replica, all but one taken back, may not have ended yet. No nodeos has so many: what it
// asks for beyond is forgotten, and each would be a goroutine.
const maxRuns = 8

// Fetcher gets old blocks from where they are.
type Fetcher interface {
	// Fetch calls deliver with the blocks start to end, ascending and without a hole, from one source, and returns nil
	// after the last, the error of deliver, or why the source failed; the next call will choose another source. deliver
	// does not keep the caller's reference, and blocks while the replica is slow.
	Fetch(ctx context.Context, start, end uint32, deliver func(*wire.Frame) error) error
}

// syncs is the sync request a replica has open: at most one, as in nodeos.
type syncs struct {
	mu   sync.Mutex
	open *syncRun      // the request being served, nil for none
	last chan struct{} // closed when the newest run has ended
	busy int           // runs that have not ended
	over bool          // the connection has ended
	runs sync.WaitGroup

	served atomic.Uint32 // the last block given to the connection
}

type syncRun struct {
	end    uint64
	cancel context.CancelCauseFunc
}

// Sync serves a sync_request of the replica with the range start to end, both included, and returns at once: the blocks
// go out on the sync lane as fast as the replica takes them, in a goroutine that ends with the last of them, with ctx,
// or with the connection. As in nodeos, a request while one is open only raises its end, and an end of 0 takes the
// request back, queued blocks included (net_plugin.cpp:3654-3676). When a source fails the rest is asked of the next one;
// without any block for SyncPatience the request is forgotten: the replica asks again (p2p notes, 4.1).
func (r *Replica) Sync(ctx context.Context, from Fetcher, start, end uint32) {
	s := &r.sync
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.over:
		return
	case end == 0:
		if s.open != nil {
			s.open.cancel(ErrCancelled)
			s.open = nil
		}
		r.conn.DropSync()
		return
	case s.open != nil:
		s.open.end = max(s.open.end, uint64(end))
		return
	case start > end, s.busy >= maxRuns:
		return
	}
	ctx, cancel := context.WithCancelCause(ctx)
	run := &syncRun{end: uint64(end), cancel: cancel}
	previous, ended := s.last, make(chan struct{})
	s.open, s.last = run, ended
	s.busy++
	s.runs.Go(func() {
		defer s.end(ended)
		defer cancel(nil)
		defer context.AfterFunc(r.live, func() { cancel(context.Cause(r.live)) })()
		if previous != nil {
			<-previous // cancelled: its blocks must not mix with ours
		}
		r.serveSync(ctx, run, from, uint64(max(start, 1)))
	})
}

// Served returns the number of the last block that a sync request was answered with, 0 for none, and whether a request is
// being served.
func (r *Replica) Served() (last uint32, open bool) {
	r.sync.mu.Lock()
	defer r.sync.mu.Unlock()
	return r.sync.served.Load(), r.sync.open != nil
}

// serveSync streams from next to the end of the run, which may move meanwhile.
func (r *Replica) serveSync(ctx context.Context, run *syncRun, from Fetcher, next uint64) {
	defer func() {
		r.closeRun(run)
		if errors.Is(context.Cause(ctx), ErrCancelled) {
			r.conn.DropSync() // what was sent while the request was being taken back
		}
	}()
	deliver := func(f *wire.Frame) error {
		if err := isNext(f, next); err != nil {
			return err
		}
		if err := r.conn.SendWait(ctx, conn.Sync, f); err != nil {
			return err
		}
		r.sync.served.Store(uint32(next))
		next++
		return nil
	}
	pause, giveUp := syncPauseMin, time.Now().Add(r.config.SyncPatience)
	for {
		end, more := r.rest(run, next)
		if !more {
			return
		}
		before := next
		err := from.Fetch(ctx, uint32(next), uint32(end), deliver)
		switch {
		case ctx.Err() != nil:
			return
		case next > end:
			continue
		case next > before:
			pause, giveUp = syncPauseMin, time.Now().Add(r.config.SyncPatience)
		case time.Now().After(giveUp):
			r.config.Logger.Warn("sync for replica given up", "agent", r.agent, "addr", r.addr, "block", next, "end", end, "error", err)
			return
		}
		wait := time.NewTimer(pause)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return
		}
		pause = min(2*pause, syncPauseMax)
	}
}

// rest returns the end of the run, or that all of it is done, in which case the next request begins a new one.
func (r *Replica) rest(run *syncRun, next uint64) (end uint64, more bool) {
	r.sync.mu.Lock()
	defer r.sync.mu.Unlock()
	if next <= run.end {
		return run.end, true
	}
	if r.sync.open == run {
		r.sync.open = nil
	}
	return run.end, false
}

func (r *Replica) closeRun(run *syncRun) {
	r.sync.mu.Lock()
	defer r.sync.mu.Unlock()
	if r.sync.open == run {
		r.sync.open = nil
	}
}

// end notes that the run which closes ended has ended.
func (s *syncs) end(ended chan struct{}) {
	s.mu.Lock()
	s.busy--
	s.mu.Unlock()
	close(ended)
}

// endSync stops what the connection's end leaves behind, and waits for it.
func (r *Replica) endSync(cause error) {
	r.sync.mu.Lock()
	r.sync.over = true
	r.sync.mu.Unlock()
	r.end(cause)
	r.sync.runs.Wait()
}

// isNext checks what a Fetcher promises.
func isNext(f *wire.Frame, want uint64) error {
	if f.Type() != wire.TypeBlock {
		return fmt.Errorf("%w: %s instead of block %d", ErrGap, f.Type(), want)
	}
	b, err := wire.ParseBlock(f.Body())
	if err != nil {
		return fmt.Errorf("%w: block %d: %w", ErrGap, want, err)
	}
	if uint64(b.Num()) != want {
		return fmt.Errorf("%w: block %d instead of %d", ErrGap, b.Num(), want)
	}
	return nil
}
