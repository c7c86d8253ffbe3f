package simnet

import (
	"context"
	"net"
)

// Transport is how a simulated node listens and dials: TCP, or a network in
// memory.
type Transport interface {
	Listen(address string) (net.Listener, error)
	Dial(ctx context.Context, address string) (net.Conn, error)
}

// TCP is the operating system's network.
type TCP struct{}

var _ Transport = TCP{}

// Listen opens a TCP listener.
func (TCP) Listen(address string) (net.Listener, error) {
	return net.Listen("tcp", address)
}

// Dial opens a TCP connection.
func (TCP) Dial(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", address)
}
