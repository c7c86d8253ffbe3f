package upstream_test

import (
	"context"
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"
	"testing"
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
		time.Sleep(time.Second) // fake time
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
		if d < want[i]*3/4 || d > want[i]*5/4+2*time.Millisecond {
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
		time.Sleep(time.Millisecond) // fake time
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
					time.Sleep(time.Millisecond) // fake time
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
		time.Sleep(70 * time.Second) // fake time
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
				time.Sleep(20 * time.Second) // fake time
			}
		}))
		around(t, got[4:], 100*ms, 200*ms)
	})
}

// So does another reason.
func TestBackoffByCause(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := newNode(t, 30)
		count := 0
		got := attempts(t, w, 5, func(c net.Conn) {
			if count++; count == 4 {
				greeted(n, func(net.Conn) {})(c)
			}
		})
		around(t, got, 2*sec, 4*sec, 8*sec, 100*ms, 2*sec)
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
				time.Sleep(100 * time.Millisecond) // fake time
			}
		},
		"only time": func(c net.Conn) {
			go drain(c)
			for i := int64(1); ; i++ {
				if _, err := c.Write(wire.Append(nil, &wire.Time{Xmt: i})); err != nil {
					return
				}
				time.Sleep(10 * time.Millisecond) // fake time
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
				time.Sleep(5*time.Second + time.Millisecond) // fake time
				if s := w.dialer.Statuses()[0]; s.State != upstream.BackingOff || s.LastError != upstream.ErrHandshakeTimeout.Error() {
					t.Errorf("state %s, error %q, want backing off after a timeout", s.State, s.LastError)
				}
			})
		})
	}
}
