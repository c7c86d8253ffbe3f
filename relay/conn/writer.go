package conn

import (
	"errors"
	"net"
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// lastWords is how long the reader may go on after the peer refused our bytes: a replica that was killed has its last
// blocks in our receive buffer, and they count.
const lastWords = time.Second

// writer is the one goroutine that writes to the socket, but for SendNow while it sleeps. It owns the references of the
// batch it is writing.
type writer struct {
	conn   *Conn
	frames [batchFrames]*wire.Frame
	slices [batchFrames][]byte
	bufs   net.Buffers // a window on slices that writev consumes
}

func newWriter(c *Conn) *writer { return &writer{conn: c} }

// run writes until the connection ends, and ends it if the peer does not take the bytes.
func (w *writer) run() {
	c := w.conn
	ticker := time.NewTicker(c.config.KeepAlive)
	defer ticker.Stop()
	for {
		batch, done, drained := c.queue.take(w.frames[:0])
		switch {
		case drained:
			if f := c.onDrain.Load(); f != nil {
				(*f)()
			}
		case len(batch) > 0:
			if err := w.write(batch, done); err != nil {
				w.fail(writeCause(err, c.config.WriteTimeout))
				return
			}
			select {
			case <-ticker.C:
				w.keepAlive()
			case <-c.done:
				return
			default:
			}
		default:
			select {
			case <-c.queue.wake:
			case <-ticker.C:
				w.keepAlive()
			case <-c.done:
				return
			}
		}
	}
}

func (w *writer) keepAlive() {
	if w.conn.started.Load() {
		w.conn.ask()
	}
}

// write sends a batch, of whose first frame done bytes are out, in one system call where the socket allows it, and
// releases it in any case.
func (w *writer) write(batch []*wire.Frame, done int) error {
	c := w.conn
	bytes := -done
	for i, f := range batch {
		w.slices[i] = f.Bytes()
		bytes += f.Len()
	}
	w.slices[0] = w.slices[0][done:]
	err := c.net.SetWriteDeadline(time.Now().Add(c.config.WriteTimeout))
	if err == nil {
		if len(batch) == 1 {
			_, err = c.net.Write(w.slices[0])
		} else {
			w.bufs = w.slices[:len(batch)]
			_, err = w.bufs.WriteTo(c.net)
		}
	}
	for i, f := range batch {
		w.slices[i], w.frames[i] = nil, nil
		f.Release()
	}
	if err == nil {
		c.stats.framesOut.Add(uint64(len(batch)))
		c.stats.bytesOut.Add(uint64(bytes))
	}
	return err
}

// fail ends the connection. When the peer is gone the reader first gets the chance to read what it left behind.
func (w *writer) fail(cause error) {
	c := w.conn
	if errors.Is(cause, ErrPeerClosed) {
		c.queue.close()
		patience := time.NewTimer(lastWords)
		defer patience.Stop()
		select {
		case <-c.done:
		case <-patience.C:
		}
	}
	c.Close(cause)
}
