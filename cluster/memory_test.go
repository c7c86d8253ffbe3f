package cluster_test

import (
	"context"
	"errors"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/thinrelay/thinrelay/cluster"
	"github.com/thinrelay/thinrelay/cluster/storage"
)

func TestForgotten(t *testing.T) {
	for name, tt := range map[string]struct {
		was, is [3]uint64 // log term, index, term
		want    bool
	}{
		"the same":                             {[3]uint64{3, 9, 3}, [3]uint64{3, 9, 3}, false},
		"further":                              {[3]uint64{3, 9, 3}, [3]uint64{3, 12, 3}, false},
		"cut by a later leader":                {[3]uint64{3, 9, 3}, [3]uint64{4, 8, 4}, false},
		"cut, and killed before the next":      {[3]uint64{3, 9, 3}, [3]uint64{3, 7, 4}, false},
		"an old copy":                          {[3]uint64{3, 9, 3}, [3]uint64{3, 7, 3}, true},
		"an older copy":                        {[3]uint64{3, 9, 3}, [3]uint64{2, 12, 2}, true},
		"cut, and told in the later term":      {[3]uint64{3, 9, 4}, [3]uint64{3, 7, 4}, false},
		"an old copy of a log that went on":    {[3]uint64{4, 9, 5}, [3]uint64{3, 7, 4}, true},
		"a copy from before the first entry":   {[3]uint64{1, 1, 1}, [3]uint64{}, true},
		"a term that was lost with no entries": {[3]uint64{3, 9, 5}, [3]uint64{3, 9, 4}, false},
	} {
		if got := cluster.Forgotten(tt.was, tt.is); got != tt.want {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
	}
}

// A member whose log was put back from a copy hears from the others that it was further, and stops before its first vote.
func TestRestoredLogIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "a", "b", "c")
		w.tune = func(c *cluster.Config) { c.RecallWait = time.Second }
		defer w.close()
		w.startAll()
		leader := w.leader()
		for range 3 {
			leader.mustAdvance()
		}
		w.agreed(leader.group.State().Mark)
		m, other := w.followers(leader)[0], w.followers(leader)[1]
		backup := copyOf(t, m.medium.Backend)
		for range 3 {
			leader.mustAdvance()
		}
		w.agreed(leader.group.State().Mark)
		gossip(t, m, other)

		// A restart as it is does no harm.
		m.kill()
		m.start()
		gossip(t, m, other)
		w.agreed(leader.mustAdvance())

		m.kill()
		m.faults.Backend = backup
		m.start()
		start := time.Now()
		if err := m.group.Recall(other.group.Memory()); err != nil {
			t.Fatal(err)
		}
		w.until("the member stops", 5*time.Second, func() bool { return !m.alive() })
		mustErr(t, m.err, cluster.ErrRestored)
		if took := time.Since(start); took > 100*time.Millisecond {
			t.Errorf("it took part for %s", took)
		}
		leader.mustAdvance()
	})
}

// The same where others could not tell until calls had filled its log again: it has voted meanwhile, but it is noticed.
func TestRestoredLogIsNoticedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "a", "b", "c")
		w.tune = func(c *cluster.Config) { c.RecallWait = time.Second }
		defer w.close()
		w.startAll()
		leader := w.leader()
		leader.mustAdvance()
		w.agreed(leader.group.State().Mark)
		m, other := w.followers(leader)[0], w.followers(leader)[1]
		backup := copyOf(t, m.medium.Backend)
		leader.mustAdvance()
		w.agreed(leader.group.State().Mark)
		gossip(t, m, other)

		// A restart as it is does no harm, nor what is told of itself after that.
		m.kill()
		m.start()
		w.agreed(leader.mustAdvance())
		for range 2 {
			gossip(t, m, other)
			w.agreed(leader.mustAdvance())
		}
		if !m.alive() {
			t.Fatalf("the member ended: %v", m.err)
		}

		m.kill()
		m.faults.Backend = backup
		m.start()
		w.agreed(leader.mustAdvance())
		m.group.Memory()     // did not arrive
		gossip(t, m, leader) // which knows nothing of it
		gossip(t, m, other)
		w.until("the member stops", 5*time.Second, func() bool { return !m.alive() })
		mustErr(t, m.err, cluster.ErrRestored)
	})
}

// A deposed leader's last entries are cut by its successor, and the write of what replaces them fails: the member ends, and Raft still
// says that its log is as long as it was, in the new term. That was told to the others; it forgot nothing all the same.
func TestCutLogIsNotTakenForRestored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "a", "b", "c")
		w.tune = func(c *cluster.Config) { c.RecallWait = time.Second }
		for _, m := range w.members {
			m.faults.Backend = &fullAfterCut{Backend: m.faults.Backend}
		}
		defer w.close()
		w.startAll()
		old := w.leader()
		w.agreed(old.mustAdvance())
		w.net.Isolate(old.name)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := old.advance(ctx); err == nil {
			t.Fatal("a leader that is cut off had an entry confirmed")
		}
		var next *member
		w.until("a successor", 10*time.Second, func() bool {
			for _, m := range w.followers(old) {
				if !m.group.Status().LeadingSince.IsZero() {
					next = m
				}
			}
			return next != nil
		})
		last := next.mustAdvance()
		w.net.Rejoin(old.name)
		w.until("the cut log to fail", 10*time.Second, func() bool { return !old.alive() })
		mustErr(t, old.err, storage.ErrFailed)
		if err := next.group.Recall(old.group.Memory()); err != nil {
			t.Fatal(err)
		}

		old.start()
		if err := old.group.Recall(next.group.Memory()); err != nil {
			t.Fatal(err)
		}
		w.agreed(last)
		if !old.alive() {
			t.Fatalf("the member ended: %v", old.err)
		}
	})
}

// fullAfterCut is a disk that has no space, once, for what is to replace entries that were cut.
type fullAfterCut struct {
	storage.Backend
	cut, met atomic.Bool
}

func (d *fullAfterCut) DeleteRange(first, last uint64) error {
	d.cut.Store(true)
	return d.Backend.DeleteRange(first, last)
}

func (d *fullAfterCut) StoreLogs(logs []*raft.Log) error {
	if d.cut.Load() && d.met.CompareAndSwap(false, true) {
		return syscall.ENOSPC
	}
	return d.Backend.StoreLogs(logs)
}

// Nothing that another member tells does harm.
func TestRecallOfGarbage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world3(t)
		defer w.close()
		leader := w.leader()
		for _, b := range [][]byte{nil, []byte("x"), []byte(`{"a":7}`), make([]byte, 1<<20)} {
			if err := leader.group.Recall(b); err == nil {
				t.Errorf("no error for %d bytes", len(b))
			}
		}
		leader.mustAdvance()
	})
}

// gossip has two members tell each other: what both say is fixed before either listens.
func gossip(t *testing.T, a, b *member) {
	t.Helper()
	one, other := a.group.Memory(), b.group.Memory()
	if err := errors.Join(b.group.Recall(one), a.group.Recall(other)); err != nil {
		t.Fatal(err)
	}
}

// copyOf copies what is on a disk.
func copyOf(t *testing.T, from storage.Backend) storage.Backend {
	t.Helper()
	to := raft.NewInmemStore()
	first, err := from.FirstIndex()
	if err != nil {
		t.Fatal(err)
	}
	last, err := from.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	for i := first; i <= last && i > 0; i++ {
		var l raft.Log
		if err := from.GetLog(i, &l); err != nil {
			t.Fatal(err)
		}
		if err := to.StoreLog(&l); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"CurrentTerm", "LastVoteTerm"} {
		if v, err := from.GetUint64([]byte(key)); err == nil {
			if err := to.SetUint64([]byte(key), v); err != nil {
				t.Fatal(err)
			}
		}
	}
	if v, err := from.Get([]byte("LastVoteCand")); err == nil {
		if err := to.Set([]byte("LastVoteCand"), v); err != nil {
			t.Fatal(err)
		}
	}
	return to
}
