package conn_test

import (
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/relay/conn"
)

// A connection whose other end's host says nothing any more ends after the write timeout: the kernel is told so.
func TestUnacknowledged(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.New(nc, conn.Config{WriteTimeout: 7 * time.Second}).Close(nil)
	raw, err := nc.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	const userTimeout = 18 // TCP_USER_TIMEOUT of linux/tcp.h
	if cerr := raw.Control(func(fd uintptr) {
		got, err := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, userTimeout)
		if want := 7000; got != want || err != nil {
			t.Errorf("user timeout: got %d ms, %v, want %d", got, err, want)
		}
	}); cerr != nil {
		t.Fatal(cerr)
	}
}
