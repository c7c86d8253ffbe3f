package main

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// errUnplugged is returned for dials of a relay that was unplugged.
var errUnplugged = errors.New("this relay was unplugged")

// plug is all that connects a relay of the demo to anything. Pulling it is what
// kill -9 looks like from outside: every socket is gone at once.
type plug struct {
	mu     sync.Mutex
	pulled bool
	socks  map[net.Conn]struct{}
	lns    []net.Listener
	ports  *demoPorts
}

func newPlug(ports *demoPorts) *plug { return &plug{socks: make(map[net.Conn]struct{}), ports: ports} }

// in reports whether the plug is in.
func (p *plug) in() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.pulled
}

// pull closes everything and keeps it closed.
func (p *plug) pull() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pulled = true
	for c := range p.socks {
		c.Close()
	}
	for _, l := range p.lns {
		l.Close()
	}
}

// listen opens a listener whose connections hang on the plug.
func (p *plug) listen(addr string) (net.Listener, error) {
	ln, err := p.ports.open(addr)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lns = append(p.lns, ln)
	return plugged{ln, p}, nil
}

// dial opens a connection that hangs on the plug.
func (p *plug) dial(ctx context.Context, addr string) (net.Conn, error) {
	if !p.in() {
		return nil, errUnplugged
	}
	d := net.Dialer{Timeout: 3 * time.Second}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return p.hold(c)
}

// hold ties a connection to the plug.
func (p *plug) hold(c net.Conn) (net.Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pulled {
		c.Close()
		return nil, errUnplugged
	}
	p.socks[c] = struct{}{}
	return pluggedConn{c.(*net.TCPConn), p}, nil
}

type plugged struct {
	net.Listener
	p *plug
}

// Accept implements net.Listener.
func (l plugged) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.p.hold(c)
}

// pluggedConn is a TCP connection that the plug forgets when it is closed.
type pluggedConn struct {
	*net.TCPConn
	p *plug
}

// Close implements net.Conn.
func (c pluggedConn) Close() error {
	c.p.mu.Lock()
	delete(c.p.socks, c.TCPConn)
	c.p.mu.Unlock()
	return c.TCPConn.Close()
}

// demoPorts are free loopback ports, held open until they are used.
type demoPorts struct {
	mu                     sync.Mutex
	held                   map[string]net.Listener
	replica, group, gossip []string
}

func newDemoPorts(n int) (*demoPorts, error) {
	d := &demoPorts{held: make(map[string]net.Listener)}
	for range n {
		for _, list := range []*[]string{&d.replica, &d.group, &d.gossip} {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return nil, err
			}
			*list = append(*list, ln.Addr().String())
			d.held[ln.Addr().String()] = ln
		}
	}
	for _, addr := range d.gossip { // memberlist opens its own, TCP and UDP
		d.held[addr].Close()
		delete(d.held, addr)
	}
	return d, nil
}

// open hands out the listener of a port.
func (d *demoPorts) open(addr string) (net.Listener, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if ln := d.held[addr]; ln != nil {
		delete(d.held, addr)
		return ln, nil
	}
	return net.Listen("tcp", addr)
}
