package conn

import "github.com/thinrelay/thinrelay/relay/wire"

// SendNow is Send for the one frame that must not wait for another goroutine to be woken. While the connection is idle, as
// much of the frame as the socket takes at once is written before SendNow returns, and the writer does the rest, before
// anything else. When frames are queued or being written, or the socket is not a TCP socket, it is Send. It never waits;
// it costs the caller a system call. Frames that come in numbers are for Send, which writes them in batches.
func (c *Conn) SendNow(lane Lane, f *wire.Frame) bool {
	if c.socket == nil || !c.queue.claim() {
		return c.Send(lane, f)
	}
	n := c.socket.write(f.Bytes())
	c.stats.bytesOut.Add(uint64(n))
	if n == f.Len() {
		c.stats.framesOut.Add(1)
	}
	c.queue.yield(f, n)
	return true
}
