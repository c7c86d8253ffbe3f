package downstream

import (
	"fmt"
	"net/netip"
	"sync"

	"github.com/thinrelay/thinrelay/relay/conn"
)

// guest is a connection from accept to close.
type guest struct {
	conn    *conn.Conn
	addr    netip.AddrPort
	serial  uint64
	pending bool // no accepted handshake yet
}

// lobby counts connections and keeps each kind within its bound.
type lobby struct {
	config *Config

	mu      sync.Mutex
	guests  map[*guest]struct{}
	perAddr map[netip.Addr]int
	pending []*guest // oldest first
}

func newLobby(config *Config) *lobby {
	return &lobby{config: config, guests: make(map[*guest]struct{}), perAddr: make(map[netip.Addr]int)}
}

// enter admits a new connection. It may name another one that has to make room: the caller closes it.
func (l *lobby) enter(g *guest) (evicted *guest, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	addr := g.addr.Addr()
	mine, oldest := 0, -1
	for i, p := range l.pending {
		if p.addr.Addr() == addr {
			if mine++; oldest < 0 {
				oldest = i
			}
		}
	}
	switch {
	case oldest >= 0 && (mine >= l.config.MaxPendingPerAddr || l.perAddr[addr] >= l.config.MaxConnsPerAddr):
		evicted = l.pending[oldest]
	case l.perAddr[addr] >= l.config.MaxConnsPerAddr:
		return nil, fmt.Errorf("%w: %d from this address", ErrFull, l.perAddr[addr])
	case len(l.pending) > 0 && (len(l.pending) >= l.config.MaxPending || len(l.guests) >= l.config.MaxConns):
		evicted = l.pending[0]
	case len(l.guests) >= l.config.MaxConns:
		return nil, fmt.Errorf("%w: %d in all", ErrFull, len(l.guests))
	}
	if evicted != nil {
		l.remove(evicted)
	}
	l.guests[g] = struct{}{}
	l.perAddr[addr]++
	g.pending = true
	l.pending = append(l.pending, g)
	return evicted, nil
}

// settle records that g has shown its handshake: it can no longer be evicted. False: it was already.
func (l *lobby) settle(g *guest) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, here := l.guests[g]; !here {
		return false
	}
	l.unpend(g)
	return true
}

// leave forgets g.
func (l *lobby) leave(g *guest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remove(g)
}

func (l *lobby) remove(g *guest) {
	if _, here := l.guests[g]; !here {
		return
	}
	delete(l.guests, g)
	addr := g.addr.Addr()
	if l.perAddr[addr]--; l.perAddr[addr] == 0 {
		delete(l.perAddr, addr)
	}
	l.unpend(g)
}

func (l *lobby) unpend(g *guest) {
	if !g.pending {
		return
	}
	g.pending = false
	for i, p := range l.pending {
		if p == g {
			l.pending = append(l.pending[:i], l.pending[i+1:]...)
			return
		}
	}
}
