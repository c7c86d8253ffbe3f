package conn

import "sync/atomic"

// Stats counts what a connection did. Frames and bytes are of the whole connection, time messages included.
type Stats struct {
	FramesIn, BytesIn   uint64
	FramesOut, BytesOut uint64
	RefusedLive         uint64 // live frames that found the queue full
	RefusedBulk         uint64 // transactions dropped
	QueuedFrames        int    // live frames waiting now
	QueuedBytes         int
	QueuedSync          int // frames waiting on the sync lane
}

type counters struct {
	framesIn, bytesIn, framesOut, bytesOut atomic.Uint64
}

// Stats returns the counters of this moment.
func (c *Conn) Stats() Stats {
	s := Stats{
		FramesIn: c.stats.framesIn.Load(), BytesIn: c.stats.bytesIn.Load(),
		FramesOut: c.stats.framesOut.Load(), BytesOut: c.stats.bytesOut.Load(),
	}
	q := c.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	s.RefusedLive = q.refused[Control] + q.refused[Blocks]
	s.RefusedBulk = q.refused[Bulk]
	s.QueuedFrames, s.QueuedBytes = q.live.n, q.live.bytes
	s.QueuedSync = q.sync.n
	return s
}
