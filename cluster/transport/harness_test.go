package transport_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/thinrelay/thinrelay/cluster/transport"
	"github.com/thinrelay/thinrelay/relay/simnet/memnet"
)

// logBuffer collects log lines from many goroutines.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) count(substring string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Count(b.buf.String(), substring)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// cluster is a directory of certificates and a network for transports to meet in.
type cluster struct {
	t    *testing.T
	net  *memnet.Network
	dir  string
	ca   *transport.CA
	logs map[string]*logBuffer
}

func newCluster(t *testing.T, nodes ...string) *cluster {
	t.Helper()
	dir := t.TempDir()
	ca, err := transport.WriteSet(dir, nodes...)
	if err != nil {
		t.Fatal(err)
	}
	return &cluster{t: t, net: memnet.New(), dir: dir, ca: ca, logs: make(map[string]*logBuffer)}
}

// open starts the transport of a node on its host, at "<node>:8300". Only the nodes named a, b and c are members.
func (c *cluster) open(node string, change ...func(*transport.Config)) *transport.Transport {
	c.t.Helper()
	cfg := c.config(node)
	for _, f := range change {
		f(&cfg)
	}
	if cfg.Listener == nil {
		ln, err := c.net.Host(node).Listen(node + ":8300")
		if err != nil {
			c.t.Fatal(err)
		}
		cfg.Listener = ln
	}
	tr, err := transport.Open(cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { tr.Close() })
	return tr
}

func (c *cluster) config(node string) transport.Config {
	logs := &logBuffer{}
	c.logs[node] = logs
	files := transport.FilesOf(c.dir, node)
	return transport.Config{
		Node:    node,
		CA:      files.CA,
		Cert:    files.Cert,
		Key:     files.Key,
		Allowed: func(name string) bool { return name == "a" || name == "b" || name == "c" },
		NameOf: func(address string) (string, bool) {
			name, _, _ := strings.Cut(address, ":")
			return name, name == "a" || name == "b" || name == "c"
		},
		Dial:   c.net.Host(node).Dial,
		Logger: hclog.New(&hclog.LoggerOptions{Output: logs, Level: hclog.Debug}),
	}
}

// talks checks that a link from one to the other carries bytes both ways and shows both names.
func talks(t *testing.T, from, to *transport.Transport, fromName, toName string) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	near, err := from.Link().Dial(ctx, toName+":8300", toName)
	if err != nil {
		t.Fatalf("dial %s: %v", toName, err)
	}
	far, name, err := to.Link().Accept(ctx)
	if err != nil || name != fromName {
		t.Fatalf("accept at %s: name %q, %v, want %q", toName, name, err, fromName)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	echo(t, near, far)
	echo(t, far, near)
	return near
}

func echo(t *testing.T, from, to net.Conn) {
	t.Helper()
	if _, err := from.Write([]byte("hello")); err != nil {
		t.Fatalf("write: %v", err)
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(to, got); err != nil || string(got) != "hello" {
		t.Fatalf("read %q, %v", got, err)
	}
}

// replace puts a new certificate and key in the place of a node's files.
func replace(t *testing.T, files transport.Files, pair transport.Pair) {
	t.Helper()
	for path, data := range map[string][]byte{files.Cert: pair.Cert, files.Key: pair.Key} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
