package control_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
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

// oneListener accepts one connection.
type oneListener struct {
	quietListener
	conns chan net.Conn
}

func (l oneListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// TestBodiesThatDoNotCome lets nobody hold a connection by a body that is announced and not sent, whoever reads it or not: the server waits for it before
// it answers, and with 256 such connections nobody was answered any more.
func TestBodiesThatDoNotCome(t *testing.T) {
	for name, head := range map[string]string{
		"read":              "GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n",
		"change, chunked":   "POST /v1/step-down HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
		"change, no rights": "POST /v1/step-down HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				defer ours.Close()
				ln := oneListener{quietListener{make(chan struct{})}, make(chan net.Conn, 1)}
				ln.conns <- theirs
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- control.New(control.Config{Node: newFakeNode()}).Run(ctx, ln) }()
				if _, err := io.WriteString(ours, head); err != nil {
					t.Fatal(err)
				}
				_ = ours.SetReadDeadline(time.Now().Add(20 * time.Second))
				if _, err := io.Copy(io.Discard, ours); err != nil {
					t.Errorf("%v, want the connection to be closed", err)
				}
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}
