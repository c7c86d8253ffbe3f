package cluster_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/cluster"
)

// A leader is lost between the two steps of a removal, and the others take a while to have another one. The member has lost its vote and hears
// nobody, like one that was removed; but it is a member, waits for the next leader, and gets its vote back.
func TestRemoveIsCutShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "a", "b", "c", "d")
		defer w.close()
		w.startAll()
		l := w.leader()
		w.agreed(l.mustAdvance())
		time.Sleep(time.Second) // fake time: the founding is over
		others := w.followers(l)
		m, rest := others[0], others[1:]
		removed := make(chan error, 1)
		go func() { removed <- l.group.Remove(t.Context(), m.name) }()
		// Another one has to have heard of it as well: who alone has the longest log can neither stand nor vote for anybody.
		told := func(o *member) bool { return slices.ContainsFunc(o.group.Status().Members, nonvoter(m.name)) }
		for end := time.Now().Add(5 * time.Second); !told(m) || !slices.ContainsFunc(rest, told); {
			if time.Now().After(end) {
				t.Fatal("it does not lose its vote")
			}
			time.Sleep(50 * time.Microsecond) // fake time: before the leader hears that it has
		}
		w.net.CutBoth(rest[0].name, rest[1].name)
		l.kill()
		if err := <-removed; err == nil {
			t.Fatal("it was removed: the test shows nothing")
		}
		time.Sleep(5 * time.Second) // fake time
		w.net.HealBoth(rest[0].name, rest[1].name)
		w.until("its vote to be back", 20*time.Second, func() bool {
			return m.alive() && slices.ContainsFunc(m.group.Status().Members, func(x cluster.Member) bool { return x.Name == m.name && x.Voter })
		})
		l.start()
		w.voters(w.leader(), "a", "b", "c", "d")
		w.agreed(w.leader().mustAdvance())
	})
}

// A leader is lost while it gives a newcomer its vote. The newcomer holds what the group has not agreed on, and takes it back.
func TestPromotionIsUndone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world3(t)
		defer w.close()
		l := w.leader()
		w.agreed(l.mustAdvance())
		others := w.followers(l)
		d := w.add("d")
		d.start()
		w.until("it to be taken in", 10*time.Second, func() bool { return slices.ContainsFunc(d.group.Status().Members, nonvoter("d")) })
		time.Sleep(480 * time.Millisecond) // fake time: the leader looks twice a second
		for _, o := range others {
			w.net.CutBoth(l.name, o.name)
		}
		for end := time.Now().Add(100 * time.Millisecond); slices.ContainsFunc(d.group.Status().Members, nonvoter("d")); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("the leader gave it no vote: the test shows nothing")
			}
		}
		l.kill()
		for _, o := range others {
			w.net.CutBoth("d", o.name)
		}
		next := w.leader()
		for _, o := range others {
			w.net.HealBoth("d", o.name)
		}
		w.until("the vote to be taken back", 10*time.Second, func() bool { return slices.ContainsFunc(d.group.Status().Members, nonvoter("d")) })
		w.net.CutBoth("d", next.name) // for longer than a member that was removed goes on
		time.Sleep(5 * time.Second)   // fake time
		if !d.alive() {
			t.Fatalf("the member ended: %v", d.err)
		}
		w.net.HealBoth("d", next.name)
		for _, o := range others {
			w.net.HealBoth(l.name, o.name)
		}
		l.start()
		w.voters(w.leader(), "a", "b", "c", "d")
		w.agreed(w.leader().mustAdvance())
	})
}

// nonvoter finds the named member without a vote.
func nonvoter(name string) func(cluster.Member) bool {
	return func(x cluster.Member) bool { return x.Name == name && !x.Voter }
}
