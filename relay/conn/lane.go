package conn

import "github.com/thinrelay/thinrelay/relay/wire"

// Lane says how urgent a frame is.
type Lane uint8

const (
	// Control is for handshakes, time, notices, requests and votes.
	Control Lane = iota
	// Blocks is for live blocks. It shares one FIFO, the live queue, with Control: order between them is kept.
	Blocks
	// Sync is for blocks of a sync request; written when the live queue is empty.
	Sync
	// Bulk is for transactions; written when nothing else waits.
	Bulk
)

// String names the lane for logs.
func (l Lane) String() string {
	switch l {
	case Control:
		return "control"
	case Blocks:
		return "blocks"
	case Sync:
		return "sync"
	case Bulk:
		return "bulk"
	}
	return "unknown"
}

// ring is a FIFO of frames, bounded in frames and bytes. Its buffer grows up to the bound and is then reused.
type ring struct {
	buf      []*wire.Frame // length is a power of two, or zero
	head, n  int
	bytes    int
	maxN     int
	maxBytes int
	room     chan struct{} // one waiter at a time is told that there may be room
}

func newRing(frames, bytes int) ring {
	return ring{maxN: frames, maxBytes: bytes, room: make(chan struct{}, 1)}
}

// fits reports whether a frame of n bytes may be added. An empty ring takes any frame, or a large one could never go.
func (r *ring) fits(n int) bool {
	return r.n == 0 || (r.n < r.maxN && r.bytes+n <= r.maxBytes)
}

func (r *ring) push(f *wire.Frame) {
	if r.n == len(r.buf) {
		grown := make([]*wire.Frame, max(16, 2*len(r.buf)))
		for i := range r.n {
			grown[i] = r.buf[(r.head+i)&(len(r.buf)-1)]
		}
		r.buf, r.head = grown, 0
	}
	r.buf[(r.head+r.n)&(len(r.buf)-1)] = f
	r.n++
	r.bytes += f.Len()
}

// next is the length of the frame that pop would return; the ring must not be empty.
func (r *ring) next() int { return r.buf[r.head].Len() }

func (r *ring) pop() *wire.Frame {
	f := r.buf[r.head]
	r.buf[r.head] = nil
	r.head = (r.head + 1) & (len(r.buf) - 1)
	r.n--
	r.bytes -= f.Len()
	return f
}

// release gives back every frame and returns how many there were.
func (r *ring) release() int {
	n := r.n
	for r.n > 0 {
		r.pop().Release()
	}
	return n
}

// signal wakes one waiter for room.
func (r *ring) signal() {
	select {
	case r.room <- struct{}{}:
	default:
	}
}
