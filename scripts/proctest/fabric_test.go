package proctest_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// way is the direction from one party to another.
type way [2]string

// back is the other direction.
func (w way) back() way { return way{w[1], w[0]} }

// fabric is the network between all parties: every one is reached through a
// proxy that knows who calls, so that the way between any two can be cut as a
// network cuts it: what is sent does not arrive, and nobody is told. A way that
// is not cut may be bad, see impairment.
type fabric struct {
	who func(from, to *net.TCPAddr) string // which party a connection is from
	ip  map[string]string                  // the address a party's connections come from
	// tap is given all that one party sends another on a connection, whether or not it
	// arrives; nil, or a nil writer: nobody looks.
	tap func(w way) io.Writer

	mu      sync.Mutex
	cuts    map[way]*cut
	bad     map[way][]*impairment
	stopped map[way]uint64 // what did not get on, for a cut: connections, what was sent on them, datagrams
	carried uint64         // connections so far
	doors   map[way]*door  // by who calls and who is called
	conns   map[*net.TCPConn]struct{}
	udp     map[string]*net.UDPConn // by the party that is reached through it
	closers []io.Closer
	ctx     context.Context
	stop    context.CancelFunc
	wg      sync.WaitGroup
}

func newFabric(t *testing.T, ip map[string]string, who func(from, to *net.TCPAddr) string) *fabric {
	ctx, stop := context.WithCancel(context.Background())
	f := &fabric{
		who: who, ip: ip, cuts: make(map[way]*cut), stopped: make(map[way]uint64), bad: make(map[way][]*impairment), doors: make(map[way]*door), conns: make(map[*net.TCPConn]struct{}),
		udp: make(map[string]*net.UDPConn), ctx: ctx, stop: stop,
	}
	t.Cleanup(f.close)
	return f
}

func (f *fabric) close() {
	f.stop()
	f.mu.Lock()
	for _, c := range f.closers {
		_ = c.Close() // tests do not care
	}
	for c := range f.conns {
		_ = c.Close()
	}
	f.mu.Unlock()
	f.wg.Wait()
}

// cut is a way that is cut, by so many at once.
type cut struct {
	by     int
	healed chan struct{}
}

// isolate cuts the way between a party and others, both ways.
func (f *fabric) isolate(a string, others ...string) { f.sever(both(a, others)...) }

// both are the ways from a party to others, and back.
func both(a string, others []string) (ways []way) {
	for _, b := range others {
		ways = append(ways, way{a, b}, way{b, a})
	}
	return ways
}

// sever cuts ways, in the directions given only. No connection can be opened
// between two parties when one of the directions is cut.
func (f *fabric) sever(ways ...way) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range ways {
		if f.cuts[w] == nil {
			f.cuts[w] = &cut{healed: make(chan struct{})}
		}
		f.cuts[w].by++
		for _, d := range []*door{f.doors[w], f.doors[w.back()]} {
			if d != nil && d.listener != nil {
				_ = d.listener.Close() // and with it nobody can connect
				d.listener = nil
			}
		}
	}
}

// stops is how much has not got on so far, on these ways, since they were cut.
func (f *fabric) stops(ways ...way) (n uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range ways {
		n += f.stopped[w]
	}
	return n
}

// mend takes one cut off each of the ways. What was sent meanwhile is lost, and
// with it the connection it was sent on.
func (f *fabric) mend(t *testing.T, ways ...way) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range ways {
		if c := f.cuts[w]; c != nil {
			if c.by--; c.by == 0 {
				close(c.healed)
				delete(f.cuts, w)
			}
		}
	}
	for w, d := range f.doors {
		if d.listener == nil && f.cuts[w] == nil && f.cuts[w.back()] == nil {
			f.open(t, d)
		}
	}
}

// heal mends everything.
func (f *fabric) heal(t *testing.T) {
	t.Helper()
	f.mu.Lock()
	var all []way
	for w, c := range f.cuts {
		for range c.by {
			all = append(all, w)
		}
	}
	for w := range f.bad {
		f.better(w, nil)
	}
	f.mu.Unlock()
	f.mend(t, all...)
}

// way reports whether the way from a to b is open, after a wait for that.
func (f *fabric) way(a, b string) bool {
	f.mu.Lock()
	w := way{a, b}
	c := f.cuts[w]
	if c != nil {
		f.stopped[w]++
	}
	f.mu.Unlock()
	if c == nil {
		return f.ctx.Err() == nil
	}
	select {
	case <-c.healed:
	case <-f.ctx.Done():
	}
	return false
}

// door is a listener for one caller alone: while the way is cut it is not there,
// as where a packet gets no answer.
type door struct {
	addr, caller, party string
	target              func() string
	listener            net.Listener
}

// exposeTo opens a proxy for one caller, and returns its address.
func (f *fabric) exposeTo(t *testing.T, listen, caller, party string, target func() string) string {
	t.Helper()
	d := &door{addr: listen, caller: caller, party: party, target: target}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open(t, d)
	f.doors[way{caller, party}] = d
	return d.addr
}

// open listens at a door. f.mu is held.
func (f *fabric) open(t *testing.T, d *door) {
	t.Helper()
	l, err := net.Listen("tcp", d.addr)
	if err != nil {
		t.Fatal(err)
	}
	d.addr, d.listener = l.Addr().String(), l
	f.closers = append(f.closers, l)
	f.wg.Go(func() { f.serve(l, d.caller, d.party, d.target) })
}

// expose opens a proxy on listen for a party that listens on target, and
// returns the proxy's address.
func (f *fabric) expose(t *testing.T, listen, party string, target func() string) string {
	t.Helper()
	l, err := net.Listen("tcp", listen)
	if err != nil {
		t.Fatal(err)
	}
	f.closers = append(f.closers, l)
	f.wg.Go(func() { f.serve(l, "", party, target) })
	return l.Addr().String()
}

// serve carries the connections to a listener. An empty caller: whoever it is.
func (f *fabric) serve(l net.Listener, caller, party string, target func() string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		f.wg.Go(func() { f.carry(c.(*net.TCPConn), caller, party, target()) })
	}
}

// carry is one connection.
func (f *fabric) carry(in *net.TCPConn, from, to, target string) {
	defer f.track(in)()
	if from == "" {
		from = f.who(in.RemoteAddr().(*net.TCPAddr), in.LocalAddr().(*net.TCPAddr))
	}
	if from == "" || !f.way(from, to) || !f.way(to, from) {
		return
	}
	d := net.Dialer{Timeout: 5 * time.Second}
	if ip := f.ip[from]; ip != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(ip)}
	}
	c, err := d.DialContext(f.ctx, "tcp", target)
	if err != nil {
		_ = in.SetLinger(0) // refused
		return
	}
	out := c.(*net.TCPConn)
	defer f.track(out)()
	f.mu.Lock()
	f.carried++
	serial := f.carried
	f.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { f.pump(out, in, way{from, to}, serial) })
	both.Go(func() { f.pump(in, out, way{to, from}, serial) })
	both.Wait()
}

// track closes a connection at the fabric's end, or when it is done with.
func (f *fabric) track(c *net.TCPConn) (done func()) {
	f.mu.Lock()
	f.conns[c] = struct{}{}
	f.mu.Unlock()
	if f.ctx.Err() != nil {
		_ = c.Close()
	}
	return func() {
		f.mu.Lock()
		delete(f.conns, c)
		f.mu.Unlock()
		_ = c.Close()
	}
}

// pump carries bytes from src to dst. While the way is cut nothing moves, not
// even the end of the connection; then the connection breaks.
func (f *fabric) pump(dst, src *net.TCPConn, w way, serial uint64) {
	buf := make([]byte, 64<<10)
	var left io.Writer
	if f.tap != nil {
		left = f.tap(w)
	}
	for {
		n, err := src.Read(buf)
		if left != nil {
			_, _ = left.Write(buf[:n]) // it only looks
		}
		slow, arrives := f.suffer(w, serial, n)
		if !f.way(w[0], w[1]) || !arrives {
			_, _ = src.SetLinger(0), dst.SetLinger(0)
			_, _ = src.Close(), dst.Close()
			return
		}
		if n > 0 {
			if werr := f.deliver(dst, buf[:n], slow); werr != nil {
				_ = src.SetLinger(0) // the receiver is gone: so the sender learns
				_ = src.Close()
				return
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			_ = dst.CloseWrite()
			return
		case err != nil:
			_ = dst.SetLinger(0)
			_ = dst.Close()
			return
		}
	}
}

// exposeUDP opens a proxy for datagrams. Those of a party come from its target
// address, and go on from the proxy of its own, so that answers find back.
func (f *fabric) exposeUDP(t *testing.T, listen, party string, targets map[string]string) {
	t.Helper()
	addr, err := net.ResolveUDPAddr("udp", listen)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.ListenUDP("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	target, err := net.ResolveUDPAddr("udp", targets[party])
	if err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	f.udp[party] = c
	f.closers = append(f.closers, c)
	f.mu.Unlock()
	f.wg.Go(func() {
		buf := make([]byte, 64<<10)
		for {
			n, source, err := c.ReadFromUDP(buf)
			if err != nil {
				return
			}
			for from, a := range targets {
				if a == source.String() {
					f.datagram(from, party, buf[:n], target)
				}
			}
		}
	})
}

func (f *fabric) datagram(from, to string, b []byte, target *net.UDPAddr) {
	w := way{from, to}
	f.mu.Lock()
	f.carried++
	out, lost := f.udp[from], f.cuts[w] != nil
	if lost {
		f.stopped[w]++
	}
	late, hit := hits(f.bad[w], f.carried)
	f.mu.Unlock()
	switch {
	case out == nil || lost || hit:
	case late > 0:
		b := append([]byte(nil), b...)
		time.AfterFunc(late, func() { _, _ = out.WriteToUDP(b, target) })
	default:
		_, _ = out.WriteToUDP(b, target) // datagrams get lost
	}
}
