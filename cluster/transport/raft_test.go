package transport_test

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"go.uber.org/goleak"

	"github.com/thinrelay/thinrelay/cluster/transport"
)

type nothing struct{}

func (nothing) Apply(*raft.Log) any                 { return nil }
func (nothing) Snapshot() (raft.FSMSnapshot, error) { return nil, io.EOF }
func (nothing) Restore(r io.ReadCloser) error       { return r.Close() }

// TestRaftOverTransport runs a group on the layer: election, a commit, the loss of the leader, and an end that leaves no
// goroutine (the bubble would not end).
func TestRaftOverTransport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := []string{"a", "b", "c"}
		c := newCluster(t, nodes...)
		c.net.SetDefaultDelay(20 * time.Millisecond)
		var servers []raft.Server
		for _, node := range nodes {
			servers = append(servers, raft.Server{ID: raft.ServerID(node), Address: raft.ServerAddress(node + ":8300")})
		}
		rafts := make(map[string]*raft.Raft)
		var closers []func()
		for _, node := range nodes {
			tr := c.open(node)
			cfg := raft.DefaultConfig()
			cfg.LocalID = raft.ServerID(node)
			cfg.Logger = hclog.NewNullLogger()
			store := raft.NewInmemStore()
			layer := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
				Stream: tr.Raft(), MaxPool: 3, MaxRPCsInFlight: 1, Timeout: 2 * time.Second, Logger: hclog.NewNullLogger(),
			})
			snaps := raft.NewInmemSnapshotStore()
			if err := raft.BootstrapCluster(cfg, store, store, snaps, layer, raft.Configuration{Servers: servers}); err != nil {
				t.Fatal(err)
			}
			r, err := raft.NewRaft(cfg, nothing{}, store, store, snaps, layer)
			if err != nil {
				t.Fatal(err)
			}
			rafts[node] = r
			closers = append(closers, func() {
				done := r.Shutdown()
				layer.Close()
				done.Error()
				tr.Close()
			})
		}
		commit := func(without string) string {
			t.Helper()
			for range 100 {
				for node, r := range rafts {
					if node != without && r.State() == raft.Leader && r.Apply([]byte("x"), time.Second).Error() == nil {
						return node
					}
				}
				time.Sleep(100 * time.Millisecond) // fake time
			}
			t.Fatal("no commit within 10 s")
			return ""
		}
		first := commit("")
		c.net.Isolate(first)
		if second := commit(first); second == first {
			t.Fatalf("%s leads from its island", first)
		}
		c.net.Rejoin(first)
		time.Sleep(5 * time.Second)
		commit("")
		for _, closer := range closers {
			closer()
		}
		if got := c.net.Conns(); got != 0 {
			t.Errorf("%d connection ends left open", got)
		}
	})
}

// TestRealSockets is the way from Listen to bytes without memnet.
func TestRealSockets(t *testing.T) {
	defer goleak.VerifyNone(t)
	c := newCluster(t, "a", "b")
	start := func(node string) *transport.Transport {
		cfg := c.config(node)
		cfg.Listen, cfg.Dial, cfg.NameOf = "127.0.0.1:0", nil, nil
		tr, err := transport.Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		return tr
	}
	a, b := start("a"), start("b")
	defer a.Close()
	defer b.Close()
	near, err := a.Link().Dial(t.Context(), b.Addr().String(), "b")
	if err != nil {
		t.Fatal(err)
	}
	far, name, err := b.Link().Accept(t.Context())
	if err != nil || name != "a" {
		t.Fatalf("accept: %q, %v", name, err)
	}
	echo(t, near, far)
	near.Close()
	if _, err := far.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("read after close: %v, want EOF", err)
	}
	cfg := c.config("a")
	cfg.Listen = "0.0.0.0:0"
	if tr, err := transport.Open(cfg); err == nil {
		tr.Close()
		t.Fatal("a wildcard is advertised")
	}
}
