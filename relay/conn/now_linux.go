package conn

import (
	"net"
	"syscall"
)

// direct writes to a socket without ever waiting for it. It belongs to whoever has the writer's place.
type direct struct {
	raw syscall.RawConn
	try func(fd uintptr) // made once: a closure for each write would be an allocation
	buf []byte
	n   int
}

func newDirect(nc net.Conn) *direct {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil // closed already; the reader will say so
	}
	d := &direct{raw: raw}
	d.try = func(fd uintptr) { d.n, _ = syscall.Write(int(fd), d.buf) }
	return d
}

// write writes what the socket takes and returns how much that was. An error is left for the writer to meet: it knows
// what follows from it. Sockets of package net do not block, and Control, unlike RawConn.Write, waits for no deadline.
func (d *direct) write(b []byte) int {
	d.buf, d.n = b, 0
	_ = d.raw.Control(d.try) // fails only when the socket is closed
	d.buf = nil
	return max(d.n, 0)
}
