package main

import (
	"context"
	"errors"
	"fmt"
	"net"
)

// ErrNoAdvertise is returned when nothing says at which address the other members reach this one.
var ErrNoAdvertise = errors.New("set cluster.advertise to the address at which the other members reach this one")

// AdvertiseAddr is host:port at which the other members dial cluster.listen: cluster.advertise, else cluster.listen if that
// names an address, else the address that the route to a member to join leaves from. It may look up names, but sends
// nothing to anybody.
func (c Config) AdvertiseAddr(ctx context.Context) (string, error) {
	listenHost, port, err := net.SplitHostPort(c.Cluster.Listen)
	if err != nil {
		return "", fmt.Errorf("cluster.listen: %w", err)
	}
	if c.Cluster.Advertise != "" {
		if _, own, err := net.SplitHostPort(c.Cluster.Advertise); err == nil {
			port = own
		}
		return net.JoinHostPort(hostOf(c.Cluster.Advertise), port), nil
	}
	if !isUnspecified(listenHost) {
		return net.JoinHostPort(listenHost, port), nil
	}
	var causes []error
	for _, member := range c.Cluster.Join {
		// Connecting a UDP socket picks a route and sends nothing.
		conn, err := new(net.Dialer).DialContext(ctx, "udp", member)
		if err != nil {
			causes = append(causes, err)
			continue
		}
		host, _, err := net.SplitHostPort(conn.LocalAddr().String())
		conn.Close()
		if err == nil {
			return net.JoinHostPort(host, port), nil
		}
	}
	return "", errors.Join(append(causes, ErrNoAdvertise)...)
}

// APIAddr is where the API is reached, for members to tell each other: http.listen or, where that stands for all addresses of this host, the
// one at which the others reach it.
func (c Config) APIAddr(advertise string) string {
	host, port, err := net.SplitHostPort(c.HTTP.Listen)
	if err != nil || !isUnspecified(host) || advertise == "" || advertise == loneAddr {
		return c.HTTP.Listen
	}
	return net.JoinHostPort(hostOf(advertise), port)
}
