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
		w, l, d, others := takenInWithoutMajority(t)
		defer w.close()
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

// A newcomer whose joining was cut short, and is taken up again, loses its leader while it catches up: its log has just passed the place where the next
// one has taken it in not. Nobody has removed it, and it does not say so.
func TestJoiningIsNoRemoval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, l, d, others := takenInWithoutMajority(t)
		defer w.close()
		for _, o := range others {
			w.net.CutBoth("d", o.name)
		}
		w.until("it to record that it is joining", 5*time.Second, func() bool { return d.group.Announce().Joining })
		d.kill() // before the others have a leader, who would take it in at once
		l.kill()
		for _, o := range others {
			w.net.HealBoth(l.name, o.name)
			w.net.HealBoth("d", o.name)
		}
		time.Sleep(5 * time.Second) // fake time: elections are over
		for range 300 {             // more than one call carries
			w.leader().mustAdvance()
		}
		d.start()
		missing := func() bool {
			s := d.group.Status()
			return s.Applied > 100 && !slices.ContainsFunc(s.Members, func(x cluster.Member) bool { return x.Name == "d" })
		}
		for end := time.Now().Add(5 * time.Second); !missing(); time.Sleep(50 * time.Microsecond) { // fake time
			if time.Now().After(end) {
				t.Fatal("it was never without its entry: the test shows nothing")
			}
		}
		w.net.Isolate("d")
		time.Sleep(5 * time.Second) // fake time
		if !d.alive() {
			t.Fatalf("it ended: %v", d.err)
		}
		w.net.Rejoin("d")
		l.start()
		w.voters(w.leader(), "a", "b", "c", "d")
		w.agreed(w.leader().mustAdvance())
	})
}

// A newcomer that ends before it has recorded whose its log is cannot prove it any more. It is told, and joins with an empty disk.
func TestJoinIsCutShortAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, l, d, others := takenInWithoutMajority(t)
		defer w.close()
		for _, o := range others {
			w.net.CutBoth("d", o.name)
		}
		w.until("it to have a log", time.Second, func() bool { return d.group.Announce().HasState })
		d.kill()
		if a := d.group.Announce(); a.Joining || a.ClusterID != "" {
			t.Fatalf("%+v: the test shows nothing", a)
		}
		l.kill()
		for _, o := range others {
			w.net.HealBoth(l.name, o.name)
			w.net.HealBoth("d", o.name)
		}
		d.start()
		time.Sleep(time.Minute) // fake time
		if s := d.group.Status(); !d.alive() || d.group.Announce().Joining || !s.Apart || !strings.Contains(s.Waiting, "cut short") {
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

// takenInWithoutMajority returns three members, of which the leader is cut off from the others and has just taken in a fourth one.
func takenInWithoutMajority(t *testing.T) (w *world, l, d *member, others []*member) {
	t.Helper()
	w = world3(t)
	l = w.leader()
	l.mustAdvance()
	others = w.followers(l)
	d = w.add("d")
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
	return w, l, d, others
}
