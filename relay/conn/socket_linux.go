package conn

import (
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"
)

// socket reads and tries to write a TCP socket with raw system calls. The scheduler is not told of them: a call through
// package net that follows a pause first wakes the runtime's monitor thread, which takes longer than reading a small block
// (docs/performance.md). Sockets of package net never block in a call, so there is nothing that it would have to know.
//
// The part for reading is the reader's, the part for writing belongs to whoever has the writer's place.
type socket struct {
	raw syscall.RawConn

	in       call
	out      call
	tryRead  func(fd uintptr) bool // made once: a closure for each call would be an allocation
	tryWrite func(fd uintptr)
}

// call is one system call on a buffer, and how it ended.
type call struct {
	buf   []byte
	n     int
	errno syscall.Errno
}

func (c *call) do(trap, fd uintptr) {
	for {
		n, _, errno := syscall.RawSyscall(trap, fd, uintptr(unsafe.Pointer(unsafe.SliceData(c.buf))), uintptr(len(c.buf)))
		if c.n, c.errno = int(n), errno; errno != syscall.EINTR {
			return
		}
	}
}

// newSocket returns nil for connections that are not TCP sockets.
func newSocket(nc net.Conn) *socket {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil // closed already; the reader will say so
	}
	s := &socket{raw: raw}
	s.tryRead = func(fd uintptr) bool {
		s.in.do(syscall.SYS_READ, fd)
		return s.in.errno != syscall.EAGAIN
	}
	s.tryWrite = func(fd uintptr) {
		// A large frame goes into the kernel whole, for the writer would be woken in its middle. What is sent after it waits
		// in our lanes as ever: the limit is back before anything else is written.
		large := len(s.out.buf) > maxUnsent
		if large {
			setUnsent(fd, len(s.out.buf))
		}
		s.out.do(syscall.SYS_WRITE, fd)
		if large {
			setUnsent(fd, maxUnsent)
		}
	}
	return s
}

// read is Read of package net: it waits for bytes until the deadline.
func (s *socket) read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	s.in.buf = p
	err := s.raw.Read(s.tryRead)
	s.in.buf = nil
	switch {
	case err != nil:
		return 0, err
	case s.in.errno != 0:
		return 0, os.NewSyscallError("read", s.in.errno)
	case s.in.n == 0:
		return 0, io.EOF
	}
	return s.in.n, nil
}

// write writes what the socket takes at once and returns how much that was. An error is left for the writer to meet, which
// knows what follows from it. Control, unlike RawConn.Write, minds no deadline, and none is needed.
func (s *socket) write(b []byte) int {
	s.out = call{buf: b}
	_ = s.raw.Control(s.tryWrite) // fails only when the socket is closed
	s.out.buf = nil
	if s.out.errno != 0 {
		return 0
	}
	return s.out.n
}
