package conn

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// Conn is one p2p connection. All methods are safe for concurrent use; Serve is called once.
type Conn struct {
	net     net.Conn
	config  Config
	queue   *queue
	started atomic.Bool
	rtt     atomic.Int64
	socket  *socket // nil: only the methods of net can be used
	onDrain atomic.Pointer[func()]

	closing sync.Once
	done    chan struct{}
	cause   error         // written before done is closed, read after
	waiting chan struct{} // see Enqueue
	stats   counters

	inflation *rate.Limiter // see Inflatable

	answerMu  sync.Mutex
	answer    Answer
	questions questions
}

// New takes over a connected socket. It sets TCP_NODELAY where there is TCP. Nothing is read or written before Serve;
// a Conn that is never served must be closed.
func New(nc net.Conn, config Config) *Conn {
	config = config.withDefaults()
	c := &Conn{net: nc, config: config, queue: newQueue(config), done: make(chan struct{}), waiting: make(chan struct{}, share), inflation: newInflation()}
	c.SetOnDrained(config.OnDrained)
	c.socket = newSocket(nc)
	tune(nc, config.WriteTimeout)
	return c
}

// Serve reads until the connection ends and returns why: ErrPeerClosed, ErrReadTimeout, ErrSlowReader, ErrProtocol, the
// cause given to Close, the error of handle, or the cause of ctx. Time messages are answered here; every other frame is
// handed to handle together with the reference to it, in the order of arrival and on this goroutine. While handle blocks
// nothing is read, but queued frames and time messages still go out. When Serve returns, the socket is closed, the
// writer has ended and every queued frame is released.
func (c *Conn) Serve(ctx context.Context, handle func(*wire.Frame) error) error {
	cancelled := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		c.Close(context.Cause(ctx))
		close(cancelled)
	})
	wrote := make(chan struct{})
	go func() {
		defer close(wrote)
		newWriter(c).run()
	}()
	c.Close(c.read(handle))
	<-wrote
	if !stop() {
		<-cancelled
	}
	return c.cause
}

// Start says that the peer may be spoken to: our first time message is queued now and repeated every KeepAlive, and the
// limit of OpeningBytes no longer holds. Who opens a connection calls it before sending the handshake, who accepts one
// after sending it: a nodeos that listens says nothing of its own before it has the first handshake (p2p notes, 14.6).
func (c *Conn) Start() {
	if c.started.CompareAndSwap(false, true) {
		c.ask()
	}
}

// Send queues a frame and takes a reference of its own. It never blocks. False means that the lane is full, or the
// connection closed, and nothing was queued; for a live lane OnDrained will follow.
func (c *Conn) Send(lane Lane, f *wire.Frame) bool {
	if c.queue.add(lane, f) {
		return true
	}
	c.queue.refuse(lane)
	return false
}

// Roomy reports whether the live queue is less than half full, a frame of n bytes included, or empty: a sender with much to
// send stops there, and leaves the other half to those that cannot wait.
func (c *Conn) Roomy(n int) bool {
	q := c.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.live.n == 0 || q.live.n < q.live.maxN/2 && q.live.bytes+n <= q.live.maxBytes/2
}

// SendWait queues a frame like Send, but waits for room. It returns the cause of ctx, or of the connection's end.
func (c *Conn) SendWait(ctx context.Context, lane Lane, f *wire.Frame) error {
	err := c.queue.wait(ctx, c.done, lane, f)
	if errors.Is(err, errEnded) {
		return c.Cause()
	}
	return err
}

// Drop forgets the live frames that are queued and not yet being written, and returns how many they were. OnDrained
// follows when the rest is written.
func (c *Conn) Drop() int { return c.queue.forget(Blocks) }

// DropSync forgets the queued frames of the sync lane, which is what a cancelled sync request asks for.
func (c *Conn) DropSync() int { return c.queue.forget(Sync) }

// SetOnDrained replaces Config.OnDrained; nil for none.
func (c *Conn) SetOnDrained(f func()) {
	if f == nil {
		c.onDrain.Store(nil)
		return
	}
	c.onDrain.Store(&f)
}

// Close ends the connection at once; what is queued is not written. The first cause counts; nil stands for ErrClosed.
func (c *Conn) Close(cause error) {
	c.closing.Do(func() {
		if cause == nil {
			cause = ErrClosed
		}
		c.cause = cause
		close(c.done)
		c.queue.close()
		_ = c.net.Close() // the connection is over whatever the socket says
	})
}

// Done is closed when the connection has ended.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Cause is why the connection ended, nil while it has not.
func (c *Conn) Cause() error {
	select {
	case <-c.done:
		return c.cause
	default:
		return nil
	}
}

// RTT is the round-trip time by the last answered time message, zero before the first.
func (c *Conn) RTT() time.Duration { return time.Duration(c.rtt.Load()) }

// Answer is a peer's answer to a time message: it hears us, and is heard. What was queued before Asked had reached it by then.
type Answer struct{ Asked, At time.Time }

// Answered is the peer's last answer, zero before the first.
func (c *Conn) Answered() Answer {
	c.answerMu.Lock()
	defer c.answerMu.Unlock()
	return c.answer
}

// Ask sends a time message beside those of KeepAlive.
func (c *Conn) Ask() {
	if c.started.Load() {
		c.ask()
	}
}

// RemoteAddr is the peer's address, the zero value if the socket has none of the form address:port. IPv4 addresses that
// arrive in IPv6 form are turned back.
func (c *Conn) RemoteAddr() netip.AddrPort { return AddrPort(c.net.RemoteAddr()) }

// AddrPort reads a net.Addr; see RemoteAddr.
func AddrPort(a net.Addr) netip.AddrPort {
	if a == nil {
		return netip.AddrPort{}
	}
	var ap netip.AddrPort
	if tcp, ok := a.(*net.TCPAddr); ok {
		ap = tcp.AddrPort()
	} else if parsed, err := netip.ParseAddrPort(a.String()); err == nil {
		ap = parsed
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
