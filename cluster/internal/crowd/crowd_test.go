package crowd_test

import (
	"net"
	"testing"

	"github.com/thinrelay/thinrelay/cluster/internal/crowd"
)

// from is a connection of an address.
type from struct {
	net.Conn
	addr   string
	closed bool
}

func (f *from) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.ParseIP(f.addr), Port: 1}
}

func (f *from) Close() error { f.closed = true; return nil }

func TestAFloodDisplacesItself(t *testing.T) {
	tests := map[string]struct {
		member string
		flood  []string
	}{
		"one host":              {"10.0.0.1", []string{"10.0.0.2", "10.0.0.2", "10.0.0.2", "10.0.0.2", "10.0.0.2"}},
		"one host, IPv6":        {"2001:db8:1::1", []string{"2001:db8:2::1", "2001:db8:2::2", "2001:db8:2::3", "2001:db8:2::4", "2001:db8:2::5"}},
		"one host, IPv4 mapped": {"::ffff:10.0.0.1", []string{"::ffff:10.0.0.2", "::ffff:10.0.0.2", "::ffff:10.0.0.2", "::ffff:10.0.0.2"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := crowd.New(3)
			member := &from{addr: tt.member}
			g, _ := c.Enter(member)
			closed := 0
			for _, addr := range tt.flood {
				if _, full := c.Enter(&from{addr: addr}); full {
					closed++
				}
			}
			if want := len(tt.flood) + 1 - 3; closed != want {
				t.Errorf("closed: got %d, want %d", closed, want)
			}
			if displaced := c.Leave(g); displaced || member.closed {
				t.Errorf("the member was displaced: %v, closed %v", displaced, member.closed)
			}
		})
	}
}

func TestTheOldestGoesFirst(t *testing.T) {
	c := crowd.New(1)
	older := &from{addr: "10.0.0.1"}
	g, _ := c.Enter(older)
	if _, full := c.Enter(&from{addr: "10.0.0.2"}); !full || !older.closed || !c.Leave(g) {
		t.Errorf("full %v, closed %v, want the older one to make room", full, older.closed)
	}
}
