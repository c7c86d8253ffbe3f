package transport_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/thinrelay/thinrelay/cluster/transport"
)

func TestMembersTalkOnBothProtocols(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b")
		a, b := c.open("a"), c.open("b")
		talks(t, a, b, "a", "b")
		talks(t, b, a, "b", "a")

		near, err := a.Raft().Dial("b:8300", time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer near.Close()
		far, err := b.Raft().Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer far.Close()
		echo(t, near, far)
		if got, want := a.Raft().Addr().String(), "a:8300"; got != want {
			t.Fatalf("raft address %s, want %s", got, want)
		}
		if got := b.Refused(); len(got) != 0 {
			t.Fatalf("refused %v", got)
		}
	})
}

func TestDialIsPinned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b", "c")
		a, b := c.open("a"), c.open("b")
		// c's traffic is sent to b.
		ln, err := c.net.Host("c").Listen("c:8300")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		go splice(c, ln, "b:8300")

		if _, err := a.Raft().Dial("c:8300", time.Second); !errors.Is(err, transport.ErrWrongMember) {
			t.Fatalf("raft dial of c that reaches b: %v, want ErrWrongMember", err)
		}
		if _, err := a.Link().Dial(t.Context(), "b:8300", "c"); !errors.Is(err, transport.ErrWrongMember) {
			t.Fatalf("link dial of c at b's address: %v, want ErrWrongMember", err)
		}
		// An address nobody has told us may be any member, but not ourselves.
		unknown := c.net.IP("b").String() + ":8300"
		conn, err := a.Raft().Dial(raft.ServerAddress(unknown), time.Second)
		if err != nil {
			t.Fatalf("dial %s: %v", unknown, err)
		}
		conn.Close()
		own := c.net.IP("a").String() + ":8300"
		if _, err := a.Raft().Dial(raft.ServerAddress(own), time.Second); !errors.Is(err, transport.ErrSelf) {
			t.Fatalf("dial of our own address: %v, want ErrSelf", err)
		}
		_ = b
	})
}

// splice passes connections on, as a confused NAT would.
func splice(c *cluster, ln net.Listener, to string) {
	for {
		in, err := ln.Accept()
		if err != nil {
			return
		}
		out, err := c.net.Host("c").Dial(context.Background(), to)
		if err != nil {
			in.Close()
			continue
		}
		go func() { io.Copy(in, out); in.Close() }()
		go func() { io.Copy(out, in); out.Close() }()
	}
}

func TestDialTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b")
		a := c.open("a")
		ln, err := c.net.Host("b").Listen("b:8300") // accepts and says nothing
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		start := time.Now()
		if _, err := a.Raft().Dial("b:8300", 700*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("dial of a silent host: %v, want a timeout", err)
		}
		if got, want := time.Since(start), 700*time.Millisecond; got != want {
			t.Fatalf("gave up after %v, want %v", got, want)
		}
		done := make(chan error)
		go func() {
			_, err := a.Raft().Dial("b:8300", time.Hour)
			done <- err
		}()
		synctest.Wait()
		start = time.Now()
		a.Raft().Close() // raft waits for its dials when it shuts down
		if err := <-done; err == nil || time.Since(start) != 0 {
			t.Fatalf("dial ended %v after Close with %v, want an error at once", time.Since(start), err)
		}
	})
}

func TestCloseEndsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b")
		a, b := c.open("a"), c.open("b")
		near := talks(t, a, b, "a", "b")
		accepted := make(chan error, 2)
		go func() { _, err := b.Raft().Accept(); accepted <- err }()
		go func() { _, _, err := b.Link().Accept(context.Background()); accepted <- err }()
		stalled, err := c.net.Host("a").Dial(t.Context(), "b:8300") // in the middle of its handshake
		if err != nil {
			t.Fatal(err)
		}
		defer stalled.Close()
		synctest.Wait()
		start := time.Now()
		b.Close()
		if took := time.Since(start); took != 0 {
			t.Fatalf("close took %v", took)
		}
		for range 2 {
			if err := <-accepted; !errors.Is(err, net.ErrClosed) {
				t.Fatalf("accept: %v, want net.ErrClosed", err)
			}
		}
		if _, err := near.Read(make([]byte, 1)); err == nil {
			t.Fatal("the connection outlived its transport")
		}
		if _, err := b.Link().Dial(t.Context(), "a:8300", "a"); !errors.Is(err, transport.ErrClosed) {
			t.Fatalf("dial: %v, want ErrClosed", err)
		}
		if err := b.Close(); err != nil {
			t.Fatalf("second close: %v", err)
		}
	})
}

func TestCloseOfRaftLeavesTheLinkAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b")
		a, b := c.open("a"), c.open("b")
		near, err := a.Raft().Dial("b:8300", time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer near.Close()
		link := talks(t, a, b, "a", "b")
		far, err := b.Raft().Accept() // raft.NetworkTransport would never close it
		if err != nil {
			t.Fatal(err)
		}
		b.Raft().Close()
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("read on a connection of the closed layer: %v, want net.ErrClosed", err)
		}
		link.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := link.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("the link: %v, want it to go on", err)
		}
		if _, err := a.Raft().Dial("b:8300", time.Second); err == nil {
			synctest.Wait()
			if got := b.Refused()["not_served"]; got != 1 {
				t.Fatalf("refused %v, want one connection not served", b.Refused())
			}
		}
	})
}

func TestCloseOfAConnectionWaitsForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b")
		a, b := c.open("a"), c.open("b")
		near := talks(t, a, b, "a", "b")
		near.SetWriteDeadline(time.Now().Add(time.Second))
		chunk := make([]byte, 1<<20)
		for {
			if _, err := near.Write(chunk); err != nil { // b reads nothing
				break
			}
		}
		start := time.Now()
		near.Close()
		if took, limit := time.Since(start), 250*time.Millisecond; took > limit {
			t.Fatalf("close took %v, want at most %v", took, limit)
		}
	})
}

func TestFormerMembersAreCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b", "c")
		var gone atomic.Value
		gone.Store("")
		a := c.open("a", func(cfg *transport.Config) {
			cfg.Allowed = func(name string) bool { return name != gone.Load() }
		})
		b, other := c.open("b"), c.open("c")
		fromB, fromC := talks(t, b, a, "b", "a"), talks(t, other, a, "c", "a")
		gone.Store("b")
		time.Sleep(11 * time.Second) // fake time
		if _, err := fromB.Read(make([]byte, 1)); err == nil {
			t.Fatal("b is no member and still connected")
		}
		fromC.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := fromC.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("c is a member: %v, want its connection to go on", err)
		}
	})
}

func TestOpenRefusesWhatCannotWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b")
		if _, err := transport.WriteSet(t.TempDir(), "a"); err != nil {
			t.Fatal(err)
		}
		otherDir := t.TempDir()
		if _, err := transport.WriteSet(otherDir, "a"); err != nil {
			t.Fatal(err)
		}
		tests := []struct {
			name   string
			change func(*transport.Config)
			want   string
		}{
			{"no file", func(cfg *transport.Config) { cfg.Key += "x" }, "no such file"},
			{"another node's certificate", func(cfg *transport.Config) {
				cfg.Cert, cfg.Key = transport.FilesOf(c.dir, "b").Cert, transport.FilesOf(c.dir, "b").Key
			}, `is for "b"`},
			{"another CA", func(cfg *transport.Config) { cfg.CA = transport.FilesOf(otherDir, "a").CA }, "unknown authority"},
			{"certificate as CA", func(cfg *transport.Config) { cfg.CA = cfg.Cert }, "no CA certificate"},
			{"key of another", func(cfg *transport.Config) { cfg.Key = transport.FilesOf(c.dir, "b").Key }, "does not match"},
			{"wildcard advertised", func(cfg *transport.Config) { cfg.Advertise = "0.0.0.0:8300" }, "wildcard"},
		}
		for _, tt := range tests {
			cfg := c.config("a")
			tt.change(&cfg)
			ln, err := c.net.Host("a").Listen("a:0")
			if err != nil {
				t.Fatal(err)
			}
			cfg.Listener = ln
			tr, err := transport.Open(cfg)
			if err == nil {
				tr.Close()
			}
			ln.Close()
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %v, want an error with %q", tt.name, err, tt.want)
			}
		}
	})
}

func TestSessionsAreNotResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b")
		a := c.open("a")
		pair := issue(t, c.ca, transport.Issue{Node: "b"})
		cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
		if err != nil {
			t.Fatal(err)
		}
		cfg := &tls.Config{
			InsecureSkipVerify: true,
			Certificates:       []tls.Certificate{cert},
			NextProtos:         []string{transport.ProtoLink},
			ClientSessionCache: tls.NewLRUClientSessionCache(4),
			ServerName:         "a",
		}
		for range 2 {
			raw, err := c.net.Host("b").Dial(t.Context(), "a:8300")
			if err != nil {
				t.Fatal(err)
			}
			near := tls.Client(raw, cfg)
			if err := near.HandshakeContext(t.Context()); err != nil {
				t.Fatal(err)
			}
			far, _, err := a.Link().Accept(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			echo(t, far, near) // a ticket would come with it
			if state := near.ConnectionState(); state.DidResume || state.Version != tls.VersionTLS13 {
				t.Fatalf("resumed %v, version %x", state.DidResume, state.Version)
			}
			near.Close()
			far.Close()
		}
	})
}
