package control_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/relay/control"
)

// TestConnectionsAreBounded keeps readers from using up the relay's descriptors.
func TestConnectionsAreBounded(t *testing.T) {
	url, _ := start(t, control.Config{Node: newFakeNode()})
	addr := strings.TrimPrefix(url, "http://")
	const limit = 256
	conns := make([]net.Conn, 0, limit+1)
	dial := func() net.Conn {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(4 * time.Second)) // below the server's own time for a request
		conns = append(conns, c)
		return c
	}
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	for range limit {
		dial()
	}
	if _, err := dial().Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("connection %d: %v, want it closed", limit+1, err)
	}
	if _, err := io.WriteString(conns[limit-1], "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 12)
	if _, err := io.ReadFull(conns[limit-1], answer); err != nil || string(answer) != "HTTP/1.1 200" {
		t.Errorf("connection %d: %q, %v", limit, answer, err)
	}
}
