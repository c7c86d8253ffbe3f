package link_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/thinrelay/thinrelay/cluster/link"
	"github.com/thinrelay/thinrelay/relay/simnet/memnet"
)

func TestNewerFeedEndsTheOlder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		a, b := open(t, n, "a"), open(t, n, "b")
		causes := make(chan error, 10)
		var feeds atomic.Int32
		stop := background(t, func(ctx context.Context) error {
			return link.New(link.Config{Listener: b}).Serve(ctx, func(ctx context.Context, name string, p link.Purpose, conn net.Conn) error {
				if p == link.Feed && feeds.Add(1) != 1 {
					t.Error("two feeds of one member at once")
				}
				err := hold(ctx, name, p, conn)
				if p == link.Feed {
					causes <- context.Cause(ctx)
					time.Sleep(time.Second) // the old handler takes its time
					feeds.Add(-1)
				}
				return err
			})
		})
		dial := link.New(link.Config{Dialer: a})
		sync := mustOpen(t, dial, "b", link.Sync)
		defer sync.Close()
		older := mustOpen(t, dial, "b", link.Feed)
		defer older.Close()
		for range 3 {
			time.Sleep(2 * time.Second)
			newer := mustOpen(t, dial, "b", link.Feed)
			defer newer.Close()
			if got := <-causes; !errors.Is(got, link.ErrReplaced) {
				t.Fatalf("the older feed ended with %v, want ErrReplaced", got)
			}
			if _, err := older.Read(make([]byte, 1)); err == nil {
				t.Fatal("the older feed is still open")
			}
			older = newer
		}
		for _, conn := range []net.Conn{older, sync} {
			conn.SetReadDeadline(time.Now().Add(time.Second))
			var timeout net.Error
			if _, err := conn.Read(make([]byte, 1)); !errors.As(err, &timeout) || !timeout.Timeout() {
				t.Fatalf("another stream ended: %v", err)
			}
		}
		stop()
		if got := <-causes; !errors.Is(got, context.Canceled) {
			t.Fatalf("the feed ended with %v, want context.Canceled", got)
		}
	})
}

func mustOpen(t *testing.T, l *link.Link, name string, p link.Purpose) net.Conn {
	t.Helper()
	conn, err := l.Open(t.Context(), name, name+":1", p)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestRefusedStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		a, b := open(t, n, "a"), open(t, n, "b")
		var logs bytes.Buffer
		var handled atomic.Int32
		stop := background(t, func(ctx context.Context) error {
			l := link.New(link.Config{Listener: b, MaxStreams: 2, Logger: hclog.New(&hclog.LoggerOptions{Output: &logs})})
			return l.Serve(ctx, func(ctx context.Context, name string, p link.Purpose, conn net.Conn) error {
				handled.Add(1)
				return hold(ctx, name, p, conn)
			})
		})
		dial := link.New(link.Config{Dialer: a})
		refused := func(conn net.Conn, want link.Code) {
			t.Helper()
			for range 3 { // the answer comes first, whatever we write
				if _, err := conn.Write(make([]byte, 10_000)); err != nil {
					t.Fatalf("write: %v, want to read the refusal first", err)
				}
				synctest.Wait()
			}
			_, err := conn.Read(make([]byte, 1))
			var got *link.RefusedError
			if !errors.As(err, &got) || got.Code != want || got.Member != "b" {
				t.Fatalf("read: %v, want refusal %d by b", err, want)
			}
			if _, again := conn.Read(make([]byte, 1)); !errors.Is(again, err) {
				t.Fatalf("second read: %v, want the refusal again", again)
			}
			conn.Close()
			synctest.Wait()
		}
		for range 3 {
			refused(mustOpen(t, dial, "b", link.Purpose(9)), link.CodePurpose)
		}
		for range 2 {
			defer mustOpen(t, dial, "b", link.Sync).Close()
			synctest.Wait()
		}
		refused(mustOpen(t, dial, "b", link.Sync), link.CodeBusy)
		for i, p := range []link.Purpose{link.Feed, link.Call} {
			defer mustOpen(t, dial, "b", p).Close()
			synctest.Wait()
			if got, want := handled.Load(), int32(3+i); got != want {
				t.Errorf("a %s was refused for the fetches of the same member", p)
			}
		}

		raw, err := n.Host("c").Dial(t.Context(), "b:1")
		if err != nil {
			t.Fatal(err)
		}
		raw.Write([]byte("TRLK\x63\x01\x00\x00"))
		answer := make([]byte, 8)
		if _, err := io.ReadFull(raw, answer); err != nil || string(answer) != "TRLK\x01\x01\x00\x00" {
			t.Fatalf("answer to version 99: %q, %v", answer, err)
		}
		raw.Close()
		for name, bytes := range map[string]string{"d": "GET / HTTP/1.1\r\n\r\n", "e": ""} {
			raw, err := n.Host(name).Dial(t.Context(), "b:1")
			if err != nil {
				t.Fatal(err)
			}
			raw.Write([]byte(bytes))
			start := time.Now()
			if _, err := raw.Read(make([]byte, 1)); err == nil {
				t.Fatalf("%q was answered", bytes)
			}
			if took, limit := time.Since(start), 5*time.Second; took > limit {
				t.Fatalf("%q was closed after %v, want %v", bytes, took, limit)
			}
			raw.Close()
		}
		stop()
		if got, want := handled.Load(), int32(4); got != want {
			t.Errorf("%d streams reached the handler, want %d", got, want)
		}
		if got, want := bytes.Count(logs.Bytes(), []byte("refused a stream")), 5; got != want {
			t.Errorf("%d lines, want %d\n%s", got, want, &logs)
		}
	})
}

func TestOtherSideIsNoLink(t *testing.T) {
	tests := []struct {
		name   string
		answer string
		hangUp bool
		want   error
		after  time.Duration
	}{
		{"silent", "", false, link.ErrNoAnswer, 5 * time.Second},
		{"half an answer", "TRLK", false, link.ErrNoAnswer, 5 * time.Second},
		{"hangs up", "", true, io.ErrUnexpectedEOF, 0},
		{"garbage", "HTTP/1.1 400 Bad Request\r\n", false, link.ErrNotLink, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := memnet.New()
				a, b := open(t, n, "a"), open(t, n, "b")
				conn := mustOpen(t, link.New(link.Config{Dialer: a}), "b", link.Feed)
				defer conn.Close()
				far, err := b.ln.Accept()
				if err != nil {
					t.Fatal(err)
				}
				defer far.Close()
				io.ReadFull(far, make([]byte, 8))
				far.Write([]byte(tt.answer))
				if tt.hangUp {
					far.Close()
				}
				start := time.Now()
				if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, tt.want) {
					t.Fatalf("read: %v, want %v", err, tt.want)
				}
				if got := time.Since(start); got != tt.after {
					t.Fatalf("after %v, want %v", got, tt.after)
				}
			})
		})
	}
}

// A deadline of the reader's that passes in the middle of the answer loses nothing.
func TestDeadlineDuringTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		a, b := open(t, n, "a"), open(t, n, "b")
		conn := mustOpen(t, link.New(link.Config{Dialer: a}), "b", link.Feed)
		defer conn.Close()
		far, err := b.ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer far.Close()
		io.ReadFull(far, make([]byte, 8))
		far.Write([]byte("TRLK\x01"))
		conn.SetReadDeadline(time.Now().Add(time.Second))
		var timeout net.Error
		if _, err := conn.Read(make([]byte, 1)); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Fatalf("read: %v, want a timeout", err)
		}
		far.Write([]byte("\x00\x00\x00payload"))
		conn.SetReadDeadline(time.Time{})
		got := make([]byte, 7)
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != "payload" {
			t.Fatalf("read %q, %v", got, err)
		}
		time.Sleep(time.Minute)
		far.Write([]byte("more!!!"))
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != "more!!!" {
			t.Fatalf("a minute later: %q, %v", got, err)
		}
	})
}

func FuzzHello(f *testing.F) {
	f.Add([]byte("TRLK\x01\x01\x00\x00"))
	f.Add([]byte("TRLK\x02\x00\x00\x00"))
	f.Add([]byte("TRLK"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, code, err := link.ParseHello(b)
		if err == nil && code == link.Welcome {
			want := link.AppendHello(nil, p)
			if !bytes.Equal(b[:6], want[:6]) {
				t.Fatalf("%q is welcome as %q", b, want)
			}
		}
		if c, err := link.ParseAnswer(b); err == nil && !bytes.Equal(link.AppendAnswer(nil, c)[5:6], b[5:6]) {
			t.Fatalf("%q is answer %d", b, c)
		}
	})
}
