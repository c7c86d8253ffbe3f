package cluster_test

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/cluster"
	"github.com/thinrelay/thinrelay/cluster/storage"
	"github.com/thinrelay/thinrelay/fsm"
)

func TestSingleMemberLeadsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "a")
		defer w.close()
		start := time.Now()
		w.startAll()
		l := w.leader()
		if got := time.Since(start); got > time.Second {
			t.Errorf("leads after %s, want less than 1s", got)
		}
		l.mustAdvance()
		s := l.group.Status()
		if s.Role != "leader" || !s.Quorum || s.Leader != "a" || s.ClusterID == "" || s.Waiting != "" || s.Mark.Mark.Height() != 1 || s.Voters != 1 {
			t.Errorf("status: %+v", s)
		}
		if calls := l.history(); len(calls) != 1 || calls[0].term != s.Term || s.Mark.Term != s.Term {
			t.Errorf("calls %+v, mark of term %d, term %d", calls, s.Mark.Term, s.Term)
		}
	})
}

func TestThreeFoundOneCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "a", "b", "c")
		defer w.close()
		w.members["b"].start()
		w.members["c"].start()
		time.Sleep(time.Minute)
		if s := w.members["b"].group.Status(); s.Role != "waiting" || s.Waiting == "" || s.Quorum {
			t.Fatalf("two of three: %+v", s)
		}
		w.members["a"].start()
		l := w.leader()
		w.voters(l, "a", "b", "c")
		w.agreed(l.mustAdvance())
		id := l.group.Announce().ClusterID
		w.until("one cluster id", time.Second, func() bool {
			for _, m := range w.members {
				if m.group.Announce().ClusterID != id {
					return false
				}
			}
			return id != ""
		})
		for _, m := range w.members {
			s := m.group.Status()
			if !s.Quorum || s.Leader != l.name || s.Timeouts.Heartbeat != 250*time.Millisecond {
				t.Errorf("%s: %+v", m.name, s)
			}
			if name, addr := m.group.Leader(); name != l.name || addr != l.name+":8300" {
				t.Errorf("%s: leader %s at %s, want %s", m.name, name, addr, l.name)
			}
		}
		time.Sleep(10 * time.Second)
		for _, x := range l.group.Status().Members {
			if x.Name != l.name && (x.RTT.Round(time.Millisecond) != 2*time.Millisecond || x.Behind != 0 || x.LastContact > 100*time.Millisecond) {
				t.Errorf("leader's view of %s: %+v", x.Name, x)
			}
		}
	})
}

func TestFailover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world3(t)
		defer w.close()
		first := w.leader()
		acked := first.mustAdvance()
		first.kill()
		start := time.Now()
		second := w.leader()
		if took := time.Since(start); took > time.Second {
			t.Errorf("took over after %s", took)
		}
		if got := second.group.State().Mark; got != acked {
			t.Errorf("new leader has %v, want %v", got, acked)
		}
		if a, b := first.history(), second.history(); b[0].term <= a[0].term {
			t.Errorf("terms: %+v, then %+v", a, b)
		}
		mustErr(t, first.history()[0].cause, cluster.ErrStopped)
		to := second.mustAdvance()
		first.start()
		w.agreed(to)
		if w.leader() != second {
			t.Error("leadership moved to the member that came back")
		}
	})
}

func TestPartitionedLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world3(t)
		defer w.close()
		old := w.leader()
		acked := old.mustAdvance()
		term := old.group.Status().Term
		w.net.Isolate(old.name)
		start := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		defer cancel()
		lost, err := old.advance(ctx) // enters the log, and no other's
		mustErr(t, err, context.DeadlineExceeded)
		if took := time.Since(start); took != 20*time.Millisecond {
			t.Errorf("proposal returned after %s", took)
		}
		w.until("the old leadership to end", time.Second, func() bool { return !old.history()[0].ended.IsZero() })
		if took := time.Since(start); took > 300*time.Millisecond {
			t.Errorf("old leadership ended after %s", took)
		}
		mustErr(t, old.history()[0].cause, cluster.ErrLostLeadership)
		_, err = old.advance(context.Background())
		mustErr(t, err, cluster.ErrNotLeader)
		if s := old.group.Status(); s.Quorum || s.Leader != "" {
			t.Errorf("isolated: %+v", s)
		}
		var l *member
		w.until("a new leader", 5*time.Second, func() bool {
			for _, m := range w.followers(old) {
				if !m.group.Status().LeadingSince.IsZero() {
					l = m
				}
			}
			return l != nil
		})
		// The lost entry has its index and From in common with this one, and must not come back.
		to := mark(acked.Height()+1, 7)
		if err := l.group.Propose(context.Background(), fsm.Transition{From: acked, To: to, Term: l.group.Status().Term}); err != nil {
			t.Fatal(err)
		}
		w.net.Rejoin(old.name)
		w.agreed(to)
		if w.reached(lost) {
			t.Error("an entry that no majority had was applied")
		}
		err = l.group.Propose(context.Background(), fsm.Transition{From: to, To: mark(9, 0), Term: term})
		mustErr(t, err, cluster.ErrNotLeader)
	})
}

func TestNoQuorum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world3(t)
		defer w.close()
		l := w.leader()
		l.mustAdvance()
		fs := w.followers(l)
		fs[0].kill()
		fs[1].kill()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		start := time.Now()
		_, err := l.advance(ctx)
		mustErr(t, err, cluster.ErrLostLeadership)
		if took := time.Since(start); took > time.Second {
			t.Errorf("proposal returned after %s", took)
		}
		if s := l.group.Status(); s.Quorum || s.Role == "leader" || s.Mark.Mark.Height() != 1 {
			t.Errorf("alone: %+v", s)
		}
		time.Sleep(time.Minute)
		fs[0].start()
		w.leader().mustAdvance()
	})
}

// Without a quorum no leader tells who is there; those that stand for election find out.
func TestWhoIsSilentWithoutALeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "a", "b", "c", "d", "e")
		defer w.close()
		w.startAll()
		l := w.leader()
		fs := w.followers(l)
		w.until("all to vote", 10*time.Second, func() bool { return fs[0].group.Status().Voters == 5 })
		silent := func(of *member) (names []string) {
			for _, m := range of.group.Status().Members {
				if m.Silent {
					names = append(names, m.Name)
				}
			}
			slices.Sort(names)
			return names
		}
		killed := []*member{l, fs[0], fs[1]}
		var want []string
		for _, m := range killed {
			want = append(want, m.name)
			m.kill()
		}
		slices.Sort(want)
		time.Sleep(4 * time.Second) // fake time
		for _, left := range fs[2:] {
			if got := silent(left); !slices.Equal(got, want) {
				t.Errorf("silent for %s: got %v, want %v", left.name, got, want)
			}
		}
		killed[0].start()
		w.leader()
		w.until("the one that is back to be heard", 10*time.Second, func() bool { return !slices.Contains(silent(w.leader()), killed[0].name) })
	})
}

func TestRefusalsReachTheProposer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world3(t)
		defer w.close()
		l := w.leader()
		to, term := l.mustAdvance(), l.group.Status().Term
		ctx := context.Background()
		mustErr(t, l.group.Propose(ctx, fsm.Transition{From: mark(7, 0), To: mark(8, 0), Term: term}), fsm.ErrStale)
		mustErr(t, l.group.Propose(ctx, fsm.Transition{From: to, To: mark(0, 0), Term: term}), fsm.ErrLower)
		mustErr(t, l.group.Propose(ctx, fsm.Transition{From: to, To: mark(1, 3), Term: term}), fsm.ErrUsed)
		mustErr(t, l.group.Propose(ctx, fsm.Transition{From: to, To: mark(2, 0), Term: term - 1}), cluster.ErrNotLeader)
		mustErr(t, l.group.Propose(ctx, fsm.Transition{From: to, To: mark(1, 3), Term: term, Unused: true}), nil)
		mustErr(t, w.followers(l)[0].group.Propose(ctx, fsm.Transition{From: to, To: mark(2, 0), Term: term}), cluster.ErrNotLeader)
	})
}

func TestSlowDiskCostsLeadership(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world3(t)
		defer w.close()
		l := w.leader()
		l.mustAdvance()
		l.faults.Slow(10 * time.Second)
		start := time.Now()
		_, err := l.advance(context.Background())
		mustErr(t, err, storage.ErrSlow)
		next := l
		w.until("another leader", 3*time.Second, func() bool {
			for _, m := range w.followers(l) {
				if !m.group.Status().LeadingSince.IsZero() {
					next = m
				}
			}
			return next != l
		})
		t.Logf("another leader after %s", time.Since(start))
		if s := l.group.Status(); s.Disk.Pending < 500*time.Millisecond || s.Disk.P99 < 500*time.Millisecond {
			t.Errorf("disk in status: %+v", s.Disk)
		}
		next.mustAdvance()
		l.faults.Slow(0)
		to := next.mustAdvance()
		w.agreed(to) // and the late entry is nowhere: agreed looks at marks, w.applied at every step
	})
}

func TestBrokenDiskEndsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world3(t)
		defer w.close()
		l := w.leader()
		l.faults.Fail(syscall.EIO)
		_, err := l.advance(context.Background())
		mustErr(t, err, syscall.EIO)
		<-l.done
		mustErr(t, l.err, storage.ErrFailed)
		if cause := l.history()[0].cause; !errors.Is(cause, storage.ErrFailed) && !errors.Is(cause, cluster.ErrLostLeadership) {
			t.Errorf("cause: %v", cause) // whichever is noticed first
		}
		w.leader().mustAdvance()
		l.faults.Fail(nil)
		l.start()
		w.agreed(w.leader().mustAdvance())
	})
}

func TestFullDiskHeals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world3(t)
		defer w.close()
		l := w.leader()
		l.mustAdvance()
		l.faults.Fail(syscall.ENOSPC)
		_, err := l.advance(context.Background())
		mustErr(t, err, syscall.ENOSPC)
		var next *member
		w.until("another leader", 5*time.Second, func() bool {
			next = nil
			for _, m := range w.followers(l) {
				if !m.group.Status().LeadingSince.IsZero() {
					next = m
				}
			}
			return next != nil
		})
		next.mustAdvance()
		l.faults.Fail(nil)
		w.agreed(next.mustAdvance())
	})
}

func TestEntryOfANewerReleaseEndsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world3(t)
		defer w.close()
		l := w.leader()
		l.mustAdvance()
		if err := l.group.ApplyRaw([]byte("\x01garbage")); err != nil {
			t.Fatal(err)
		}
		l.mustAdvance()
		if err := l.group.ApplyRaw([]byte{fsm.Version + 1}); err != nil && !errors.Is(err, fsm.ErrVersion) {
			t.Logf("apply: %v", err)
		}
		// Whoever learns that the entry is committed stops. The last one may never learn it: alone it commits nothing.
		stopped := func() (n int) {
			for _, m := range w.members {
				if !m.alive() {
					mustErr(t, m.err, fsm.ErrVersion)
					n++
				}
			}
			return n
		}
		w.until("the majority to stop", 10*time.Second, func() bool { return stopped() >= 2 })
		for _, m := range w.members {
			if !m.alive() {
				m.start() // the entry is still there
			}
		}
		w.until("the majority to stop again", 10*time.Second, func() bool { return stopped() >= 2 })
		for _, m := range w.members {
			if m.alive() {
				m.kill()
			}
		}
	})
}

func TestRunOnceAndClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "a")
		w.startAll()
		m := w.members["a"]
		w.leader()
		if err := m.quit(); err != nil {
			t.Error(err)
		}
		mustErr(t, m.group.Run(context.Background(), nil), cluster.ErrStopped)
		mustErr(t, m.group.Propose(context.Background(), fsm.Transition{}), cluster.ErrNotLeader)
		if s := m.group.Status(); s.Role != "stopped" {
			t.Errorf("status: %+v", s)
		}
		if err := m.group.Close(); err != nil {
			t.Error(err)
		}
		w.net.Close()
	})
}

// A member that starts says at once that it has a log: until its Raft ran it was taken for a new one, and a wiped member that saw none but
// such could found a second cluster.
func TestAnnouncesItsLogAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world3(t)
		defer w.close()
		l := w.leader()
		w.agreed(l.mustAdvance())
		if err := l.quit(); err != nil {
			t.Fatal(err)
		}
		l.start()
		if got := l.group.Announce(); !got.HasState {
			t.Errorf("announces %+v, want a log", got)
		}
	})
}
