package transport

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"
)

// ErrRefused is returned by reads when the other side has refused our certificate. With TLS 1.3 that comes after the
// dial has succeeded.
var ErrRefused = errors.New("the member refused our certificate")

// Conn is an authenticated connection to a member.
type Conn struct {
	*tls.Conn
	socket *socket
	t      *Transport
	peer   string
	proto  string
	began  time.Time // when it proved who it is
}

var _ net.Conn = (*Conn)(nil)

// Peer returns the member's name, from its certificate.
func (c *Conn) Peer() string { return c.peer }

// Read reads; see net.Conn. A refusal of our certificate is ErrRefused.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if isAlert(err) {
		err = fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return n, err
}

// isAlert reports whether the other side has ended TLS with an error. crypto/tls shows that by the operation only.
func isAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// Close says goodbye and closes. It takes no longer than a quarter of a second, also when the other side reads nothing.
func (c *Conn) Close() error {
	c.t.forget(c)
	c.socket.closing.Store(true)
	return c.Conn.Close()
}

// abort closes without a goodbye: it waits for nobody.
func (c *Conn) abort() {
	c.t.forget(c)
	c.socket.Close()
}

// socket bounds the write deadline while its connection is closing: crypto/tls allows its goodbye 5 s.
type socket struct {
	net.Conn
	closing atomic.Bool
}

func (s *socket) SetWriteDeadline(at time.Time) error {
	if s.closing.Load() {
		if soonest := time.Now().Add(closeTimeout); at.After(soonest) {
			at = soonest
		}
	}
	return s.Conn.SetWriteDeadline(at)
}
