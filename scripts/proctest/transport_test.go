package proctest_test

import (
	"context"
	"net"

	"github.com/thinrelay/thinrelay/relay/simnet"
)

// from is TCP, calling from an address of its own where there is one.
type from struct{ ip string }

var _ simnet.Transport = from{}

// Listen implements simnet.Transport.
func (f from) Listen(address string) (net.Listener, error) { return net.Listen("tcp", address) }

// Dial implements simnet.Transport.
func (f from) Dial(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	if f.ip != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(f.ip)}
	}
	return d.DialContext(ctx, "tcp", address)
}
