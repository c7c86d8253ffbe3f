package upstream_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/upstream"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// attempts runs a dialer against a peer that does f with every connection, and returns the pauses between attempts.
func attempts(t *testing.T, w *world, n int, f func(net.Conn)) []time.Duration {
	t.Helper()
	var mu sync.Mutex
	var at, ended []time.Time
	w.listen("node", func(l net.Listener) {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			at = append(at, time.Now())
			mu.Unlock()
			f(c)
			c.Close()
			mu.Lock()
			ended = append(ended, time.Now())
			mu.Unlock()
		}
	})
	w.run()
	enough := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(at) > n
	}
	for range 3600 {
		if enough() {
			break
		}
		time.Sleep(time.Second)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(at) <= n {
		t.Fatalf("%d attempts in an hour, want %d", len(at), n+1)
	}
	var pauses []time.Duration
	for i := range n {
		pauses = append(pauses, at[i+1].Sub(ended[i]))
	}
	return pauses
}

// around checks each pause to be within a quarter of what is wanted, and that they are spread.
func around(t *testing.T, got []time.Duration, want ...time.Duration) {
	t.Helper()
	exact := 0
	for i, d := range got {
		if d < want[i]*3/4 || d > want[i]*5/4 {
			t.Errorf("pause %d: %s, want %s and a quarter more or less", i, d, want[i])
		}
		if d == want[i] {
			exact++
		}
	}
	if exact == len(got) {
		t.Error("no jitter in the pauses")
	}
}

// greeted answers the relay's first handshake and then does f.
func greeted(n *node, f func(net.Conn)) func(net.Conn) {
	return func(c net.Conn) {
		r := wire.NewReader(c)
		for {
			frame, err := r.Next()
			if err != nil {
				return
			}
			if frame.Type() == wire.TypeHandshake {
				break
			}
		}
		c.Write(wire.Append(nil, n.handshake(1)))
		time.Sleep(time.Millisecond)
		f(c)
	}
}

func goAway(reason wire.GoAwayReason) func(net.Conn) {
	return func(c net.Conn) { c.Write(wire.Append(nil, &wire.GoAway{Reason: reason})) }
}

const ms, sec = time.Millisecond, time.Second

func TestBackoff(t *testing.T) {
	n := newNode(t, 30)
	wrong := newNode(t, 30)
	wrong.chainID = wire.ID{1}
	for _, test := range []struct {
		name  string
		peer  func(net.Conn)
		want  []time.Duration
		alarm bool
		hint  string
	}{
		{"end of a connection", greeted(n, func(net.Conn) {}), []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 5 * sec, 5 * sec}, false, ""},
		{"duplicate", greeted(n, goAway(wire.GoAwayDuplicate)), []time.Duration{sec, 2 * sec, 4 * sec}, false, ""},
		{"benign", greeted(n, goAway(wire.GoAwayBenign)), []time.Duration{sec, 2 * sec, 4 * sec, 8 * sec, 16 * sec, 30 * sec, 30 * sec}, false, ""},
		{"wrong chain told", goAway(wire.GoAwayWrongChain), []time.Duration{300 * sec, 300 * sec}, true, "compare chain_id"},
		{"wrong chain seen", greeted(wrong, func(net.Conn) {}), []time.Duration{300 * sec, 300 * sec}, true, "compare chain_id"},
		{"authentication", goAway(wire.GoAwayAuthentication), []time.Duration{300 * sec, 300 * sec}, true, "peer-key"},
		{"forked", goAway(wire.GoAwayForked), []time.Duration{300 * sec, 300 * sec}, true, "dead fork"},
		{"closed on sight", func(net.Conn) {}, []time.Duration{2 * sec, 4 * sec, 8 * sec, 16 * sec, 30 * sec, 30 * sec}, false, "p2p-max-nodes-per-host"},
		{"not the protocol", func(c net.Conn) { c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) }, []time.Duration{5 * sec, 10 * sec}, false, "does not speak this protocol"},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				got := attempts(t, w, len(test.want), func(c net.Conn) {
					test.peer(c)
					go drain(c)
					time.Sleep(time.Millisecond)
				})
				for i := range got { // what the scripted peer waits after its last word
					got[i] += time.Millisecond
				}
				around(t, got, test.want...)
				text := w.log.text()
				if test.hint != "" && w.log.lines(test.hint) == 0 {
					t.Errorf("no hint %q in the log:\n%s", test.hint, text)
				}
				if alarms := w.log.lines("[ERROR]"); test.alarm != (alarms > 0) {
					t.Errorf("%d error lines, alarm wanted: %v; log:\n%s", alarms, test.alarm, text)
				}
				if w.dialer.Statuses()[0].Alarm != test.alarm {
					t.Errorf("status %+v, want alarm %v", w.dialer.Statuses()[0], test.alarm)
				}
			})
		})
	}
}

// A refused dial is tried again soon, and said once a minute, not at every attempt.
func TestRefusedDial(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.net.Host("nowhere")
		w.config.Peers = []string{"nowhere:9876"}
		var dials atomic.Int32
		dial := w.config.Dial
		w.config.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			dials.Add(1)
			return dial(ctx, addr)
		}
		w.run()
		time.Sleep(70 * time.Second)
		if n := dials.Load(); n < 14 || n > 27 {
			t.Errorf("%d dials in 70 s, want about 18", n)
		}
		if got := w.log.lines("upstream not reached"); got != 2 {
			t.Errorf("%d log lines, want 2; log:\n%s", got, w.log.text())
		}
		if got := w.log.lines("refused"); got != 2 {
			t.Errorf("the log does not say why:\n%s", w.log.text())
		}
	})
}

// A connection that held starts the back-off anew.
func TestBackoffStartsAnew(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := newNode(t, 30)
		count := 0
		got := attempts(t, w, 6, greeted(n, func(net.Conn) {
			if count++; count == 5 {
				time.Sleep(20 * time.Second)
			}
		}))
		around(t, got[4:], 100*ms, 200*ms)
	})
}

// A peer that says nothing is given up after 5 s; one that trickles too.
func TestHandshakeTimeout(t *testing.T) {
	for name, peer := range map[string]func(net.Conn){
		"silent": drain,
		"trickles": func(c net.Conn) {
			go drain(c)
			for _, b := range binary.LittleEndian.AppendUint32(nil, 300) {
				c.Write([]byte{b})
			}
			for {
				if _, err := c.Write([]byte{0}); err != nil {
					return
				}
				time.Sleep(100 * time.Millisecond)
			}
		},
		"only time": func(c net.Conn) {
			go drain(c)
			for i := int64(1); ; i++ {
				if _, err := c.Write(wire.Append(nil, &wire.Time{Xmt: i})); err != nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				w.listen("node", func(l net.Listener) { accepter(l, peer) })
				w.run()
				if s := w.dialer.Statuses()[0]; s.State != upstream.Handshaking {
					t.Errorf("state %s, want handshaking", s.State)
				}
				time.Sleep(5*time.Second + time.Millisecond)
				if s := w.dialer.Statuses()[0]; s.State != upstream.BackingOff || s.LastError != upstream.ErrHandshakeTimeout.Error() {
					t.Errorf("state %s, error %q, want backing off after a timeout", s.State, s.LastError)
				}
			})
		})
	}
}

// Whatever one peer does, the others are served.
func TestHostilePeersDoNotDisturb(t *testing.T) {
	huge := make([]byte, 4+wire.MaxPayload)
	binary.LittleEndian.PutUint32(huge, wire.MaxPayload)
	n := newNode(t, 40)
	hello := wire.Append(nil, n.handshake(1))
	for name, peer := range map[string]struct {
		send func(c net.Conn)
		want error
	}{
		"8 MiB before the handshake":           {func(c net.Conn) { huge[4] = 7; c.Write(huge) }, upstream.ErrEarlyFrame},
		"sync_request before the handshake":    {func(c net.Conn) { c.Write(wire.Append(nil, &wire.SyncRequest{Start: 1, End: 9})) }, upstream.ErrEarlyFrame},
		"unknown message before the handshake": {func(c net.Conn) { c.Write(wire.RawFrame(99, nil).Bytes()) }, upstream.ErrEarlyFrame},
		"endless notices before the handshake": {func(c net.Conn) {
			for {
				if _, err := c.Write(wire.Append(nil, n.behindNotice())); err != nil {
					return
				}
			}
		}, upstream.ErrEarlyFrame},
		"malformed handshake": {func(c net.Conn) { c.Write(wire.RawFrame(0, make([]byte, 100)).Bytes()) }, upstream.ErrMessage},
		"root above head": {func(c net.Conn) {
			h := n.handshake(1)
			h.RootNum, h.RootID, h.HeadNum, h.HeadID = h.HeadNum, h.HeadID, h.RootNum, h.RootID
			c.Write(wire.Append(nil, h))
		}, upstream.ErrHandshake},
		"numbers that are not those of the ids": {func(c net.Conn) {
			h := n.handshake(1)
			h.HeadNum += 5
			c.Write(wire.Append(nil, h))
		}, upstream.ErrHandshake},
		"our own words": {func(c net.Conn) {
			r := wire.NewReader(c)
			for {
				f, err := r.Next()
				if err != nil {
					return
				}
				c.Write(f.Bytes())
			}
		}, upstream.ErrOwnHandshake},
		"length zero":           {func(c net.Conn) { c.Write(append(slices.Clone(hello), 0, 0, 0, 0)) }, wire.ErrFrameEmpty},
		"length over the limit": {func(c net.Conn) { c.Write(append(slices.Clone(hello), 1, 0, 128, 0)) }, wire.ErrFrameTooLarge},
		"endless handshakes": {func(c net.Conn) {
			c.Write(hello)
			for i := 0; ; i++ {
				h := n.handshake(2)
				h.HeadNum, h.HeadID = uint32(38+i%2), n.chain.id(38+i%2)
				if _, err := c.Write(wire.Append(nil, h)); err != nil {
					return
				}
			}
		}, upstream.ErrFlood},
		"malformed notice":  {func(c net.Conn) { c.Write(append(slices.Clone(hello), wire.RawFrame(4, []byte{1}).Bytes()...)) }, upstream.ErrMessage},
		"malformed go_away": {func(c net.Conn) { c.Write(append(slices.Clone(hello), wire.RawFrame(2, []byte{1}).Bytes()...)) }, upstream.ErrMessage},
		"go_away":           {func(c net.Conn) { goAway(wire.GoAwayValidation)(c) }, upstream.GoAway{Reason: wire.GoAwayValidation}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				good := newNode(t, 40)
				w.listen("good", good.serve)
				w.listen("evil", func(l net.Listener) {
					accepter(l, func(c net.Conn) {
						if name != "our own words" {
							go drain(c)
						}
						peer.send(c)
					})
				})
				w.run()
				time.Sleep(10 * time.Millisecond)
				s := w.dialer.Statuses()
				if s[1].State != upstream.BackingOff {
					t.Errorf("state %s, want backing off", s[1].State)
				}
				if got, want := s[1].LastError, peer.want.Error(); !contains(got, want) {
					t.Errorf("error %q, want %q", got, want)
				}
				if got := w.log.lines("peer=evil:9876 error="); got != 1 {
					t.Errorf("%d log lines about the peer, want 1:\n%s", got, w.log.text())
				}
				before := good.conns()[0]
				before.write(good.chain.frames[39])
				synctest.Wait()
				if s[0].State != upstream.Connected || len(w.sink.blocks()) != 1 {
					t.Errorf("the other peer is %s and delivered %d blocks, want connected and 1", s[0].State, len(w.sink.blocks()))
				}
			})
		})
	}
}

func TestStatuses(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := newNode(t, 40)
		n.address = "x:1 - 1"
		w.net.SetDefaultDelay(20 * time.Millisecond)
		w.listen("node", n.serve)
		w.config.Peers = append(w.config.Peers, "nowhere:1")
		began := time.Now()
		w.run()
		if s := w.dialer.Statuses()[0]; s.State != upstream.Dialing || s.Addr != "node:9876" || !s.Since.Equal(began) {
			t.Errorf("status %+v, want dialing since now", s)
		}
		time.Sleep(time.Second)
		s := w.dialer.Statuses()
		if s[0].State != upstream.Connected || s[0].Head != n.chain.id(40) || s[0].Root != n.chain.id(37) || s[0].Version != 11 ||
			s[0].Agent != "node" || s[0].RTT != 40*time.Millisecond || s[0].LastError != "" || s[0].Height != 40 {
			t.Errorf("status %+v", s[0])
		}
		if s[1].State != upstream.BackingOff || s[1].LastError == "" || !s[1].Retry.After(time.Now()) {
			t.Errorf("status %+v, want backing off with an error and a time", s[1])
		}
		w.net.Kill("node")
		time.Sleep(50 * time.Millisecond)
		if s := w.dialer.Statuses()[0]; s.State != upstream.BackingOff || s.LastError == "" {
			t.Errorf("status %+v, want backing off", s)
		}
		if got := w.sink.lost(); len(got) != 1 {
			t.Errorf("sink heard %d losses, want 1", len(got))
		}
		w.cancel()
		<-w.ended
		for _, s := range w.dialer.Statuses() {
			if s.State != upstream.Stopped {
				t.Errorf("%s is %s after Run", s.Addr, s.State)
			}
		}
	})
}

func TestRunTwice(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := newNode(t, 40)
		w.listen("node", n.serve)
		w.run()
		if err := w.dialer.Run(t.Context(), w.sink); !errors.Is(err, upstream.ErrConfig) {
			t.Errorf("Run beside Run: %v, want ErrConfig", err)
		}
		w.cancel()
		<-w.ended
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.dialer.Run(ctx, w.sink) }()
		synctest.Wait()
		if got := w.sink.connected(); got != 1 {
			t.Errorf("%d peers up in the second run, want 1", got)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestConfigIsChecked(t *testing.T) {
	for name, peers := range map[string][]string{"too many": make([]string, 65), "twice": {"a:1", "a:1"}} {
		if err := upstream.New(upstream.Config{Peers: peers}).Run(t.Context(), &sink{}); !errors.Is(err, upstream.ErrConfig) {
			t.Errorf("%s: %v, want ErrConfig", name, err)
		}
	}
}

func TestHint(t *testing.T) {
	if got := upstream.Hint(upstream.ErrClosedEarly); !contains(got, "p2p-max-nodes-per-host") {
		t.Errorf("hint %q", got)
	}
	if got := upstream.Hint(syscall.ECONNREFUSED); got != "" {
		t.Errorf("hint %q, want none", got)
	}
}
