package memnet

import (
	"net"
	"sync"
)

const backlog = 128

// Listener accepts connections to one port of a host.
type Listener struct {
	net     *Network
	at      endpoint
	addr    net.Addr
	backlog chan *Conn
	once    sync.Once
	done    chan struct{}
}

var _ net.Listener = (*Listener)(nil)

// Accept waits for the next connection. After Close it returns an error that wraps net.ErrClosed.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case <-l.done:
		return nil, l.closed("accept")
	default:
	}
	select {
	case c := <-l.backlog:
		return c, nil
	case <-l.done:
		return nil, l.closed("accept")
	}
}

// Close closes the listener and resets the connections nobody has accepted.
func (l *Listener) Close() error {
	err := l.closed("close")
	l.once.Do(func() {
		l.net.mu.Lock()
		delete(l.net.listen, l.at)
		close(l.done)
		l.net.mu.Unlock()
		for {
			select {
			case c := <-l.backlog:
				c.Reset()
				continue
			default:
			}
			break
		}
		err = nil
	})
	return err
}

// Addr returns the address it listens on.
func (l *Listener) Addr() net.Addr { return l.addr }

func (l *Listener) closed(op string) error {
	return &net.OpError{Op: op, Net: "tcp", Addr: l.addr, Err: net.ErrClosed}
}
