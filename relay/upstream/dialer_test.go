package upstream_test

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/upstream"
)

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
