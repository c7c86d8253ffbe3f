package conn

import (
	"net"
	"time"
)

// tune prepares a TCP socket: no Nagle delay, as nodeos (net_plugin.cpp:1353), little unsent data in the kernel, and an end
// when what was sent has not been acknowledged for so long. Other connections, in-memory ones for example, are left as they are.
func tune(nc net.Conn, unacknowledged time.Duration) {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return
	}
	_ = tcp.SetNoDelay(true) // the default of net; a socket that refuses is about to fail anyway
	limitUnsent(tcp)
	limitUnacknowledged(tcp, unacknowledged)
}
