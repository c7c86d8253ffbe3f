package conn_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/conn"
	"github.com/thinrelay/thinrelay/relay/simnet/memnet"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// TestOpenerSpeaksFirst: Start queues the time message before the handshake that follows it.
func TestOpenerSpeaksFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, peer := pair(t, memnet.DefaultBuffer)
		s := serve(t.Context(), t, ours, conn.Config{})
		h := wire.Encode(&wire.Handshake{Generation: 1})
		s.Start()
		s.Send(conn.Control, h)
		r := readPeer(t, peer)
		if m := r.time(); m.Org != 0 || m.Rec != 0 || m.Xmt == 0 || m.Dst != 0 {
			t.Errorf("first time message = %+v, want a question", m)
		}
		f := r.next()
		if f.Type() != wire.TypeHandshake {
			t.Errorf("second message = %s, want handshake", f.Type())
		}
		f.Release()
		s.shut()
		mustBeFree(t, h)
	})
}

// TestListenerIsSilent: without Start nothing is sent, but a question is answered.
func TestListenerIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, peer := pair(t, memnet.DefaultBuffer)
		s := serve(t.Context(), t, ours, conn.Config{})
		r := readPeer(t, peer)
		r.silent(10 * time.Second)
		asked := time.Now().UnixNano()
		send(t, peer, &wire.Time{Xmt: asked})
		if m := r.time(); m.Org != asked || m.Rec != asked || m.Xmt != asked || m.Dst != 0 {
			t.Errorf("answer = %+v, want org, rec and xmt %d", m, asked)
		}
		send(t, peer, &wire.Time{Xmt: asked})                                // a repetition
		send(t, peer, &wire.Time{})                                          // no time at all
		send(t, peer, &wire.Time{Org: asked, Rec: asked, Xmt: asked + 1000}) // an answer
		r.silent(5 * time.Second)
		s.shut()
	})
}

func TestKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, peer := pair(t, memnet.DefaultBuffer)
		s := serve(t.Context(), t, ours, conn.Config{})
		s.Start()
		s.Start() // once is enough
		r := readPeer(t, peer)
		start := time.Now()
		var got []time.Duration
		for range 4 {
			m := r.time()
			got = append(got, time.Since(start))
			if m.Xmt != time.Now().UnixNano() || m.Org != 0 {
				t.Errorf("time message = %+v, want a question of now", m)
			}
		}
		if want := []time.Duration{0, 3 * time.Second, 6 * time.Second, 9 * time.Second}; !slices.Equal(got, want) {
			t.Errorf("time messages at %v, want %v", got, want)
		}
		s.shut()
	})
}

// TestKeepAliveWhileBusy: neither a writer with always more to write nor a handler that blocks stops the time messages.
func TestKeepAliveWhileBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, peer := pair(t, 4<<10)
		c := conn.New(ours, conn.Config{})
		release, ended := make(chan struct{}), make(chan error, 1)
		go func() {
			ended <- c.Serve(t.Context(), func(f *wire.Frame) error {
				f.Release()
				<-release
				return nil
			})
		}()
		send(t, peer, &wire.SyncRequest{Start: 1, End: 2})
		synctest.Wait()
		c.Start()
		stop := make(chan struct{})
		go func() {
			f := numbered(t, wire.TypeTransaction, 0, 2000)
			defer f.Release()
			for {
				select {
				case <-stop:
					return
				default:
				}
				if c.SendWait(t.Context(), conn.Bulk, f) != nil {
					return
				}
			}
		}()
		r := readPeer(t, peer)
		start := time.Now()
		var times []time.Duration
		for time.Since(start) < 10*time.Second {
			pass(time.Millisecond) // the peer's pace, in fake time
			f := r.next()
			if f.Type() == wire.TypeTime {
				times = append(times, time.Since(start).Round(time.Second))
			}
			f.Release()
		}
		if want := []time.Duration{0, 3 * time.Second, 6 * time.Second, 9 * time.Second}; !slices.Equal(times, want) {
			t.Errorf("time messages at %v, want %v", times, want)
		}
		close(stop)
		c.Close(nil)
		close(release)
		<-ended
	})
}

// TestLateAnswers: each of the last questions may be answered yet, once, and those before are forgotten.
func TestLateAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, peer := pair(t, memnet.DefaultBuffer)
		s := serve(t.Context(), t, ours, conn.Config{KeepAlive: time.Hour})
		s.Start()
		r := readPeer(t, peer)
		first := r.time()
		var asked []wire.Time
		for range 64 {
			pass(10 * time.Millisecond)
			s.Ask()
			asked = append(asked, r.time())
		}
		answer := func(q wire.Time) { send(t, peer, &wire.Time{Org: q.Xmt, Rec: 1, Xmt: 2}); synctest.Wait() }
		answer(first)
		if got := s.Answered(); !got.At.IsZero() {
			t.Errorf("answered = %v, want nothing: the question is too old", got)
		}
		answer(asked[0])
		if got, want := s.RTT(), 630*time.Millisecond; got != want {
			t.Errorf("RTT = %s, want %s", got, want)
		}
		pass(time.Second)
		answered := s.Answered()
		answer(asked[0])
		if got := s.Answered(); got != answered {
			t.Errorf("answered = %v after a repetition, want %v as before", got, answered)
		}
		answer(asked[63])
		if got, want := s.RTT(), time.Second; got != want {
			t.Errorf("RTT = %s, want %s", got, want)
		}
		s.shut()
	})
}

func TestRTT(t *testing.T) {
	for _, tc := range []struct {
		name string
		unit int64 // nanoseconds in the peer's unit
	}{{"nanoseconds", 1}, {"Leap 4 microseconds", 1000}} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, peer := pair(t, memnet.DefaultBuffer)
				s := serve(t.Context(), t, ours, conn.Config{})
				if got := s.RTT(); got != 0 {
					t.Errorf("RTT before any answer = %s, want 0", got)
				}
				s.Start()
				r := readPeer(t, peer)
				m := r.time()
				pass(80 * time.Millisecond) // the way there and back, in fake time
				send(t, peer, &wire.Time{Org: m.Xmt / tc.unit, Rec: 1, Xmt: 2})
				synctest.Wait()
				if got, want := s.RTT(), 80*time.Millisecond; got != want {
					t.Errorf("RTT = %s, want %s", got, want)
				}
				answered := s.Answered()
				if want := time.Unix(0, m.Xmt); !answered.Asked.Equal(want) || !answered.At.Equal(time.Now()) {
					t.Errorf("answered = %v, want what was asked at %v, now", answered, want)
				}
				pass(10 * time.Millisecond)
				// Nobody was asked at these times; the first ones are what a clock set meanwhile, or a liar, makes of an answer.
				now := time.Now().UnixNano()
				for _, lie := range []int64{now, now - 1e6, now - 5e9, 1, -5, time.Now().Add(time.Hour).UnixNano(), time.Now().Add(-time.Hour).UnixNano(), 1<<63 - 1, -1 << 63} {
					send(t, peer, &wire.Time{Org: lie, Rec: 1, Xmt: 2})
				}
				synctest.Wait()
				if got, want := s.RTT(), 80*time.Millisecond; got != want {
					t.Errorf("RTT after lies = %s, want %s", got, want)
				}
				if got := s.Answered(); got != answered {
					t.Errorf("answered after lies = %v, want %v", got, answered)
				}
				s.shut()
			})
		})
	}
}
