package conn

import "context"

// share is how many frames of one connection may wait for whoever handles them for all connections: enough for that one
// never to wait for this one, and few enough for the others not to wait for long when each takes its time.
const share = 64

// Enqueue waits until fewer than share frames of this connection wait to be handled, and counts one more; Dequeue has to
// follow for each. False: ctx has ended, and none was counted.
func (c *Conn) Enqueue(ctx context.Context) bool {
	select {
	case c.waiting <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// Dequeue says that a frame for which Enqueue returned true has been handled.
func (c *Conn) Dequeue() { <-c.waiting }
