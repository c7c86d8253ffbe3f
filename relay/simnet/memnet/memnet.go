// Package memnet is a network of named hosts in memory, for tests: listeners, dials and stream connections that behave
// like TCP sockets, with one-way delays, one-way cuts, isolated and killed hosts under the test's control.
//
// It guarantees what TCP does: bytes arrive in order and without holes, a full buffer blocks the writer, a close is seen
// as io.EOF after all bytes, an abort or a killed host as ECONNRESET. A cut holds bytes back and a heal delivers them,
// as retransmission would. It works inside testing/synctest bubbles (it waits on timers, channels and sync.Cond only) and
// starts no goroutine of its own, so nothing is left over after a test.
//
// It never loses or reorders bytes inside a connection, never models bandwidth, and never opens a real socket.
package memnet

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"time"
)

// DefaultBuffer is the number of bytes one direction of a connection holds before its writer blocks.
const DefaultBuffer = 256 << 10

// Option changes how New builds a Network.
type Option func(*Network)

// WithBuffer sets the bytes one direction of a connection may hold.
func WithBuffer(bytes int) Option { return func(n *Network) { n.buffer = bytes } }

// WithIPs makes addresses *net.TCPAddr values with one fake IP per host (10.x.y.z), for code that checks CIDRs. Host
// names stay dialable. Without it addresses are Addr values that print as "host:port".
func WithIPs() Option { return func(n *Network) { n.ips = true } }

// WithDelay sets the one-way delay between different hosts for pairs without a SetDelay.
func WithDelay(d time.Duration) Option { return func(n *Network) { n.delay = d } }

type route struct{ from, to string }

// Network is a set of hosts and the state of the lines between them. All methods may be called concurrently.
type Network struct {
	buffer int
	ips    bool

	mu       sync.Mutex
	delay    time.Duration
	delays   map[route]time.Duration
	cuts     map[route]bool
	isolated map[string]bool
	hosts    map[string]*Host
	byIP     map[netip.Addr]string
	listen   map[endpoint]*Listener
	conns    map[*Conn]struct{}
	changed  chan struct{} // closed and replaced when a line heals
}

type endpoint struct {
	host string
	port int
}

// New returns an empty network without delay.
func New(opts ...Option) *Network {
	n := &Network{
		buffer:   DefaultBuffer,
		delays:   make(map[route]time.Duration),
		cuts:     make(map[route]bool),
		isolated: make(map[string]bool),
		hosts:    make(map[string]*Host),
		byIP:     make(map[netip.Addr]string),
		listen:   make(map[endpoint]*Listener),
		conns:    make(map[*Conn]struct{}),
		changed:  make(chan struct{}),
	}
	for _, opt := range opts {
		opt(n)
	}
	return n
}

// Host returns the host of that name, which is made on first use. After Kill it returns a new handle: the old one is
// the dead process and can neither dial nor listen any more.
func (n *Network) Host(name string) *Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.host(name)
}

func (n *Network) host(name string) *Host {
	h, ok := n.hosts[name]
	if !ok {
		var ip [4]byte
		binary.BigEndian.PutUint32(ip[:], 10<<24|uint32(len(n.byIP)+1))
		h = &Host{net: n, name: name, ip: netip.AddrFrom4(ip), port: firstEphemeral}
		n.hosts[name] = h
		n.byIP[h.ip] = name
	}
	return h
}

// IP returns the fake address of a host, whether or not connections show it (WithIPs).
func (n *Network) IP(host string) netip.Addr { return n.Host(host).ip }

// SetDelay sets the one-way delay from one host to another. Bytes on their way keep theirs; order is kept.
func (n *Network) SetDelay(from, to string, d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.delays[route{from, to}] = d
	n.refresh()
}

// SetDefaultDelay sets the one-way delay of all pairs of different hosts that SetDelay has not named.
func (n *Network) SetDefaultDelay(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.delay = d
	n.refresh()
}

// Cut stops the line from one host to another, in that direction only. What is on its way still arrives; what is written
// later is held, as TCP would retransmit it, and arrives after Heal. As acknowledgements are cut too, the other
// direction stalls when its buffer is full. New dials between the two hosts wait for their context.
func (n *Network) Cut(from, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cuts[route{from, to}] = true
	n.refresh()
}

// CutBoth is Cut in both directions.
func (n *Network) CutBoth(a, b string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cuts[route{a, b}], n.cuts[route{b, a}] = true, true
	n.refresh()
}

// Heal undoes Cut. It does not undo Isolate.
func (n *Network) Heal(from, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.cuts, route{from, to})
	n.refresh()
}

// HealBoth undoes CutBoth.
func (n *Network) HealBoth(a, b string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.cuts, route{a, b})
	delete(n.cuts, route{b, a})
	n.refresh()
}

// Isolate cuts a host from every other one, in both directions. It still reaches itself.
func (n *Network) Isolate(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.isolated[host] = true
	n.refresh()
}

// Rejoin undoes Isolate. It does not undo Cut.
func (n *Network) Rejoin(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.isolated, host)
	n.refresh()
}

// HealAll undoes every Cut and Isolate.
func (n *Network) HealAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.cuts)
	clear(n.isolated)
	n.refresh()
}

// Kill ends the process on a host: its listeners close, its connections are reset (peers see it after the delay; while
// the line is cut they do not see it, as with a power failure), its Host handle is dead. Host(name) is its restart.
func (n *Network) Kill(host string) {
	n.mu.Lock()
	if h, ok := n.hosts[host]; ok {
		h.dead = true
		n.hosts[host] = &Host{net: n, name: h.name, ip: h.ip, port: h.port}
	}
	var closing []*Listener
	for at, l := range n.listen {
		if at.host == host {
			closing = append(closing, l)
		}
	}
	var resetting []*Conn
	for c := range n.conns {
		if c.host == host {
			resetting = append(resetting, c)
		}
	}
	n.mu.Unlock()
	for _, l := range closing {
		_ = l.Close()
	}
	for _, c := range resetting {
		c.Reset()
	}
}

// Close kills every host.
func (n *Network) Close() {
	n.mu.Lock()
	names := make([]string, 0, len(n.hosts))
	for name := range n.hosts {
		names = append(names, name)
	}
	n.mu.Unlock()
	for _, name := range names {
		n.Kill(name)
	}
}

// Conns returns how many connection ends are open, for tests that look for leaks.
func (n *Network) Conns() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.conns)
}

func (n *Network) isCut(from, to string) bool {
	if from == to {
		return false
	}
	return n.isolated[from] || n.isolated[to] || n.cuts[route{from, to}]
}

func (n *Network) oneWay(from, to string) time.Duration {
	if d, ok := n.delays[route{from, to}]; ok {
		return d
	}
	if from == to {
		return 0
	}
	return n.delay
}

// refresh tells every connection the state of its lines, and waiting dials that it changed. n.mu is held.
func (n *Network) refresh() {
	for c := range n.conns {
		n.apply(c.in)
		n.apply(c.out)
	}
	close(n.changed)
	n.changed = make(chan struct{})
}

func (n *Network) apply(p *pipe) {
	p.setLine(n.oneWay(p.from, p.to), n.isCut(p.from, p.to), n.isCut(p.to, p.from))
}

func (n *Network) forget(c *Conn) {
	n.mu.Lock()
	delete(n.conns, c)
	n.mu.Unlock()
}
