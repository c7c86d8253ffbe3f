package memnet

import (
	"errors"
	"io"
	"net"
	"time"
)

// Conn is one end of a connection.
type Conn struct {
	net           *Network
	host          string
	in, out       *pipe
	local, remote net.Addr
}

var _ net.Conn = (*Conn)(nil)

// Read reads what has arrived, waiting for at least one byte. Errors are those of a TCP socket: io.EOF after the peer's
// close, ECONNRESET after a reset (arrived bytes come first), os.ErrDeadlineExceeded, net.ErrClosed.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.in.read(b)
	return n, c.wrap("read", err)
}

// Write writes all of b, waiting for room. After the peer has closed, the first write succeeds and later ones fail.
func (c *Conn) Write(b []byte) (int, error) {
	n, err := c.out.write(b)
	return n, c.wrap("write", err)
}

// CloseWrite ends the outgoing stream: the peer reads io.EOF after all bytes.
func (c *Conn) CloseWrite() error {
	return c.wrap("close", c.out.shutdown())
}

// Close closes both directions. Written bytes still arrive, unless bytes from the peer were left unread: then, as with
// TCP, the peer's connection is reset.
func (c *Conn) Close() error {
	unread, first := c.in.closeRead()
	if !first {
		return c.wrap("close", net.ErrClosed)
	}
	c.net.forget(c)
	c.out.closeWrite(unread)
	return nil
}

// Reset aborts the connection: the peer gets ECONNRESET instead of io.EOF. It does nothing after Close.
func (c *Conn) Reset() {
	if _, first := c.in.closeRead(); !first {
		return
	}
	c.net.forget(c)
	c.out.closeWrite(true)
}

// LocalAddr returns this end's address.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns the peer's address.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline bounds present and future reads; the zero time removes the bound.
func (c *Conn) SetReadDeadline(t time.Time) error {
	return c.wrap("set", c.in.setReadDeadline(t))
}

// SetWriteDeadline bounds present and future writes; the zero time removes the bound.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	return c.wrap("set", c.out.setWriteDeadline(t))
}

func (c *Conn) wrap(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}
