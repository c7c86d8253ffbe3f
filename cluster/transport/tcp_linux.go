package transport

import "syscall"

const tcpUserTimeout = 0x12 // TCP_USER_TIMEOUT of linux/tcp.h, in milliseconds

// setUserTimeout breaks a connection whose bytes stay unacknowledged, instead of the kernel's quarter of an hour.
// Accepted sockets inherit it. It is a help, not a promise: an error is not worth refusing to run.
func setUserTimeout(_, _ string, raw syscall.RawConn) error {
	return raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(userTimeout.Milliseconds()))
	})
}
