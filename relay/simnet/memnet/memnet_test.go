package memnet_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/simnet/memnet"
)

// pair returns the two ends of a connection from host a to host b.
func pair(t *testing.T, n *memnet.Network) (client, server net.Conn) {
	t.Helper()
	ln, err := n.Host("b").Listen("b:9876")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err = n.Host("a").Dial(t.Context(), "b:9876")
	if err != nil {
		t.Fatal(err)
	}
	server, err = ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

func write(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if _, err := c.Write([]byte(s)); err != nil {
		t.Fatalf("write %q: %v", s, err)
	}
}

func read(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v, want %q", got, err, want)
	}
}

func readErr(t *testing.T, c net.Conn, want error) {
	t.Helper()
	if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, want) {
		t.Fatalf("read %d, %v, want %v", n, err, want)
	}
}

func TestDelayIsOneWayAndKeepsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		n.SetDelay("a", "b", 30*time.Millisecond)
		n.SetDelay("b", "a", 50*time.Millisecond)
		start := time.Now()
		c, s := pair(t, n)
		if got, want := time.Since(start), 80*time.Millisecond; got != want {
			t.Fatalf("dial took %v, want %v", got, want)
		}
		start = time.Now()
		write(t, c, "one")
		n.SetDelay("a", "b", 0)
		write(t, c, "two")
		read(t, s, "onetwo")
		if got, want := time.Since(start), 30*time.Millisecond; got != want {
			t.Fatalf("arrived after %v, want %v", got, want)
		}
		write(t, s, "back")
		read(t, c, "back")
		if got, want := time.Since(start), 80*time.Millisecond; got != want {
			t.Fatalf("answer after %v, want %v", got, want)
		}
	})
}

func TestCutHoldsBytesAndHealDelivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New(memnet.WithDelay(10 * time.Millisecond))
		c, s := pair(t, n)
		write(t, c, "flying ")
		n.Cut("a", "b")
		write(t, c, "held")
		read(t, s, "flying ")
		s.SetReadDeadline(time.Now().Add(time.Minute))
		readErr(t, s, os.ErrDeadlineExceeded)
		s.SetReadDeadline(time.Time{})
		write(t, s, "other way") // not cut
		read(t, c, "other way")

		start := time.Now()
		n.Heal("a", "b")
		read(t, s, "held")
		if got, want := time.Since(start), 10*time.Millisecond; got != want {
			t.Fatalf("arrived %v after the heal, want %v", got, want)
		}
	})
}

func TestCutOfAcknowledgementsStallsTheWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New(memnet.WithBuffer(8))
		c, s := pair(t, n)
		n.Cut("b", "a")
		write(t, c, "12345678")
		read(t, s, "12345678")
		c.SetWriteDeadline(time.Now().Add(time.Second))
		if k, err := c.Write([]byte("9")); k != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("write %d, %v, want the deadline", k, err)
		}
		n.Heal("b", "a")
		c.SetWriteDeadline(time.Time{})
		write(t, c, "9")
		read(t, s, "9")
	})
}

func TestWriterBlocksWhenFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := pair(t, memnet.New(memnet.WithBuffer(10)))
		done := make(chan error, 1)
		go func() {
			_, err := c.Write([]byte("0123456789abcdefghij"))
			done <- err
		}()
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("a write larger than the buffer returned %v before anything was read", err)
		default:
		}
		read(t, s, "0123456789abcdefghij")
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

func TestWritesAreNotInterleaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := pair(t, memnet.New(memnet.WithBuffer(8)))
		for _, letter := range []byte("ab") {
			go c.Write(bytes.Repeat([]byte{letter}, 100))
		}
		got := make([]byte, 200)
		for i := range got { // one byte at a time, so that both writers wait for room
			synctest.Wait()
			if _, err := s.Read(got[i : i+1]); err != nil {
				t.Fatal(err)
			}
		}
		if first := got[:100]; !bytes.Equal(first, bytes.Repeat(first[:1], 100)) {
			t.Fatalf("two writes were mixed: %s", got)
		}
	})
}

func TestEndOfStream(t *testing.T) {
	tests := []struct {
		name string
		do   func(n *memnet.Network, c, s net.Conn)
		read error // what s reads after the rest
		rest string
		err  error // what s gets from a second write
	}{
		{"close", func(_ *memnet.Network, c, _ net.Conn) { c.Write([]byte("bye")); c.Close() }, io.EOF, "bye", syscall.ECONNRESET},
		{"half close", func(_ *memnet.Network, c, _ net.Conn) { c.Write([]byte("bye")); c.(*memnet.Conn).CloseWrite() }, io.EOF, "bye", nil},
		{"close with unread bytes", func(_ *memnet.Network, c, s net.Conn) {
			s.Write([]byte("unread"))
			time.Sleep(time.Second)
			c.Close()
		}, syscall.ECONNRESET, "", syscall.ECONNRESET},
		{"close before bytes in flight", func(_ *memnet.Network, c, s net.Conn) { s.Write([]byte("flying")); c.Close() }, io.EOF, "", syscall.ECONNRESET},
		{"reset", func(_ *memnet.Network, c, _ net.Conn) { c.Write([]byte("x")); c.(*memnet.Conn).Reset() }, syscall.ECONNRESET, "x", syscall.ECONNRESET},
		{"kill", func(n *memnet.Network, _, _ net.Conn) { n.Kill("a") }, syscall.ECONNRESET, "", syscall.ECONNRESET},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := memnet.New(memnet.WithDelay(5 * time.Millisecond))
				c, s := pair(t, n)
				tt.do(n, c, s)
				read(t, s, tt.rest)
				readErr(t, s, tt.read)
				if tt.read == io.EOF {
					if _, err := s.Write([]byte("first")); err != nil {
						t.Fatalf("first write after EOF: %v, want success as with a socket", err)
					}
				}
				time.Sleep(20 * time.Millisecond) // fake time: the RST comes back
				if _, err := s.Write([]byte("second")); !errors.Is(err, tt.err) {
					t.Fatalf("second write: %v, want %v", err, tt.err)
				}
			})
		})
	}
}

func TestOwnClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := pair(t, memnet.New())
		blocked := make(chan error, 1)
		go func() {
			_, err := c.Read(make([]byte, 1))
			blocked <- err
		}()
		synctest.Wait()
		c.Close()
		if err := <-blocked; !errors.Is(err, net.ErrClosed) {
			t.Fatalf("blocked read: %v, want net.ErrClosed", err)
		}
		if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("write: %v, want net.ErrClosed", err)
		}
		if err := c.Close(); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("second close: %v, want net.ErrClosed", err)
		}
	})
}

func TestDialFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New(memnet.WithDelay(20 * time.Millisecond))
		a := n.Host("a")
		n.Host("b")
		start := time.Now()
		if _, err := a.Dial(t.Context(), "b:1"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("no listener: %v, want ECONNREFUSED", err)
		}
		if got, want := time.Since(start), 40*time.Millisecond; got != want {
			t.Fatalf("refused after %v, want %v", got, want)
		}
		var dns *net.DNSError
		if _, err := a.Dial(t.Context(), "nobody:1"); !errors.As(err, &dns) {
			t.Fatalf("unknown host: %v, want a DNS error", err)
		}

		ln, err := n.Host("b").Listen(":7")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		n.Cut("b", "a")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = a.Dial(ctx, "b:7")
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Fatalf("dial over a cut: %v, want a timeout", err)
		}
		dialled := make(chan error, 1)
		go func() {
			c, err := a.Dial(context.Background(), "b:7")
			if err == nil {
				c.Close()
			}
			dialled <- err
		}()
		synctest.Wait()
		n.Heal("b", "a")
		if err := <-dialled; err != nil {
			t.Fatalf("dial after the heal: %v", err)
		}
		if _, err := n.Host("b").Listen("b:7"); !errors.Is(err, syscall.EADDRINUSE) {
			t.Fatalf("second listener: %v, want EADDRINUSE", err)
		}
	})
}

func TestKillAndRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		old := n.Host("b")
		ln, err := old.Listen("b:7")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := n.Host("a").Dial(t.Context(), "b:7"); err != nil { // stays in the backlog
			t.Fatal(err)
		}
		n.Kill("b")
		if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("accept on a killed host: %v, want net.ErrClosed", err)
		}
		if _, err := old.Dial(t.Context(), "a:1"); !errors.Is(err, memnet.ErrKilled) {
			t.Fatalf("dial by a killed host: %v, want ErrKilled", err)
		}
		ln, err = n.Host("b").Listen("b:7")
		if err != nil {
			t.Fatalf("restart: %v", err)
		}
		ln.Close()
		n.Close()
		if got := n.Conns(); got != 0 {
			t.Fatalf("%d connection ends left", got)
		}
	})
}

func TestIsolate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		c, s := pair(t, n)
		n.Isolate("b")
		write(t, c, "x")
		write(t, s, "y")
		n.Cut("a", "b")
		n.Rejoin("b")
		read(t, c, "y")
		s.SetReadDeadline(time.Now().Add(time.Second))
		readErr(t, s, os.ErrDeadlineExceeded) // Rejoin does not undo Cut
		n.HealAll()
		s.SetReadDeadline(time.Time{})
		read(t, s, "x")
	})
}

func TestAddresses(t *testing.T) {
	n := memnet.New()
	c, _ := pair(t, n)
	if got, want := c.RemoteAddr().String(), "b:9876"; got != want {
		t.Errorf("remote %s, want %s", got, want)
	}
	n = memnet.New(memnet.WithIPs())
	c, s := pair(t, n)
	tcp, ok := s.RemoteAddr().(*net.TCPAddr)
	if !ok || tcp.AddrPort().Addr() != n.IP("a") || !netip.MustParsePrefix("10.0.0.0/8").Contains(n.IP("a")) {
		t.Errorf("remote %v, want a TCP address with the IP of a, %s", s.RemoteAddr(), n.IP("a"))
	}
	ln, err := n.Host("b").Listen("0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	d, err := n.Host("a").DialContext(t.Context(), "tcp", ln.Addr().String())
	if err != nil {
		t.Fatalf("dial %s: %v", ln.Addr(), err)
	}
	d.Close()
	if got := c.LocalAddr().(*net.TCPAddr).IP.String(); got != n.IP("a").String() {
		t.Errorf("local %s, want %s", got, n.IP("a"))
	}
}

// TestStreamUnderFaults sends random bytes through cuts, heals and changing delays with odd read and write sizes.
func TestStreamUnderFaults(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			n := memnet.New(memnet.WithBuffer(1 + rnd.IntN(5000)))
			c, s := pair(t, n)
			want := make([]byte, 50_000)
			for i := range want {
				want[i] = byte(rnd.Uint32())
			}
			stop := make(chan struct{})
			faults := make(chan struct{})
			go func() {
				defer close(faults)
				for {
					select {
					case <-stop:
						n.HealAll()
						return
					case <-time.After(time.Duration(rnd.IntN(20)) * time.Millisecond):
					}
					switch rnd.IntN(4) {
					case 0:
						n.Cut("a", "b")
					case 1:
						n.Cut("b", "a")
					case 2:
						n.HealAll()
					case 3:
						n.SetDelay("a", "b", time.Duration(rnd.IntN(30))*time.Millisecond)
					}
				}
			}()
			go func() {
				sizes := rand.New(rand.NewPCG(seed, 2))
				for rest := want; len(rest) > 0; {
					k := min(len(rest), 1+sizes.IntN(9000))
					if _, err := c.Write(rest[:k]); err != nil {
						t.Errorf("seed %d: write: %v", seed, err)
						break
					}
					rest = rest[k:]
				}
				c.Close()
			}()
			got, err := io.ReadAll(s)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("seed %d: %d bytes, %v; want the %d sent", seed, len(got), err, len(want))
			}
			close(stop)
			<-faults
		})
	}
}

func TestConcurrentUse(t *testing.T) {
	n := memnet.New()
	c, s := pair(t, n)
	done := make(chan struct{})
	for _, conn := range []net.Conn{c, s} {
		for range 3 {
			go func() {
				defer func() { done <- struct{}{} }()
				for range 200 {
					conn.SetDeadline(time.Now().Add(time.Minute))
					if _, err := conn.Write(make([]byte, 1000)); err != nil {
						return
					}
				}
			}()
			go func() {
				defer func() { done <- struct{}{} }()
				for buf := make([]byte, 700); ; {
					if _, err := conn.Read(buf); err != nil {
						return
					}
				}
			}()
		}
	}
	for i := range 12 {
		if i == 6 { // the writers are done, as the readers read on
			n.Kill("a")
		}
		<-done
	}
}

func BenchmarkStream(b *testing.B) {
	n := memnet.New()
	ln, err := n.Host("b").Listen("b:1")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	c, err := n.Host("a").Dial(b.Context(), "b:1")
	if err != nil {
		b.Fatal(err)
	}
	s, err := ln.Accept()
	if err != nil {
		b.Fatal(err)
	}
	chunk := make([]byte, 64<<10)
	b.SetBytes(int64(len(chunk)))
	b.ReportAllocs()
	go func() {
		for range b.N {
			if _, err := c.Write(chunk); err != nil {
				return
			}
		}
		c.Close()
	}()
	if n, err := io.Copy(io.Discard, s); err != nil || n != int64(b.N)*int64(len(chunk)) {
		b.Fatalf("copied %d, %v", n, err)
	}
}
