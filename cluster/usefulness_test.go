package cluster_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/cluster"
)

func TestChooser(t *testing.T) {
	const holdOff, tenure = time.Second, 10 * time.Second
	t0 := time.Now()
	late := t0.Add(time.Minute)
	all := func(string) bool { return true }
	type look struct {
		at      time.Time
		classes map[string]int
		ready   func(string) bool
		prefer  []string
		want    string
	}
	better := map[string]int{"a": 1, "b": 2, "c": 2}
	tests := map[string][]look{
		"equal":                {{at: late, classes: map[string]int{"a": 1, "b": 1}}, {at: late.Add(time.Hour), classes: map[string]int{"a": 1, "b": 1}}},
		"worse":                {{at: late, classes: map[string]int{"a": 2, "b": 1}}, {at: late.Add(time.Hour), classes: map[string]int{"a": 2}}},
		"better, held off":     {{at: late, classes: better}, {at: late.Add(holdOff - 1), classes: better}, {at: late.Add(holdOff), classes: better, want: "b"}},
		"better by preference": {{at: late, classes: better}, {at: late.Add(holdOff), classes: better, prefer: []string{"c"}, want: "c"}},
		"the highest class":    {{at: late, classes: better}, {at: late.Add(holdOff), classes: map[string]int{"a": 1, "b": 2, "c": 3}, want: "c"}},
		"turns":                {{at: late, classes: map[string]int{"a": 1, "b": 2}}, {at: late.Add(holdOff / 2), classes: map[string]int{"a": 1, "c": 2}}, {at: late.Add(holdOff), classes: map[string]int{"a": 1, "b": 2}}},
		"not ready":            {{at: late, classes: better, ready: func(string) bool { return false }}, {at: late.Add(holdOff), classes: better}},
		"interrupted":          {{at: late, classes: better}, {at: late.Add(holdOff / 2), classes: map[string]int{"a": 2, "b": 2}}, {at: late.Add(holdOff), classes: better}},
		"young leadership":     {{at: t0, classes: better}, {at: t0.Add(tenure - 1), classes: better}, {at: t0.Add(tenure), classes: better, want: "b"}},
		"unknown self":         {{at: late, classes: map[string]int{"b": 1}}, {at: late.Add(holdOff), classes: map[string]int{"b": 1}, want: "b"}},
		"nobody":               {{at: late}, {at: late.Add(holdOff)}},
	}
	for name, looks := range tests {
		t.Run(name, func(t *testing.T) {
			c := cluster.NewChooser("a", holdOff, tenure, t0)
			for i, l := range looks {
				if l.ready == nil {
					l.ready = all
				}
				if got := c.Decide(l.at, l.classes, l.prefer, l.ready); got != l.want {
					t.Errorf("look %d: got %q, want %q", i, got, l.want)
				}
			}
		})
	}
}

// useful gives all members the same view of their classes.
type useful struct {
	mu      sync.Mutex
	classes map[string]int
}

func (u *useful) set(classes map[string]int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.classes = classes
}

func (u *useful) get() map[string]int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.classes
}

func TestLeadershipFollowsUsefulness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := &useful{classes: map[string]int{"a": 2, "b": 2, "c": 2}}
		w := newWorld(t, "a", "b", "c")
		defer w.close()
		w.tune = func(c *cluster.Config) { c.Usefulness = u.get }
		w.startAll()
		l := w.leader()
		handovers := func() (n int) {
			for _, m := range w.members {
				n += len(m.history())
			}
			return n - 1
		}
		time.Sleep(time.Minute)
		if n := handovers(); n != 0 {
			t.Fatalf("%d hand-overs between equals", n)
		}
		fs := w.followers(l)
		u.set(map[string]int{l.name: 1, fs[0].name: 1, fs[1].name: 2})
		took := w.until("the useful one to lead", 5*time.Second, func() bool { return !fs[1].group.Status().LeadingSince.IsZero() })
		if took < 500*time.Millisecond || took > time.Second {
			t.Errorf("handed over after %s", took)
		}
		// The former leader is as good again: no reason to go back.
		u.set(map[string]int{"a": 2, "b": 2, "c": 2})
		time.Sleep(time.Minute)
		if n := handovers(); n != 1 || w.leader() != fs[1] {
			t.Errorf("%d hand-overs, %s leads", n, w.leader().name)
		}
		// Members that take turns in being better, every 400 ms, move nothing; every 3 s, no more than the tenure allows.
		turn := func(every, span time.Duration) int {
			before := handovers()
			for at := time.Duration(0); at < span; at += every {
				c := map[string]int{"a": 1, "b": 1, "c": 1}
				c[string("abc"[int(at/every)%3])] = 2
				u.set(c)
				time.Sleep(every)
			}
			return handovers() - before
		}
		if n := turn(400*time.Millisecond, time.Minute); n != 0 {
			t.Errorf("%d hand-overs by impressions that did not last", n)
		}
		if n := turn(3*time.Second, 2*time.Minute); n > 12 {
			t.Errorf("%d hand-overs in 2 minutes", n)
		}
	})
}
