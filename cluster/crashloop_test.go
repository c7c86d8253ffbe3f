package cluster_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/cluster"
)

// A container without a volume that crashes again and again is a new log each time. The configuration, and with it what a leader calls and what it knows of
// those, must not grow with each.
func TestCrashLoopWithoutADisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world3(t)
		defer w.close()
		l := w.leader()
		m := w.followers(l)[0]
		for range 20 {
			m.kill()
			m.wipe()
			m.start()
			id := m.group.Announce().RaftID
			w.until("the new log to be a member", 20*time.Second, func() bool {
				return slices.ContainsFunc(l.group.Status().Members, func(x cluster.Member) bool { return x.RaftID == id })
			})
			if got, most := len(l.group.Status().Members), 6; got > most {
				t.Fatalf("logs in the configuration: got %d, want %d at most", got, most)
			}
		}
		w.voters(l, "a", "b", "c")
		w.agreed(l.mustAdvance())
		time.Sleep(time.Second) // fake time
		if got := l.group.Contacts(); got != 2 {
			t.Errorf("the leader of three knows %d others", got)
		}
	})
}
