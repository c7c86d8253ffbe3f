package cluster_test

import (
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/cluster"
)

// A leader's end that is seen costs one election, not the silence before it; and the members do not stand against each other.
func TestLeaderGone(t *testing.T) {
	for _, told := range []struct {
		name   string
		who    func(followers []*member) []*member
		within time.Duration
	}{
		{"all", func(f []*member) []*member { return f }, 50 * time.Millisecond},
		{"the first", func(f []*member) []*member { return f[:1] }, 50 * time.Millisecond},
		{"the second", func(f []*member) []*member { return f[1:] }, 200 * time.Millisecond},
	} {
		t.Run(told.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := world3(t)
				defer w.close()
				for range 10 {
					l := w.leader()
					w.agreed(l.mustAdvance())
					term, followers := l.group.Status().Term, w.followers(l)
					l.kill()
					start := time.Now()
					for _, f := range told.who(followers) {
						f.group.LeaderGone(l.name)
					}
					next := w.leader()
					if took := time.Since(start); took > told.within {
						t.Errorf("%s leads after %s, want at most %s", next.name, took, told.within)
					}
					if got := next.group.Status().Term; got != term+1 {
						t.Errorf("term %d follows %d: the votes were split", got, term)
					}
					if want := told.who(followers)[0]; next != want {
						t.Errorf("%s leads, want %s", next.name, want.name)
					}
					next.mustAdvance()
					l.start()
					w.voters(next, "a", "b", "c")
					w.until("the one that was killed to follow", 10*time.Second, func() bool { name, _ := l.group.Leader(); return name == next.name })
					w.agreed(next.mustAdvance())
				}
			})
		})
	}
}

// What is told of somebody who does not lead is not believed, nor of a leader that is heard while a member waits for its turn. What is
// wrongly told of the leader to whose turn it is moves leadership, and that is all.
func TestLeaderGoneWrongly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world3(t)
		defer w.close()
		l := w.leader()
		l.mustAdvance()
		term, followers := l.group.Status().Term, w.followers(l)
		followers[0].group.LeaderGone(followers[1].name)
		followers[1].group.LeaderGone("nobody")
		l.group.LeaderGone(l.name)
		time.Sleep(time.Second) // fake time: one is dealt with at a time
		followers[1].group.LeaderGone(l.name)
		time.Sleep(5 * time.Second) // fake time
		if got := w.leader(); got != l || got.group.Status().Term != term {
			t.Fatalf("%s leads in term %d, want %s in term %d still", got.name, got.group.Status().Term, l.name, term)
		}
		for _, f := range followers {
			f.group.LeaderGone(l.name)
		}
		w.until("leadership to move", time.Second, func() bool { return w.leader() == followers[0] })
		calls := l.history()
		mustErr(t, calls[len(calls)-1].cause, cluster.ErrLostLeadership)
		w.agreed(followers[0].mustAdvance())
	})
}

// The member whose disk lacks the last entry cannot win; the next one does.
func TestLeaderGoneBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world3(t)
		defer w.close()
		l := w.leader()
		followers := w.followers(l)
		w.net.Cut(l.name, followers[0].name)
		l.mustAdvance()
		l.kill()
		start := time.Now()
		for _, f := range followers {
			f.group.LeaderGone(l.name)
		}
		next := w.leader()
		if next != followers[1] {
			t.Fatalf("%s leads, which lacks an entry", next.name)
		}
		if took := time.Since(start); took > 300*time.Millisecond {
			t.Errorf("leads after %s, want one turn", took)
		}
		next.mustAdvance()
	})
}

// A member that stands although the leader lives, whose heartbeat comes while the term is being written, does not stay bound to that
// leader when it ends: the other member, which has more, gets the vote.
func TestCandidateIsNotBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world3(t)
		defer w.close()
		l := w.leader()
		w.agreed(l.mustAdvance())
		followers := w.followers(l)
		followers[0].faults.Slow(2 * time.Second) // no entry is stored in time
		last := l.mustAdvance()
		followers[0].group.LeaderGone(l.name)
		time.Sleep(time.Second) // fake time: heartbeats meet a candidate that writes its term
		l.kill()
		followers[0].faults.Slow(0)
		if next := w.leader(); next != followers[1] {
			t.Fatalf("%s leads, which lacks an entry", next.name)
		}
		followers[1].mustAdvance()
		if got := followers[1].group.State().Mark.Height(); got <= last.Height() {
			t.Errorf("mark at %d, want more than %d", got, last.Height())
		}
	})
}

// A leader that is asked for a vote in a later term while its disk is full leads no more, and does not keep the others from following another one.
func TestFormerLeaderWithAFullDiskIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world3(t)
		defer w.close()
		l := w.leader()
		w.agreed(l.mustAdvance())
		followers := w.followers(l)
		w.net.CutBoth(followers[0].name, followers[1].name)
		l.faults.Fail(syscall.ENOSPC)
		followers[0].group.LeaderGone(l.name) // and only the leader hears of its term
		w.until("it stands", time.Second, func() bool { return followers[0].group.Status().Role == "candidate" })
		time.Sleep(2 * time.Second) // fake time: what it asked the other one comes never
		w.net.HealBoth(followers[0].name, followers[1].name)
		took := w.until("a successor", 30*time.Second, func() bool {
			return !followers[0].group.Status().LeadingSince.IsZero() || !followers[1].group.Status().LeadingSince.IsZero()
		})
		if limit := 5 * time.Second; took > limit {
			t.Errorf("a successor after %s, want within %s", took, limit)
		}
		l.faults.Fail(nil)
		w.agreed(w.leader().mustAdvance())
	})
}
