//go:build !linux

package conn

import (
	"net"
	"time"
)

// limitUnsent needs TCP_NOTSENT_LOWAT of Linux.
func limitUnsent(*net.TCPConn) {}

// limitUnacknowledged needs TCP_USER_TIMEOUT of Linux.
func limitUnacknowledged(*net.TCPConn, time.Duration) {}
