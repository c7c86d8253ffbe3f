package conn

import (
	"errors"
	"fmt"
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// read hands frames on until something ends the connection, and returns what did.
func (c *Conn) read(handle func(*wire.Frame) error) error {
	r := wire.NewReader(&opening{conn: c, left: c.config.OpeningBytes})
	var lastXmt int64
	for {
		if err := c.net.SetReadDeadline(time.Now().Add(c.config.ReadTimeout)); err != nil {
			return readCause(err, c.config.ReadTimeout)
		}
		f, err := r.Next()
		switch {
		case errors.Is(err, wire.ErrFrameEmpty), errors.Is(err, wire.ErrFrameTooLarge):
			return fmt.Errorf("%w: %w", ErrProtocol, err)
		case err != nil:
			return readCause(err, c.config.ReadTimeout)
		}
		c.stats.framesIn.Add(1)
		c.stats.bytesIn.Add(uint64(f.Len()))
		if f.Type() == wire.TypeTime {
			err = c.heard(f, &lastXmt)
			f.Release()
		} else {
			err = handle(f)
		}
		if err != nil {
			return err
		}
	}
}

// opening is the socket as the frame reader sees it: until Start it gives out no more than OpeningBytes, and fails when
// more are wanted. Bytes of a peer that is merely fast stay in the socket until then.
type opening struct {
	conn *Conn
	left int // negative: no limit
}

func (o *opening) Read(p []byte) (int, error) {
	if o.left < 0 {
		return o.conn.net.Read(p)
	}
	if o.conn.started.Load() {
		o.left = -1
		return o.conn.net.Read(p)
	}
	if o.left == 0 {
		return 0, ErrOpening
	}
	n, err := o.conn.net.Read(p[:min(len(p), o.left)])
	o.left -= n
	return n, err
}
