package conn

import (
	"context"
	"errors"
	"sync"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// errEnded stands for the connection's cause.
var errEnded = errors.New("connection ended")

const (
	batchFrames = 64        // frames in one writev; the kernel's limit is 1024
	batchBytes  = 256 << 10 // live bytes in one batch
	yieldBytes  = 64 << 10  // sync or bulk bytes in one batch: what a live frame may have to wait for
)

// queue is the three lanes of a connection. Its lock is held for a few instructions only, never over I/O or a callback.
// It owns one reference to every frame in it.
type queue struct {
	mu      sync.Mutex
	live    ring
	sync    ring
	bulk    ring
	closed  bool
	idle    bool // the writer found nothing and waits on wake
	claimed bool // a sender writes in the writer's place
	rest    rest // what that sender left; it goes before everything else
	drained bool // OnDrained is owed once live is empty
	wake    chan struct{}
	refused [Bulk + 1]uint64
}

// rest is a frame of which the first done bytes are written.
type rest struct {
	frame *wire.Frame // nil: none
	done  int
}

func newQueue(c Config) *queue {
	return &queue{
		live: newRing(c.LiveFrames, c.LiveBytes),
		sync: newRing(c.SyncFrames, c.SyncBytes),
		bulk: newRing(c.BulkFrames, c.BulkBytes),
		wake: make(chan struct{}, 1),
	}
}

func (q *queue) ring(l Lane) *ring {
	switch l {
	case Sync:
		return &q.sync
	case Bulk:
		return &q.bulk
	}
	return &q.live
}

// add queues f with a reference of its own, if there is room.
func (q *queue) add(l Lane, f *wire.Frame) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	r := q.ring(l)
	if q.closed || !r.fits(f.Len()) {
		return false
	}
	r.push(f.Retain())
	q.wakeWriter()
	return true
}

// refuse records that a frame found no room, which makes OnDrained due when it was a live one.
func (q *queue) refuse(l Lane) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if l > Bulk {
		l = Control
	}
	q.refused[l]++
	if l <= Blocks && !q.closed {
		q.drained = true
		q.wakeWriter()
	}
}

// wakeWriter ends the writer's sleep; the lock is held.
func (q *queue) wakeWriter() {
	if q.idle {
		q.idle = false
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
}

// wait blocks until add succeeds, ctx ends (its cause is returned) or done is closed (errEnded is returned).
func (q *queue) wait(ctx context.Context, done <-chan struct{}, l Lane, f *wire.Frame) error {
	room := q.ring(l).room
	for waited := false; ; waited = true {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if q.add(l, f) {
			if waited {
				q.pass(l)
			}
			return nil
		}
		select {
		case <-room:
		case <-ctx.Done():
		case <-done:
			return errEnded
		}
	}
}

// pass hands the news of room on to the next waiter.
func (q *queue) pass(l Lane) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if r := q.ring(l); r.n < r.maxN {
		r.signal()
	}
}

// claim gives the caller the writer's place, if the writer sleeps and nothing waits. Until yield the writer takes nothing.
func (q *queue) claim() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || !q.idle {
		return false
	}
	q.idle, q.claimed = false, true
	return true
}

// yield gives the writer's place back, with done bytes of f written; the writer does the rest.
func (q *queue) yield(f *wire.Frame, done int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.claimed, q.idle = false, true
	if done < f.Len() && !q.closed {
		q.rest = rest{f.Retain(), done}
	}
	if q.rest.frame != nil || q.live.n+q.sync.n+q.bulk.n > 0 || q.drained || q.closed {
		q.wakeWriter()
	}
}

// take moves the next batch into the slice: the rest of a frame first, of which done bytes are written, then live frames,
// sync, and bulk. It reports whether OnDrained is due, and then takes nothing. With no frames to take it marks the writer
// idle: the next add will wake it.
func (q *queue) take(batch []*wire.Frame) (_ []*wire.Frame, done int, drained bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.claimed {
		return batch, 0, false // yield will wake the writer
	}
	bytes := 0
	if r := q.rest; r.frame != nil {
		q.rest = rest{}
		batch, bytes, done = append(batch, r.frame), r.frame.Len()-r.done, r.done
	} else if q.live.n == 0 && q.drained {
		q.drained = false
		return batch, 0, true
	}
	for _, step := range [...]struct {
		r     *ring
		limit int
	}{{&q.live, batchBytes}, {&q.sync, yieldBytes}, {&q.bulk, yieldBytes}} {
		took := false
		for step.r.n > 0 && len(batch) < cap(batch) && (len(batch) == 0 || bytes+step.r.next() <= step.limit) {
			bytes += step.r.next()
			batch = append(batch, step.r.pop())
			took = true
		}
		if took {
			step.r.signal()
		}
	}
	q.idle = len(batch) == 0
	return batch, done, false
}

// forget releases what a lane holds; for the live lane OnDrained becomes due.
func (q *queue) forget(l Lane) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	r := q.ring(l)
	n := r.release()
	r.signal()
	if r == &q.live && !q.closed {
		q.drained = true
		q.wakeWriter()
	}
	return n
}

// close releases everything and refuses what comes later.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	if q.rest.frame != nil {
		q.rest.frame.Release()
		q.rest = rest{}
	}
	q.live.release()
	q.sync.release()
	q.bulk.release()
	q.wakeWriter()
}
