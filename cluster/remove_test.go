package cluster_test

import (
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/cluster"
)

// A member that lost its disk and is lost before it has come back for good is there twice. Removed is what has its name.
func TestRemoveAllOfAName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world3(t)
		defer w.close()
		l := w.leader()
		l.mustAdvance()
		m := w.followers(l)[0]
		named := func() (n int) {
			for _, x := range l.group.Status().Members {
				if x.Name == m.name {
					n++
				}
			}
			return n
		}
		m.kill()
		m.wipe()
		m.start()
		w.until("the new log to be taken in beside the former", 20*time.Second, func() bool { return named() == 2 })
		m.kill()
		if err := l.group.Remove(t.Context(), m.name); err != nil {
			t.Fatal(err)
		}
		if got := named(); got != 0 {
			t.Errorf("logs of it in the configuration: got %d, want 0", got)
		}
		mustErr(t, l.group.Remove(t.Context(), m.name), cluster.ErrNotMember)
		rest := []string{l.name, w.followers(l)[0].name}
		slices.Sort(rest)
		w.voters(l, rest...)
		w.agreed(l.mustAdvance())
	})
}

// One member of three has lost its disk. Were another one removed now, the two that counted would be the leader and a log that is gone: the group
// could neither agree to that nor undo it, nor ever have a leader again.
func TestRemoveLeavesAMajority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world3(t)
		defer w.close()
		l := w.leader()
		l.mustAdvance()
		others := w.followers(l)
		lost, stays := others[0], others[1]
		lost.kill()
		lost.wipe()
		time.Sleep(time.Second) // fake time: it is missed
		mustErr(t, l.group.Remove(t.Context(), stays.name), cluster.ErrFewLeft)
		w.agreed(w.leader().mustAdvance())
		if err := l.group.Remove(t.Context(), lost.name); err != nil {
			t.Fatalf("the one that is gone: %v", err)
		}
		if err := l.group.Remove(t.Context(), stays.name); err != nil {
			t.Fatalf("the last of the others: %v", err)
		}
		w.agreed(l.mustAdvance())
		<-stays.done
		mustErr(t, stays.err, cluster.ErrRemoved)
	})
}

// One member of three answers and has no room on its disk. Were another one removed now, nothing would be agreed on any more, the removal included.
func TestRemoveCountsOnDisksThatFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world3(t)
		defer w.close()
		l := w.leader()
		w.agreed(l.mustAdvance())
		time.Sleep(time.Second) // fake time: the founding is over
		others := w.followers(l)
		full, stays := others[0], others[1]
		full.faults.Fail(syscall.ENOSPC)
		for range 20 {
			l.mustAdvance()
		}
		mustErr(t, l.group.Remove(t.Context(), stays.name), cluster.ErrFewLeft)
		l.mustAdvance()
		full.faults.Fail(nil)
		w.until("it to have caught up", 10*time.Second, func() bool {
			return slices.ContainsFunc(l.group.Status().Members, func(x cluster.Member) bool { return x.Name == full.name && x.Behind == 0 })
		})
		if err := l.group.Remove(t.Context(), stays.name); err != nil {
			t.Fatal(err)
		}
		l.mustAdvance()
		<-stays.done
	})
}
