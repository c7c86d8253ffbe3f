package cluster_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/cluster"
)

// A leader takes a newcomer in at the moment in which it loses its majority: its word is undone, and the newcomer is left with a log that
// has an entry for it and a group that has none. It is told like one that was removed, and joins with an empty disk.
func TestJoinIsCutShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world3(t)
		defer w.close()
		l := w.leader()
		l.mustAdvance()
		others := w.followers(l)
		d := w.add("d")
		began := func() bool { // and not done
			s := l.group.Status()
			return s.Role == "leader" && s.Commit < s.Last && slices.ContainsFunc(s.Members, func(x cluster.Member) bool { return x.Name == "d" })
		}
		for i := 0; !began(); i++ {
			if i > 100 {
				t.Fatal("the leader did not take it in while it was cut off")
			}
			for _, o := range others {
				w.net.CutBoth(l.name, o.name)
			}
			if d.group == nil {
				d.start()
			}
			for end := time.Now().Add(40 * time.Millisecond); !began() && time.Now().Before(end); {
				time.Sleep(time.Millisecond) // fake time; shorter than its lease
			}
			if began() {
				break
			}
			for _, o := range others {
				w.net.HealBoth(l.name, o.name)
			}
			time.Sleep(77 * time.Millisecond) // fake time
		}
		time.Sleep(5 * time.Second) // fake time
		l.kill()
		for _, o := range others {
			w.net.HealBoth(l.name, o.name)
		}
		time.Sleep(time.Minute) // fake time
		if s := d.group.Status(); !d.alive() || !s.Apart || !strings.Contains(s.Waiting, "cut short") {
			t.Errorf("got %+v, want it to say what has happened", s)
		}
		if err := d.quit(); err != nil {
			t.Error(err)
		}
		d.wipe()
		d.start()
		l.start()
		w.voters(w.leader(), "a", "b", "c", "d")
		w.agreed(w.leader().mustAdvance())
	})
}
