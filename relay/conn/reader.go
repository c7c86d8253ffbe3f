package conn

import (
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// firstRead is what a connection costs before its peer has said anything: a connect flood must not be paid for with the
// buffer of a frame reader each.
const firstRead = 512

// read hands frames on until something ends the connection, and returns what did.
func (c *Conn) read(handle func(*wire.Frame) error) error {
	src := &source{conn: c, left: c.config.OpeningBytes}
	if err := c.awaitByte(src); err != nil {
		return readCause(err, c.config.ReadTimeout)
	}
	r := wire.NewReader(src)
	var lastXmt int64
	for {
		if err := c.net.SetReadDeadline(time.Now().Add(c.config.ReadTimeout)); err != nil {
			return readCause(err, c.config.ReadTimeout)
		}
		f, err := r.Next()
		if err != nil {
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

// awaitByte waits for the peer's first bytes and keeps them in src.
func (c *Conn) awaitByte(src *source) error {
	if err := c.net.SetReadDeadline(time.Now().Add(c.config.ReadTimeout)); err != nil {
		return err
	}
	first := make([]byte, firstRead)
	n, err := src.Read(first)
	src.ahead = first[:n]
	if n > 0 {
		return nil // an error with it will be met again
	}
	return err
}

// source is the socket as the frame reader sees it. Until Start it gives out no more than OpeningBytes, and fails when
// more are wanted. Bytes of a peer that is merely fast stay in the socket until then.
type source struct {
	conn  *Conn
	ahead []byte // read already
	left  int    // negative: no limit
}

func (s *source) Read(p []byte) (int, error) {
	if len(s.ahead) > 0 {
		n := copy(p, s.ahead)
		if s.ahead = s.ahead[n:]; len(s.ahead) == 0 {
			s.ahead = nil
		}
		return n, nil
	}
	if s.left < 0 {
		return s.conn.receive(p)
	}
	if s.conn.started.Load() {
		s.left = -1
		return s.conn.receive(p)
	}
	if s.left == 0 {
		return 0, ErrOpening
	}
	n, err := s.conn.receive(p[:min(len(p), s.left)])
	s.left -= n
	return n, err
}

// receive reads what has come, or waits for it.
func (c *Conn) receive(p []byte) (int, error) {
	if c.socket != nil {
		return c.socket.read(p)
	}
	return c.net.Read(p)
}
