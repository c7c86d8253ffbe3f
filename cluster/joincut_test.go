package cluster_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/cluster"
)

// A leader takes a newcomer in at the moment in which it loses its majority: its word is undone, and the newcomer is left with a log that
// has an entry for it and a group that has none. It is no member that was removed, and the next leader takes it in.
func TestJoinIsCutShort(t *testing.T) {
	for name, test := range map[string]struct {
		restart bool
		entries int // that the group agrees on meanwhile
	}{
		"and goes on":                           {},
		"and the newcomer is started again":     {restart: true},
		"and the group goes on for a long time": {restart: true, entries: 300}, // more than one call carries
	} {
		t.Run(name, func(t *testing.T) { joinIsCutShort(t, test.restart, test.entries) })
	}
}

func joinIsCutShort(t *testing.T, restart bool, entries int) {
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
		for _, o := range others {
			w.net.CutBoth("d", o.name)
		}
		time.Sleep(5 * time.Second) // fake time
		l.kill()
		id := d.group.Announce().RaftID
		if restart {
			d.kill()
		}
		for _, o := range others {
			w.net.HealBoth(l.name, o.name)
			w.net.HealBoth("d", o.name)
		}
		if restart {
			time.Sleep(5 * time.Second) // fake time: elections are over
		}
		for range entries {
			w.leader().mustAdvance()
		}
		if restart {
			d.start()
		}
		l.start()
		w.voters(w.leader(), "a", "b", "c", "d")
		w.until("it to know that it is a member", 5*time.Second, func() bool { return !d.group.Announce().Joining })
		if got := d.group.Announce(); got.RaftID != id {
			t.Errorf("got %+v, want the log %s", got, id)
		}
		w.agreed(w.leader().mustAdvance())
	})
}
