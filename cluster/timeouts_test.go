package cluster_test

import (
	"bytes"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/cluster"
	"github.com/thinrelay/thinrelay/relay/simnet/memnet"
)

const ms = time.Millisecond

func TestFromRTT(t *testing.T) {
	tests := []struct{ rtt, heartbeat time.Duration }{
		{0, 250 * ms},
		{ms, 250 * ms},
		{40 * ms, 250 * ms},
		{80 * ms, 500 * ms},
		{160 * ms, 1000 * ms},
		{300 * ms, 1800 * ms},
		{time.Minute, 5 * time.Second},
	}
	for _, tt := range tests {
		got := cluster.FromRTT(tt.rtt)
		want := cluster.Timeouts{Heartbeat: tt.heartbeat, Election: tt.heartbeat, Lease: tt.heartbeat / 2}
		if got != want {
			t.Errorf("FromRTT(%s): got %+v, want %+v", tt.rtt, got, want)
		}
		if err := got.Validate(); err != nil {
			t.Errorf("FromRTT(%s): %v", tt.rtt, err)
		}
		if tt.rtt < time.Second && got.Lease < tt.rtt+tt.heartbeat/5 {
			t.Errorf("FromRTT(%s): lease %s is shorter than a heartbeat can take", tt.rtt, got.Lease)
		}
	}
}

func TestTimeoutsValidate(t *testing.T) {
	for _, bad := range []cluster.Timeouts{
		{Heartbeat: 100 * ms, Election: 100 * ms},
		{Heartbeat: 100 * ms, Election: 100 * ms, Lease: 101 * ms},
		{Heartbeat: 100 * ms, Election: 99 * ms, Lease: 50 * ms},
	} {
		if bad.Validate() == nil {
			t.Errorf("%+v: no error", bad)
		}
	}
	if err := (cluster.Timeouts{}).Validate(); err != nil {
		t.Errorf("zero: %v", err)
	}
}

func TestRetune(t *testing.T) {
	now := cluster.Timeouts{Heartbeat: 500 * ms, Election: 500 * ms, Lease: 250 * ms}
	tests := []struct {
		rtt, want time.Duration
		change    bool
	}{
		{80 * ms, 500 * ms, false},
		{85 * ms, 550 * ms, true},   // up at once
		{70 * ms, 450 * ms, false},  // down only when it is worth it
		{20 * ms, 250 * ms, true},   // not below the lease
		{200 * ms, 1200 * ms, true}, // as far as it takes
		{time.Minute, 5 * time.Second, true},
	}
	for _, tt := range tests {
		got, change := cluster.Retune(now, tt.rtt)
		if got.Heartbeat != tt.want || got.Lease != now.Lease || change != tt.change || got.Validate() != nil {
			t.Errorf("retune to %s: got %+v %v, want heartbeat %s %v", tt.rtt, got, change, tt.want, tt.change)
		}
	}
}

// Members 80 ms apart choose timeouts that keep the leader, and live with it when the line gets longer.
func TestTimeoutsFollowTheDistance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "a", "b", "c")
		defer w.close()
		w.net = memnet.New(memnet.WithDelay(40 * ms))
		var far atomic.Int64
		w.tune = func(c *cluster.Config) { c.RTT = func() time.Duration { return time.Duration(far.Load()) } }
		w.startAll()
		l := w.leader()
		term := l.group.Status().Term
		time.Sleep(time.Minute)
		for _, m := range w.members {
			if s := m.group.Status(); s.Timeouts.Heartbeat < 250*ms || s.Timeouts.Heartbeat > 600*ms {
				t.Errorf("%s: %+v", m.name, s.Timeouts)
			}
		}
		if s := l.group.Status(); s.Term != term || s.Role != "leader" {
			t.Errorf("leadership was lost for nothing: %+v", s)
		}
		// A start at which nobody can be asked knows from the time before.
		lone := w.followers(l)[1]
		if err := lone.quit(); err != nil {
			t.Fatal(err)
		}
		w.net.Isolate(lone.name)
		lone.start()
		time.Sleep(10 * time.Second)
		if s := lone.group.Status(); s.Timeouts.Lease < 125*ms || s.Timeouts.Lease > 300*ms {
			t.Errorf("alone after a restart: %+v", s.Timeouts)
		}
		w.net.Rejoin(lone.name)
		time.Sleep(10 * time.Second)

		far.Store(int64(150 * ms)) // as the others say
		time.Sleep(10 * time.Second)
		for _, m := range w.members {
			if s := m.group.Status(); s.Timeouts.Heartbeat != 900*ms {
				t.Errorf("%s: %+v", m.name, s.Timeouts)
			}
		}
		// The next start knows.
		m := w.followers(l)[0]
		if err := m.quit(); err != nil {
			t.Fatal(err)
		}
		far.Store(0)
		m.start()
		time.Sleep(ms)
		if s := m.group.Status(); s.Timeouts.Lease != 450*ms {
			t.Errorf("after a restart: %+v", s.Timeouts)
		}
	})
}

// A member that is far away, and down for a while, is as far when it is back: a lease that was chosen meanwhile, for those that were near, holds until the process ends.
func TestWhoIsAwayIsAsFarAsItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "a", "b", "c")
		defer w.close()
		far := w.members["c"]
		w.tune = func(c *cluster.Config) {
			c.RTT = func() time.Duration { // as the others say that are there
				if far.alive() {
					return 160 * ms
				}
				return 5 * ms
			}
		}
		w.startAll()
		w.leader()
		time.Sleep(10 * time.Second) // fake time
		far.kill()
		near := w.members["a"]
		for range 2 { // the first time it knows from before
			if err := near.quit(); err != nil {
				t.Fatal(err)
			}
			near.start()
			time.Sleep(10 * time.Second) // fake time
			if s := near.group.Status(); s.Timeouts.Lease != 500*ms || s.Timeouts.Heartbeat != time.Second {
				t.Errorf("while it is away: %+v", s.Timeouts)
			}
		}
	})
}

func FuzzGreeting(f *testing.F) {
	f.Add([]byte("\x01\x03a-1\x01x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		id, cl, err := cluster.ReadGreeting(r)
		if err != nil {
			return
		}
		again, err := cluster.AppendGreeting(nil, id, cl)
		if err != nil || !bytes.Equal(again, b[:len(b)-r.Len()]) {
			t.Errorf("%q reads as %q, %q, which writes %q, %v", b, id, cl, again, err)
		}
	})
}
