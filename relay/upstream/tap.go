package upstream

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

const (
	// tapBytes bounds the blocks that wait for a slow caller; two chunks are far below.
	tapBytes = 32 << 20
	// A nodeos sends the blocks of a request before everything else it has for the connection (net_plugin.cpp:641-652),
	// so its live blocks and votes wait for the whole chunk: liveBytes is about what one may be, and firstChunk how many
	// blocks are asked for before their size is known.
	liveBytes, firstChunk = 512 << 10, 4
	// leftover is for how long the rest of an abandoned request is kept away from the sink.
	leftover = 5 * time.Second
)

// tap takes the blocks of a fetch out of a live connection, for peers that accept no second one. The connection's reader
// must not wait for a slow caller, so the blocks queue up in memory and are asked for in small chunks. Blocks above the
// peer's root go to the sink as well: they may be live, or the sink may have asked for them too.
type tap struct {
	used atomic.Bool // false: nothing to look at, without a lock

	mu   sync.Mutex
	job  *tapJob
	late lateRange
}

// tapJob is a fetch over the live connection; fields are guarded by the tap's lock unless said otherwise.
type tapJob struct {
	received sequence // what still has to arrive of the chunk
	root     uint32   // the peer's; blocks above may be live too, and of another branch
	bytes    int
	chunk    uint32        // blocks of the chunk under way, or the last one
	size     int           // and what has come of them, in bytes
	queue    chan tapped   // room for all that can be under way
	arrived  chan struct{} // signals that the queue has something
	failed   chan error    // receives at most once
}

// tapped is a block with its reference, checked.
type tapped struct {
	frame *wire.Frame
	id    wire.ID
}

// lateRange is what an abandoned request may still bring.
type lateRange struct {
	from, to uint32
	until    time.Time
}

// take looks at a block of the connection, from its reader. True: it was for the fetch only, and the sink must not get
// it. The caller keeps its reference either way.
func (t *tap) take(f *wire.Frame, num uint32) bool {
	if !t.used.Load() {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	j := t.job
	if j == nil {
		if time.Now().After(t.late.until) {
			t.used.Store(false)
			return false
		}
		return num >= t.late.from && num <= t.late.to
	}
	if num != j.received.next || num > j.received.end {
		return false // live, or somebody else asked for it
	}
	id, err := j.received.follows(f.Body())
	switch {
	case err != nil && num > j.root:
		return false // live, and of another branch; if the right one does not come either, the fetch stalls
	case err == nil && j.bytes+f.Len() > tapBytes:
		err = fmt.Errorf("%w: over %d bytes in one chunk", ErrStalled, tapBytes)
	}
	if err != nil {
		j.fail(err)
		return true
	}
	select {
	case j.queue <- tapped{f.Retain(), id}:
		j.bytes += f.Len()
		j.size += f.Len()
		j.received.advance(id)
		select {
		case j.arrived <- struct{}{}:
		default:
		}
	default:
		f.Release()
		j.fail(ErrStalled)
	}
	return num <= j.root
}

func (j *tapJob) fail(err error) {
	select {
	case j.failed <- err:
	default:
	}
}

// viaLive fetches over the live connection. It returns nil when all the peer has is delivered.
func (p *Peer) viaLive(ctx context.Context, q *sequence, deliver Deliver) error {
	c := p.voice.config
	chunk := c.LiveChunk
	limit := min(q.end, p.Height())
	j := &tapJob{
		received: sequence{next: q.next, end: q.next - 1, prev: q.prev},
		root:     p.Root().Num(),
		queue:    make(chan tapped, 2*chunk),
		arrived:  make(chan struct{}, 1),
		failed:   make(chan error, 1),
	}
	p.tap.install(j)
	defer p.tap.remove()

	stall := time.NewTimer(c.StallTimeout)
	defer stall.Stop()
	var ended error // of the connection or the request; what arrived before is still good
	again := false
	for q.next <= limit && ctx.Err() == nil {
		if start, end, ok := p.tap.extend(j, chunk, limit); ok && !p.RequestRange(start, end) {
			return ErrSlow
		}
		select {
		case b := <-j.queue:
			if err := p.tap.pass(j, b, deliver); err != nil {
				return err
			}
			q.advance(b.id)
			again = false
			continue
		default:
		}
		if ended != nil {
			return ended
		}
		stall.Reset(c.StallTimeout)
		select {
		case <-j.arrived:
		case ended = <-j.failed:
		case <-p.done:
			ended = p.Conn().Cause()
		case <-stall.C:
			start, end := p.tap.missing(j)
			if again || !p.RequestRange(start, end) {
				return fmt.Errorf("%w: nothing for %s", ErrStalled, c.StallTimeout)
			}
			again = true // something else on this connection may have replaced our request
		case <-ctx.Done():
		}
	}
	return context.Cause(ctx)
}

func (t *tap) install(j *tapJob) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.job = j
	t.used.Store(true)
}

// remove ends the job: what is queued is given back, what is still to come is swallowed for a while.
func (t *tap) remove() {
	t.mu.Lock()
	defer t.mu.Unlock()
	j := t.job
	t.job = nil
	t.late = lateRange{from: j.received.next, to: min(j.received.end, j.root), until: time.Now().Add(leftover)}
	for {
		select {
		case b := <-j.queue:
			b.frame.Release()
		default:
			return
		}
	}
}

// extend opens the next chunk when the last one has arrived and most of it is delivered: of as many blocks, up to chunk,
// as are liveBytes if they are like those of the last one.
func (t *tap) extend(j *tapJob, chunk, limit uint32) (start, end uint32, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !j.received.done() || j.received.next > limit || len(j.queue) > int(j.chunk/2) {
		return 0, 0, false
	}
	switch {
	case j.chunk == 0:
		chunk = min(chunk, firstChunk)
	case j.size > 0:
		chunk = min(chunk, max(1, uint32(uint64(liveBytes)*uint64(j.chunk)/uint64(j.size))))
	}
	j.received.end = min(limit, j.received.next+chunk-1)
	j.chunk, j.size = j.received.end-j.received.next+1, 0
	return j.received.next, j.received.end, true
}

// pass delivers a block and gives it back.
func (t *tap) pass(j *tapJob, b tapped, deliver Deliver) error {
	n := b.frame.Len()
	err := deliver(b.frame)
	b.frame.Release()
	t.mu.Lock()
	j.bytes -= n
	t.mu.Unlock()
	if err != nil {
		return deliverError{err}
	}
	return nil
}

// missing is what has not arrived of the chunk.
func (t *tap) missing(j *tapJob) (start, end uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return j.received.next, j.received.end
}
