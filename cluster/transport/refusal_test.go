package transport_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"maps"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/cluster/transport"
)

func TestRefusals(t *testing.T) {
	protos := []string{transport.ProtoRaft}
	client := func(t *testing.T, pair transport.Pair, change func(*tls.Config)) func(net.Conn) {
		t.Helper()
		cfg := &tls.Config{InsecureSkipVerify: true, NextProtos: protos}
		if len(pair.Cert) > 0 {
			cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
			if err != nil {
				t.Fatal(err)
			}
			cfg.Certificates = []tls.Certificate{cert}
		}
		if change != nil {
			change(cfg)
		}
		return func(conn net.Conn) {
			secure := tls.Client(conn, cfg)
			if secure.HandshakeContext(t.Context()) == nil {
				io.Copy(io.Discard, secure) // the refusal arrives here
			}
		}
	}
	tests := []struct {
		reason string
		do     func(t *testing.T, c *cluster) func(net.Conn)
	}{
		{"not_tls", func(*testing.T, *cluster) func(net.Conn) {
			return func(conn net.Conn) {
				conn.Write([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
				io.Copy(io.Discard, conn)
			}
		}},
		{"timeout", func(*testing.T, *cluster) func(net.Conn) {
			return func(conn net.Conn) { io.Copy(io.Discard, conn) }
		}},
		{"hung_up", func(*testing.T, *cluster) func(net.Conn) { return func(net.Conn) {} }},
		{"no_certificate", func(t *testing.T, _ *cluster) func(net.Conn) { return client(t, transport.Pair{}, nil) }},
		{"wrong_ca", func(t *testing.T, _ *cluster) func(net.Conn) {
			other, err := transport.NewCA("other")
			if err != nil {
				t.Fatal(err)
			}
			return client(t, issue(t, other, transport.Issue{Node: "b"}), nil)
		}},
		{"wrong_name", func(t *testing.T, c *cluster) func(net.Conn) {
			return client(t, issue(t, c.ca, transport.Issue{Node: "stranger", Hosts: []string{"b"}}), nil)
		}},
		{"own_name", func(t *testing.T, c *cluster) func(net.Conn) {
			return client(t, issue(t, c.ca, transport.Issue{Node: "a"}), nil)
		}},
		{"expired", func(t *testing.T, c *cluster) func(net.Conn) {
			pair := issue(t, c.ca, transport.Issue{Node: "b", Life: time.Minute})
			time.Sleep(2 * time.Minute) // fake time
			return client(t, pair, nil)
		}},
		{"no_protocol", func(t *testing.T, c *cluster) func(net.Conn) {
			return client(t, issue(t, c.ca, transport.Issue{Node: "b"}), func(cfg *tls.Config) { cfg.NextProtos = nil })
		}},
		{"no_protocol", func(t *testing.T, c *cluster) func(net.Conn) {
			return client(t, issue(t, c.ca, transport.Issue{Node: "b"}), func(cfg *tls.Config) { cfg.NextProtos = []string{"h2"} })
		}},
		{"old_tls", func(t *testing.T, c *cluster) func(net.Conn) {
			return client(t, issue(t, c.ca, transport.Issue{Node: "b"}), func(cfg *tls.Config) { cfg.MaxVersion = tls.VersionTLS12 })
		}},
		{"bad_certificate", func(t *testing.T, c *cluster) func(net.Conn) { // an operator's, good for HTTPS only
			return client(t, foreignPair(t, c, "b", []string{"b"}, x509.ExtKeyUsageClientAuth), nil)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, "a", "b")
				a, b := c.open("a"), c.open("b")
				steady := talks(t, b, a, "b", "a")
				do := tt.do(t, c)
				strike := func() {
					t.Helper()
					conn, err := c.net.Host("evil").Dial(t.Context(), "a:8300")
					if err != nil {
						t.Fatal(err)
					}
					do(conn)
					conn.Close()
					synctest.Wait()
				}
				const strikes = 3
				for range strikes {
					strike()
				}
				want := map[string]uint64{tt.reason: strikes}
				if got := a.Refused(); !maps.Equal(got, want) {
					t.Fatalf("refused %v, want %v\n%s", got, want, c.logs["a"])
				}
				if got := c.logs["a"].count("refused a connection"); got != 1 {
					t.Fatalf("%d lines for %d strikes within a minute, want 1\n%s", got, strikes, c.logs["a"])
				}
				time.Sleep(time.Minute)
				strike()
				if got := c.logs["a"].count("more=2"); got != 1 {
					t.Fatalf("a minute later the left-out lines are not counted\n%s", c.logs["a"])
				}
				// Nobody is disturbed.
				steady.SetReadDeadline(time.Now())
				if _, err := steady.Read(make([]byte, 1)); !os.IsTimeout(err) {
					t.Fatalf("a member's connection: %v, want it to go on", err)
				}
				talks(t, b, a, "b", "a")
			})
		})
	}
}

func TestFloodDisplacesItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b")
		c.net.SetDefaultDelay(40 * time.Millisecond)
		a := c.open("a", func(cfg *transport.Config) { cfg.MaxHandshakes = 8 })
		b := c.open("b")
		stop := make(chan struct{})
		over := make(chan struct{})
		go func() {
			defer close(over)
			var conns []net.Conn
			for {
				select {
				case <-stop:
					for _, conn := range conns {
						conn.Close()
					}
					return
				case <-time.After(time.Millisecond):
				}
				conn, err := c.net.Host("evil").Dial(t.Context(), "a:8300")
				if err != nil {
					t.Error(err)
					return
				}
				conns = append(conns, conn)
			}
		}()
		time.Sleep(time.Second)
		for range 5 {
			talks(t, b, a, "b", "a")
		}
		if a.Refused()["flood"] == 0 {
			t.Fatal("no flood was noticed")
		}
		if got := c.logs["a"].count("reason=flood"); got != 1 {
			t.Fatalf("%d lines about one flood, want 1", got)
		}
		close(stop)
		<-over
	})
}

func issue(t *testing.T, ca *transport.CA, i transport.Issue) transport.Pair {
	t.Helper()
	pair, err := ca.Issue(i)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}
