//go:build benchpeers

package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"unsafe"
)

// threadReader reads a socket on a thread that does nothing else, waits in the kernel, and runs before all others when it is
// woken. It stands for a host of its own. What is measured shares our processors: a reader that waits for one, or for the
// scheduler of this process, would count what a proxy does after it has passed a block on.
type threadReader struct{ fd int }

var _ io.ReadCloser = (*threadReader)(nil)

// newThreadReader takes over reading from c, whose calls block from now on.
func newThreadReader(c net.Conn) (*threadReader, error) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return nil, fmt.Errorf("read %s: no TCP connection", c.RemoteAddr())
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil, err
	}
	t := &threadReader{}
	if ctl := raw.Control(func(fd uintptr) {
		if t.fd, err = syscall.Dup(int(fd)); err == nil {
			err = syscall.SetNonblock(t.fd, false) // of the socket, whichever descriptor it is called by
		}
	}); ctl != nil {
		return nil, ctl
	}
	return t, os.NewSyscallError("dup", err)
}

// Read waits for bytes. Its caller has locked itself to a thread.
func (t *threadReader) Read(p []byte) (int, error) {
	for {
		n, err := syscall.Read(t.fd, p)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return 0, os.NewSyscallError("read", err)
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// end makes a Read that waits return.
func (t *threadReader) end() { _ = syscall.Shutdown(t.fd, syscall.SHUT_RDWR) }

// Close closes the descriptor, when nobody reads any more.
func (t *threadReader) Close() error { return syscall.Close(t.fd) }

// withoutPriority says so once.
var withoutPriority sync.Once

// receiveApart is receive on a thread of its own.
func (p *peer) receiveApart(arrived func(num uint32)) error {
	runtime.LockOSThread()
	// Without UnlockOSThread: the thread ends with its goroutine, and its priority with it.
	if err := hurry(); err != nil {
		withoutPriority.Do(func() {
			fmt.Fprintf(os.Stderr, "the upstream waits for a processor like all others, p99 is too high: %v\n", err)
		})
	}
	defer p.thread.Close()
	return p.receive(arrived)
}

// hurry has this thread run before all that are not of its kind, as root.
func hurry() error {
	const fifo = 1 // SCHED_FIFO
	priority := struct{ priority int32 }{1}
	if _, _, errno := syscall.Syscall(syscall.SYS_SCHED_SETSCHEDULER, 0, fifo, uintptr(unsafe.Pointer(&priority))); errno != 0 {
		return os.NewSyscallError("sched_setscheduler", errno)
	}
	return nil
}
