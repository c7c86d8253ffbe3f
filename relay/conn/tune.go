package conn

import "net"

// tune prepares a TCP socket: no Nagle delay, as nodeos (net_plugin.cpp:1353), and little unsent data in the kernel.
// Other connections, in-memory ones for example, are left as they are.
func tune(nc net.Conn) {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return
	}
	_ = tcp.SetNoDelay(true) // the default of net; a socket that refuses is about to fail anyway
	limitUnsent(tcp)
}
