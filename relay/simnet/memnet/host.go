package memnet

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

const (
	firstEphemeral = 32768
	maxPort        = 65535
	// connectTimeout ends a dial that gets no answer and whose context has no deadline, as Linux does (tcp_syn_retries 6).
	connectTimeout = 127 * time.Second
)

// ErrKilled is returned by Listen and Dial of a host handle whose process Kill has ended.
var ErrKilled = errors.New("memnet: the host was killed")

// Host is one process on a named host.
type Host struct {
	net  *Network
	name string
	ip   netip.Addr
	port int  // last ephemeral port; guarded by net.mu
	dead bool // guarded by net.mu
}

// Name returns the host's name.
func (h *Host) Name() string { return h.name }

// IP returns the host's fake address.
func (h *Host) IP() netip.Addr { return h.ip }

// Listen opens a listener. The host part may be empty, 0.0.0.0, localhost or the host's own name or IP; port 0 picks one.
func (h *Host) Listen(address string) (net.Listener, error) {
	n := h.net
	n.mu.Lock()
	defer n.mu.Unlock()
	fail := func(err error) (net.Listener, error) {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Err: err}
	}
	if h.dead {
		return fail(ErrKilled)
	}
	at, err := n.resolve(h, address)
	if err != nil {
		return fail(err)
	}
	if at.host != h.name {
		return fail(os.NewSyscallError("bind", syscall.EADDRNOTAVAIL))
	}
	if at.port == 0 {
		at.port = n.ephemeral(h)
	}
	if _, taken := n.listen[at]; taken {
		return fail(os.NewSyscallError("bind", syscall.EADDRINUSE))
	}
	l := &Listener{net: n, at: at, addr: n.addr(h, at.port), backlog: make(chan *Conn, backlog), done: make(chan struct{})}
	n.listen[at] = l
	return l, nil
}

// Dial connects to "host:port", by host name or fake IP.
func (h *Host) Dial(ctx context.Context, address string) (net.Conn, error) {
	c, err := h.dial(ctx, address)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: dialled(address), Err: err}
	}
	return c, nil
}

// DialContext is Dial with the signature of net.Dialer.DialContext. The network is ignored.
func (h *Host) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	return h.Dial(ctx, address)
}

type dialled string

func (dialled) Network() string  { return "tcp" }
func (a dialled) String() string { return string(a) }

func (h *Host) dial(ctx context.Context, address string) (*Conn, error) {
	n := h.net
	ctx, cancel := context.WithTimeoutCause(ctx, connectTimeout, os.NewSyscallError("connect", syscall.ETIMEDOUT))
	defer cancel()
	for {
		if ctx.Err() != nil {
			return nil, dialError(ctx)
		}
		n.mu.Lock()
		if h.dead {
			n.mu.Unlock()
			return nil, ErrKilled
		}
		to, err := n.resolve(h, address)
		if err != nil {
			n.mu.Unlock()
			return nil, err
		}
		there, back := n.oneWay(h.name, to.host), n.oneWay(to.host, h.name)
		cut, changed := n.isCut(h.name, to.host) || n.isCut(to.host, h.name), n.changed
		n.mu.Unlock()
		if cut {
			select {
			case <-changed:
			case <-ctx.Done():
			}
			continue
		}
		if err := sleep(ctx, there); err != nil {
			return nil, err
		}
		c, err := n.connect(h, to)
		if errors.Is(err, errLost) {
			continue // the line was cut meanwhile: the SYN is sent again
		}
		if waitErr := sleep(ctx, back); waitErr != nil {
			if c != nil {
				c.Reset()
			}
			return nil, waitErr
		}
		return c, err
	}
}

var errLost = errors.New("memnet: lost on the way")

// connect is the arrival of a SYN at the listening host.
func (n *Network) connect(from *Host, to endpoint) (*Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if from.dead {
		return nil, ErrKilled
	}
	if n.isCut(from.name, to.host) || n.isCut(to.host, from.name) {
		return nil, errLost
	}
	l, ok := n.listen[to]
	if !ok || len(l.backlog) == cap(l.backlog) {
		return nil, os.NewSyscallError("connect", syscall.ECONNREFUSED)
	}
	up, down := newPipe(from.name, to.host, n.buffer), newPipe(to.host, from.name, n.buffer)
	up.back, down.back = down, up
	n.apply(up)
	n.apply(down)
	near := n.addr(from, n.ephemeral(from))
	far := n.addr(n.hosts[to.host], to.port)
	client := &Conn{net: n, host: from.name, in: down, out: up, local: near, remote: far}
	server := &Conn{net: n, host: to.host, in: up, out: down, local: far, remote: near}
	n.conns[client], n.conns[server] = struct{}{}, struct{}{}
	l.backlog <- server // has room: only connect fills it, under n.mu
	return client, nil
}

func (n *Network) ephemeral(h *Host) int {
	for {
		h.port++
		if h.port > maxPort {
			h.port = firstEphemeral
		}
		if _, taken := n.listen[endpoint{h.name, h.port}]; !taken {
			return h.port
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return dialError(ctx)
	}
}

// dialError is what net.Dialer makes of a context: a timeout that satisfies net.Error, or the cancellation.
func dialError(ctx context.Context) error {
	if cause := context.Cause(ctx); errors.Is(cause, syscall.ETIMEDOUT) {
		return cause
	}
	return ctx.Err()
}
