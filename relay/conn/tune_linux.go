package conn

import (
	"net"
	"syscall"
	"time"
)

// TCP_USER_TIMEOUT, in milliseconds, and TCP_NOTSENT_LOWAT, in bytes, of linux/tcp.h.
const (
	tcpUserTimeout  = 18
	tcpNotsentLowat = 25
)

// maxUnsent is how many bytes the kernel may hold that are not on the wire yet. Without it a slow link fills megabytes
// of socket buffer with block sync or transactions, and a live block queues behind them; with it what waits does so in
// our lanes, where blocks go first. Bytes in flight are not limited, so throughput is not.
const maxUnsent = 128 << 10

func limitUnsent(tcp *net.TCPConn) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return // closed already; the reader will say so
	}
	_ = raw.Control(func(fd uintptr) { setUnsent(fd, maxUnsent) })
}

func setUnsent(fd uintptr, n int) {
	// An old kernel that does not know the option only loses the improvement.
	_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpNotsentLowat, n)
}

// limitUnacknowledged ends a connection whose peer's kernel is silent: where the way to it has gone without a word (a firewall that
// has forgotten the connection, a host that lost its power) our time messages would else be repeated for a quarter of an hour, and
// the reader would notice after ReadTimeout.
func limitUnacknowledged(tcp *net.TCPConn, limit time.Duration) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return // closed already; the reader will say so
	}
	_ = raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(limit.Milliseconds()))
	})
}
