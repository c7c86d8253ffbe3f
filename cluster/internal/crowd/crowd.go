// Package crowd bounds the connections of those who have not shown yet who they are. Beyond the bound the oldest one of the source with the
// most is closed, so that a flood displaces itself and not a member. An IPv6 network of 64 bits is one source: one host has all of it.
package crowd

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// Crowd is those connections. It is safe for concurrent use.
type Crowd struct {
	most int

	mu     sync.Mutex
	guests map[*Guest]struct{}
}

// Guest is one connection.
type Guest struct {
	conn   net.Conn
	source string
	came   time.Time
}

// New returns a Crowd of at most so many.
func New(most int) *Crowd { return &Crowd{most: most, guests: make(map[*Guest]struct{})} }

// Enter takes a connection in, and closes one, perhaps this, if they are too many now. It reports whether it did.
func (c *Crowd) Enter(conn net.Conn) (g *Guest, full bool) {
	g = &Guest{conn: conn, source: source(conn.RemoteAddr()), came: time.Now()}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.guests[g] = struct{}{}
	if len(c.guests) <= c.most {
		return g, false
	}
	count := make(map[string]int)
	var victim *Guest
	for p := range c.guests {
		count[p.source]++
	}
	for p := range c.guests {
		if victim == nil || count[p.source] > count[victim.source] ||
			count[p.source] == count[victim.source] && p.came.Before(victim.came) {
			victim = p
		}
	}
	delete(c.guests, victim)
	_ = victim.conn.Close()
	return g, true
}

// Leave lets a connection out, and reports whether it was closed to make room.
func (c *Crowd) Leave(g *Guest) (displaced bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, here := c.guests[g]
	delete(c.guests, g)
	return !here
}

// source is what counts as one: a host, or an IPv6 network that one host has.
func source(a net.Addr) string {
	if a == nil {
		return ""
	}
	host, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || ip.Unmap().Is4() {
		return host
	}
	network, err := ip.Prefix(64)
	if err != nil {
		return host
	}
	return network.String()
}
