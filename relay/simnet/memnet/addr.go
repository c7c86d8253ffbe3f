package memnet

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// Addr is the address of a socket on a named host.
type Addr struct {
	Host string
	Port int
}

// Network returns "tcp", since that is what the connections imitate.
func (a Addr) Network() string { return "tcp" }

// String returns "host:port".
func (a Addr) String() string { return net.JoinHostPort(a.Host, strconv.Itoa(a.Port)) }

func (n *Network) addr(h *Host, port int) net.Addr {
	if n.ips {
		return net.TCPAddrFromAddrPort(netip.AddrPortFrom(h.ip, uint16(port)))
	}
	return Addr{Host: h.name, Port: port}
}

// resolve finds the host and port an address names, as seen from the host at.
func (n *Network) resolve(at *Host, address string) (endpoint, error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return endpoint{}, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return endpoint{}, fmt.Errorf("port of %q: %w", address, err)
	}
	to := endpoint{host: host, port: int(port)}
	if host == "" || host == "localhost" {
		to.host = at.name
		return to, nil
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip.IsUnspecified() || ip.IsLoopback() {
			to.host = at.name
		} else if name, ok := n.byIP[ip]; ok {
			to.host = name
		}
	}
	if _, ok := n.hosts[to.host]; !ok {
		return endpoint{}, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return to, nil
}
