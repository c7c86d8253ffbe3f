package cluster_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/cluster"
)

// propose moves the mark as fast as it can while leading. A leader that gets an error goes on, as the relay does.
func propose(m *member) cluster.Lead {
	return func(ctx context.Context, _ uint64) error {
		for ctx.Err() == nil {
			if _, err := m.advance(ctx); err != nil {
				select {
				case <-time.After(10 * time.Millisecond):
				case <-ctx.Done():
				}
			}
		}
		return nil
	}
}

func TestStepDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world3(t)
		defer w.close()
		for _, m := range w.members {
			m.onLead(propose(m))
		}
		if got := w.leader().group.Status().LeadingCause; got != cluster.CauseElection {
			t.Errorf("the first leader leads by %q", got)
		}
		for i := range 20 {
			l := w.leader()
			to := ""
			if i%2 == 0 {
				to = w.followers(l)[i/2%2].name
			}
			h, err := l.group.StepDown(context.Background(), to)
			if err != nil {
				t.Fatalf("step down %d: %+v, %v", i, h, err)
			}
			if h.From != l.name || h.To == l.name || h.To == "" || to != "" && h.To != to || h.Took > 100*time.Millisecond {
				t.Errorf("step down of %s to %q: %+v", l.name, to, h)
			}
			calls := l.history()
			last := calls[len(calls)-1]
			mustErr(t, last.cause, cluster.ErrSteppingDown)
			next := w.members[h.To]
			if got := w.leader(); got != next {
				t.Fatalf("%s leads after %+v", got.name, h)
			}
			begun := next.history()
			if got := next.group.Status().LeadingCause; got != cluster.CauseHandOver {
				t.Errorf("%s leads after %+v by %q", next.name, h, got)
			}
			if !begun[len(begun)-1].begun.After(last.ended) || begun[len(begun)-1].term <= last.term {
				t.Errorf("next leadership %+v does not follow %+v", begun[len(begun)-1], last)
			}
			at := next.group.State().Mark.Height()
			w.until("proposals to go on", time.Second, func() bool { return next.group.State().Mark.Height() > at })
		}
		for _, m := range w.members {
			m.onLead(nil)
		}
	})
}

func TestStepDownRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		notReady := errors.New("has no upstream")
		w := newWorld(t, "a", "b", "c")
		defer w.close()
		w.tune = func(c *cluster.Config) {
			c.Ready = func(node string) error {
				if node == "c" {
					return notReady
				}
				return nil
			}
		}
		w.startAll()
		l := w.leader()
		if l.name == "c" {
			if _, err := l.group.StepDown(context.Background(), "a"); err != nil {
				t.Fatal(err)
			}
			l = w.leader()
		}
		ctx := context.Background()
		_, err := w.followers(l)[0].group.StepDown(ctx, "")
		mustErr(t, err, cluster.ErrNotLeader)
		_, err = l.group.StepDown(ctx, "nobody")
		mustErr(t, err, cluster.ErrNotMember)
		_, err = l.group.StepDown(ctx, l.name)
		mustErr(t, err, cluster.ErrNotMember)
		_, err = l.group.StepDown(ctx, "c")
		mustErr(t, err, cluster.ErrNotReady)
		mustErr(t, err, notReady)
		other := map[string]string{"a": "b", "b": "a"}[l.name]
		w.members[other].kill()
		time.Sleep(time.Second)
		_, err = l.group.StepDown(ctx, other)
		mustErr(t, err, cluster.ErrNotReady)
		_, err = l.group.StepDown(ctx, "")
		mustErr(t, err, cluster.ErrNotReady)
		if calls := l.history(); !calls[len(calls)-1].ended.IsZero() {
			t.Error("a refused step-down disturbed the leadership")
		}
		l.mustAdvance()
	})
}

// Whoever is not ready at the first look, and is a second later, is handed over to. A leader that is none any more meanwhile says so.
func TestStepDownWaitsForATarget(t *testing.T) {
	for _, loses := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var ready atomic.Bool
			w := newWorld(t, "a", "b", "c")
			defer w.close()
			w.tune = func(c *cluster.Config) {
				c.Ready = func(string) error {
					if ready.Load() {
						return nil
					}
					return errors.New("a moment")
				}
			}
			w.startAll()
			l := w.leader()
			time.AfterFunc(time.Second, func() {
				if loses {
					w.net.Isolate(l.name)
				} else {
					ready.Store(true)
				}
			})
			begun := time.Now()
			h, err := l.group.StepDown(context.Background(), "")
			took := time.Since(begun)
			switch {
			case loses:
				mustErr(t, err, cluster.ErrNotLeader)
				if h.From != "" {
					t.Errorf("hand-over: %+v, want none begun", h)
				}
			case err != nil || h.To == "" || h.To == l.name || took < time.Second || took > 1200*time.Millisecond:
				t.Errorf("hand-over after %s: %+v, %v", took, h, err)
			}
			ready.Store(true)
			w.net.Rejoin(l.name)
			w.agreed(w.leader().mustAdvance())
		})
	}
}

// Whoever asks with no time left disturbs nobody: leadership would end, and nobody be asked to take over.
func TestStepDownWithoutTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world3(t)
		defer w.close()
		l := w.leader()
		calls := len(l.history())
		late, cancel := context.WithCancel(context.Background())
		cancel()
		for range 50 {
			_, err := l.group.StepDown(late, "")
			mustErr(t, err, context.Canceled)
		}
		time.Sleep(time.Second) // fake time: a leadership that had ended would have begun again
		if got := len(l.history()); got != calls {
			t.Errorf("%s was called to lead %d times meanwhile, want none", l.name, got-calls)
		}
	})
}

// The target vanishes at the moment of the hand-over: the leader finds that nobody took over, says so and leads again, in a new call.
func TestStepDownFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world3(t)
		defer w.close()
		l := w.leader()
		l.mustAdvance()
		target := w.followers(l)[0]
		w.net.Isolate(target.name)
		h, err := l.group.StepDown(context.Background(), target.name)
		mustErr(t, err, cluster.ErrNotTransferred)
		if h.To != l.name {
			t.Errorf("hand-over: %+v, want that %s leads", h, l.name)
		}
		w.until("leading again", 5*time.Second, func() bool { return len(l.history()) == 2 })
		calls := l.history()
		if calls[1].begun.Before(calls[0].ended) {
			t.Errorf("calls overlap: %+v", calls)
		}
		l.mustAdvance()
		w.net.Rejoin(target.name)
		w.agreed(w.leader().mustAdvance())
	})
}

// The first choice hears nothing any more at the moment of the hand-over. Raft waits for its answer beside the main loop and refuses a second
// choice meanwhile: that one is asked when it may be.
func TestStepDownToTheSecondChoice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var first atomic.Value
		first.Store("")
		w := newWorld(t, "a", "b", "c")
		defer w.close()
		w.tune = func(c *cluster.Config) { c.Prefer = func() []string { return []string{first.Load().(string)} } }
		w.startAll()
		l := w.leader()
		l.mustAdvance()
		gone, other := w.followers(l)[0], w.followers(l)[1]
		first.Store(gone.name)
		w.net.Isolate(gone.name)
		h, err := l.group.StepDown(context.Background(), "")
		if err != nil || h.To != other.name || h.Took > time.Second {
			t.Errorf("hand-over: %+v, %v, want it to %s within a second", h, err, other.name)
		}
		w.net.Rejoin(gone.name)
		w.agreed(w.leader().mustAdvance())
	})
}

func TestUnableToLead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world3(t)
		defer w.close()
		l := w.leader()
		able := w.followers(l)[1]
		for _, m := range w.members {
			if m != able {
				m.onLead(func(context.Context, uint64) error { return errors.New("cannot open the upstream") })
			}
		}
		if _, err := l.group.StepDown(context.Background(), w.followers(l)[0].name); err != nil && !errors.Is(err, cluster.ErrOtherWon) {
			t.Fatal(err)
		}
		w.until("the able one to lead for a while", 30*time.Second, func() bool {
			s := able.group.Status()
			return !s.LeadingSince.IsZero() && time.Since(s.LeadingSince) > 5*time.Second
		})
		able.mustAdvance()
	})
	// Where nobody is able, leadership goes around, at its leisure.
	synctest.Test(t, func(t *testing.T) {
		w := world3(t)
		defer w.close()
		first := w.leader().group.Status().Term
		for _, m := range w.members {
			m.onLead(func(context.Context, uint64) error { return errors.New("cannot open the upstream") })
		}
		l := w.leader()
		if _, err := l.group.StepDown(context.Background(), w.followers(l)[0].name); err != nil && !errors.Is(err, cluster.ErrOtherWon) {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		for _, m := range w.members {
			if n := len(m.history()); n < 2 {
				t.Errorf("%s tried to lead %d times in 20s", m.name, n)
			}
		}
		if terms := l.group.Status().Term - first; terms > 100 {
			t.Errorf("%d terms in 20s", terms)
		}
	})
	// Alone, an unable member tries again and again, too.
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "a")
		defer w.close()
		w.members["a"].onLead(func(context.Context, uint64) error { return errors.New("unable") })
		w.startAll()
		time.Sleep(10 * time.Second)
		if n := len(w.members["a"].history()); n < 5 || n > 12 {
			t.Errorf("tried to lead %d times in 10s", n)
		}
	})
}

// Leadership lost and regained while the function is slow to return: raft's channel says true, true. The calls follow one another, each with its term.
func TestLostAndRegained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world3(t)
		defer w.close()
		l := w.leader()
		slow := func(ctx context.Context, _ uint64) error {
			<-ctx.Done()
			time.Sleep(3 * time.Second)
			return nil
		}
		l.onLead(slow)
		other := w.followers(l)[0]
		if _, err := l.group.StepDown(context.Background(), other.name); err != nil {
			t.Fatal(err)
		}
		w.leader()
		w.until("leadership to be handed back", 5*time.Second, func() bool { // it may not have answered yet
			_, err := other.group.StepDown(context.Background(), l.name)
			return err == nil
		})
		w.leader() // l is slow from here on
		w.net.Isolate(l.name)
		w.until("the slow one's end", time.Second, func() bool { return l.group.Status().Role != "leader" })
		w.net.Rejoin(l.name)
		for { // the others hand leadership back while the slow function is still there
			calls := l.history()
			if !calls[len(calls)-1].ended.IsZero() || l.group.Status().Role == "leader" {
				break
			}
			for _, m := range w.followers(l) {
				if !m.group.Status().LeadingSince.IsZero() {
					if _, err := m.group.StepDown(context.Background(), l.name); err == nil {
						break
					}
				}
			}
			time.Sleep(time.Millisecond)
		}
		if calls := l.history(); !calls[len(calls)-1].ended.IsZero() {
			t.Fatal("the slow function had returned before leadership was regained")
		}
		before := len(l.history())
		l.onLead(nil)
		w.until("the next call", 10*time.Second, func() bool { return len(l.history()) > before })
		calls := l.history()
		a, b := calls[before-1], calls[before]
		if b.begun.Before(a.ended) || b.term <= a.term || b.term != l.group.Status().Term {
			t.Errorf("%+v, then %+v, term %d", a, b, l.group.Status().Term)
		}
		l.mustAdvance()
	})
}
