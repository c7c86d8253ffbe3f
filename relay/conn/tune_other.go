//go:build !linux

package conn

import "net"

// limitUnsent needs TCP_NOTSENT_LOWAT of Linux.
func limitUnsent(*net.TCPConn) {}
