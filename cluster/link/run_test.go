package link_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/cluster/link"
	"github.com/thinrelay/thinrelay/cluster/transport"
	"github.com/thinrelay/thinrelay/relay/simnet/memnet"
)

func TestFeedFollowsTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		n.SetDefaultDelay(40 * time.Millisecond)
		a, b, c := open(t, n, "a"), open(t, n, "b"), open(t, n, "c")
		for _, p := range []*port{b, c} {
			background(t, func(ctx context.Context) error {
				return link.New(link.Config{Listener: p}).Serve(ctx, hold)
			})
		}
		const slow = 200 * time.Millisecond
		l := newLeader("")
		type event struct {
			name string
			err  error // nil: began
		}
		events := make(chan event, 10)
		stop := background(t, func(ctx context.Context) error {
			return link.New(link.Config{Dialer: a}).Run(ctx, l.target, l.changed, func(ctx context.Context, conn net.Conn, name string) error {
				events <- event{name, nil}
				conn.Read(make([]byte, 1))
				<-ctx.Done()
				time.Sleep(slow) // the old feed takes its time: longer than a dial
				events <- event{name, context.Cause(ctx)}
				return ctx.Err()
			})
		})
		want := func(name string, err error, within time.Duration) {
			t.Helper()
			start := time.Now()
			got := <-events
			if got.name != name || !errors.Is(got.err, err) {
				t.Fatalf("event %v, want %s, %v", got, name, err)
			}
			if took := time.Since(start); took > within {
				t.Fatalf("%v came after %v, want at most %v", got, took, within)
			}
		}
		time.Sleep(10 * time.Second)
		if got := len(a.dialled()); got != 0 {
			t.Fatalf("%d dials without a leader", got)
		}
		l.set("b", true)
		want("b", nil, 80*time.Millisecond) // one round trip: the hello's answer is not waited for
		time.Sleep(time.Hour)
		if got := len(a.dialled()); got != 1 {
			t.Fatalf("%d dials, want 1", got)
		}
		l.set("c", true)
		want("b", link.ErrLeaderChanged, slow)
		want("c", nil, 80*time.Millisecond)
		l.set("", true) // we lead
		want("c", link.ErrLeaderChanged, slow)
		time.Sleep(time.Minute)
		l.set("b", false) // nobody tells
		want("b", nil, time.Second+80*time.Millisecond)
		go stop()
		want("b", context.Canceled, slow)
	})
}

func TestBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		a := open(t, n, "a")
		n.Host("b") // nobody listens: refused at once
		l := newLeader("b")
		background(t, func(ctx context.Context) error {
			return link.New(link.Config{Dialer: a}).Run(ctx, l.target, l.changed, func(context.Context, net.Conn, string) error { return nil })
		})
		time.Sleep(time.Minute)
		dials := a.dialled()
		if got := len(dials); got < 60 || got > 150 {
			t.Fatalf("%d dials in a minute, want one each half to one second", got)
		}
		if first := dials[1].Sub(dials[0]); first < 25*time.Millisecond || first > 50*time.Millisecond {
			t.Fatalf("first pause %v, want 25 to 50 ms", first)
		}
		for i := range dials[1:] {
			if pause := dials[i+1].Sub(dials[i]); pause > time.Second {
				t.Fatalf("pause %d is %v, want at most 1 s", i, pause)
			}
		}
		// Another leader is dialled at once, in the middle of a pause.
		before := len(a.dialled())
		open(t, n, "c")
		now := time.Now()
		l.set("c", true)
		synctest.Wait()
		if dials = a.dialled(); len(dials) != before+1 || !dials[before].Equal(now) {
			t.Fatalf("%d dials at the change of leader, want 1", len(dials)-before)
		}
	})
}

func TestBackOffBeginsAnewAfterASteadyFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		a, b := open(t, n, "a"), open(t, n, "b")
		background(t, func(ctx context.Context) error { return link.New(link.Config{Listener: b}).Serve(ctx, hold) })
		l := newLeader("b")
		life := []time.Duration{0, 0, 0, 0, 0, 0, 10 * time.Second, time.Hour}
		feeds := 0
		var ended []time.Time
		background(t, func(ctx context.Context) error {
			return link.New(link.Config{Dialer: a}).Run(ctx, l.target, l.changed, func(ctx context.Context, _ net.Conn, _ string) error {
				wait, cancel := context.WithTimeout(ctx, life[feeds])
				defer cancel()
				feeds++
				<-wait.Done()
				ended = append(ended, time.Now())
				return nil
			})
		})
		time.Sleep(time.Minute)
		dials := a.dialled()
		if got, want := len(dials), len(life); got != want {
			t.Fatalf("%d dials, want %d", got, want)
		}
		if pause := dials[6].Sub(ended[5]); pause < 400*time.Millisecond {
			t.Errorf("pause after six short feeds %v, want it to have grown", pause)
		}
		if pause := dials[7].Sub(ended[6]); pause > 50*time.Millisecond {
			t.Errorf("pause after a steady feed %v, want at most 50 ms", pause)
		}
	})
}

func TestChangeDuringADialThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		a := open(t, n, "a")
		c := open(t, n, "c")
		open(t, n, "b")
		n.CutBoth("a", "b")
		background(t, func(ctx context.Context) error { return link.New(link.Config{Listener: c}).Serve(ctx, hold) })
		l := newLeader("b")
		linked := make(chan string, 1)
		background(t, func(ctx context.Context) error {
			return link.New(link.Config{Dialer: a}).Run(ctx, l.target, l.changed, func(ctx context.Context, _ net.Conn, name string) error {
				linked <- name
				<-ctx.Done()
				return nil
			})
		})
		synctest.Wait()
		start := time.Now()
		l.set("c", true)
		if got := <-linked; got != "c" || time.Since(start) != 0 {
			t.Fatalf("linked to %s after %v, want c at once", got, time.Since(start))
		}
	})
}

// TestOneFeedAtATime changes leaders and lines at random and checks what both sides promise.
func TestOneFeedAtATime(t *testing.T) {
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 7))
			n := memnet.New(memnet.WithDelay(time.Duration(rnd.IntN(60)) * time.Millisecond))
			names := []string{"a", "b", "c"}
			a := open(t, n, "a")
			for _, name := range names[1:] {
				p := open(t, n, name)
				var served atomic.Int32
				background(t, func(ctx context.Context) error {
					return link.New(link.Config{Listener: p}).Serve(ctx, func(ctx context.Context, from string, p link.Purpose, conn net.Conn) error {
						if served.Add(1) != 1 {
							t.Errorf("seed %d: two feeds served for %s", seed, from)
						}
						defer served.Add(-1)
						return hold(ctx, from, p, conn)
					})
				})
			}
			l := newLeader("")
			var feeds atomic.Int32
			var linked atomic.Value
			linked.Store("")
			background(t, func(ctx context.Context) error {
				return link.New(link.Config{Dialer: a}).Run(ctx, l.target, l.changed, func(_ context.Context, conn net.Conn, name string) error {
					if feeds.Add(1) != 1 {
						t.Errorf("seed %d: two feeds at once", seed)
					}
					linked.Store(name)
					defer feeds.Add(-1)
					defer linked.Store("")
					for {
						conn.SetReadDeadline(time.Now().Add(2 * time.Second))
						if _, err := conn.Write([]byte("beat")); err != nil {
							return err
						}
						if _, err := conn.Read(make([]byte, 10)); err != nil && !strings.Contains(err.Error(), "timeout") {
							return err
						}
					}
				})
			})
			for range 50 {
				time.Sleep(time.Duration(rnd.IntN(1500)) * time.Millisecond)
				switch rnd.IntN(6) {
				case 0, 1:
					l.set([]string{"", "b", "c"}[rnd.IntN(3)], true)
				case 2:
					l.set([]string{"", "b", "c"}[rnd.IntN(3)], false)
				case 3:
					n.Isolate(names[rnd.IntN(3)])
				case 4:
					n.HealAll()
				case 5:
					n.Cut("b", "a")
				}
			}
			n.HealAll()
			l.set("c", true)
			time.Sleep(10 * time.Second)
			if got := linked.Load(); got != "c" {
				t.Errorf("seed %d: linked to %q when all is well, want c", seed, got)
			}
		})
	}
}

// TestOverTransport is the real thing: TLS, ALPN, names out of certificates.
func TestOverTransport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		n.SetDefaultDelay(40 * time.Millisecond)
		dir := t.TempDir()
		if _, err := transport.WriteSet(dir, "a", "b"); err != nil {
			t.Fatal(err)
		}
		start := func(node string) *transport.Transport {
			ln, err := n.Host(node).Listen(node + ":1")
			if err != nil {
				t.Fatal(err)
			}
			files := transport.FilesOf(dir, node)
			tr, err := transport.Open(transport.Config{
				Node: node, CA: files.CA, Cert: files.Cert, Key: files.Key, Listener: ln, Dial: n.Host(node).Dial,
			})
			if err != nil {
				t.Fatal(err)
			}
			return tr
		}
		a, b := start("a"), start("b")
		t.Cleanup(func() { a.Close() })
		t.Cleanup(func() { b.Close() })
		served := make(chan string, 1)
		background(t, func(ctx context.Context) error {
			return link.New(link.Config{Listener: b.Link()}).Serve(ctx, func(_ context.Context, name string, p link.Purpose, conn net.Conn) error {
				buf := make([]byte, 5)
				if _, err := conn.Read(buf); err != nil {
					return err
				}
				served <- name + " " + p.String() + " " + string(buf)
				_, err := conn.Read(buf)
				return err
			})
		})
		begin := time.Now()
		l := newLeader("b")
		background(t, func(ctx context.Context) error {
			return link.New(link.Config{Dialer: a.Link()}).Run(ctx, l.target, l.changed, func(_ context.Context, conn net.Conn, _ string) error {
				if _, err := conn.Write([]byte("block")); err != nil {
					return err
				}
				_, err := conn.Read(make([]byte, 1))
				return err
			})
		})
		if got, want := <-served, "a feed block"; got != want {
			t.Fatalf("served %q, want %q", got, want)
		}
		if took, want := time.Since(begin), 200*time.Millisecond; took != want {
			t.Errorf("first byte at the leader after %v, want %v: TCP, TLS and half a round trip", took, want)
		}
	})
}

// A leader that is gone is told of after one dial, which comes at once; one that is there, or that cannot be seen, is not.
func TestGone(t *testing.T) {
	for _, c := range []struct {
		name   string
		happen func(n *memnet.Network, served net.Conn)
		want   time.Duration // 0: never
	}{
		{"killed", func(n *memnet.Network, _ net.Conn) { n.Kill("b") }, 60 * time.Millisecond},
		{"it hangs up", func(_ *memnet.Network, served net.Conn) { served.Close() }, 0},
		{"cut off", func(n *memnet.Network, _ net.Conn) { n.CutBoth("a", "b") }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := memnet.New()
				n.SetDefaultDelay(20 * time.Millisecond)
				a, b := open(t, n, "a"), open(t, n, "b")
				served := make(chan net.Conn, 10)
				background(t, func(ctx context.Context) error {
					_ = link.New(link.Config{Listener: b}).Serve(ctx, func(ctx context.Context, name string, p link.Purpose, conn net.Conn) error {
						served <- conn
						return hold(ctx, name, p, conn)
					}) // a kill ends it
					return nil
				})
				l := newLeader("b")
				gone := make(chan time.Time, 10)
				background(t, func(ctx context.Context) error {
					return link.New(link.Config{Dialer: a, Gone: func(name string) {
						if name != "b" {
							t.Errorf("%q is gone, want b", name)
						}
						gone <- time.Now()
					}}).Run(ctx, l.target, l.changed, func(ctx context.Context, conn net.Conn, name string) error {
						return hold(ctx, name, link.Feed, conn)
					})
				})
				time.Sleep(10 * time.Second)
				start := time.Now()
				c.happen(n, <-served)
				time.Sleep(10 * time.Second)
				switch {
				case c.want == 0 && len(gone) > 0:
					t.Errorf("told after %s that it is gone, want never", (<-gone).Sub(start))
				case c.want > 0 && len(gone) != 1:
					t.Errorf("told %d times that it is gone, want once", len(gone))
				case c.want > 0:
					if took := (<-gone).Sub(start); took > c.want {
						t.Errorf("told after %s, want at most %s", took, c.want)
					}
				}
			})
		})
	}
}
