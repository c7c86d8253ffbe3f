package cluster_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/cluster"
	"github.com/thinrelay/thinrelay/fsm"
)

// A leader that is cut off writes what nobody else has, gets a snapshot over it when it is back, leads again, and takes in a newcomer. What it wrote
// was never agreed on, and is not passed on to the newcomer.
func TestWhatASnapshotReplacedIsNotPassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "a", "b", "c")
		w.tune = func(c *cluster.Config) {
			keep := uint64(3)
			if c.Node == "a" {
				keep = 256
			}
			c.SnapshotEvery(10, keep, 300*time.Millisecond)
		}
		defer w.close()
		w.startAll()
		a := w.members["a"]
		w.lead(a)
		for a.group.Status().Last < 58 {
			a.mustAdvance()
		}
		w.agreed(a.group.State().Mark)

		w.net.Isolate("a")
		s, term := a.group.State(), a.group.Status().Term
		for fork := byte(1); fork <= 20; fork++ { // past 64, which is what one call carries
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			if err := a.group.Propose(ctx, fsm.Transition{From: s.Mark, To: mark(s.Mark.Height()+1, fork), Term: term}); err == nil {
				t.Fatal("who is cut off had its proposal agreed on")
			}
			cancel()
		}
		l := w.leaderBut(a)
		for range 100 {
			l.mustAdvance()
			time.Sleep(20 * time.Millisecond) // fake time: there are snapshots
		}
		w.net.Rejoin("a")
		w.agreed(w.leader().mustAdvance())
		w.lead(a)
		w.add("d").start()
		w.voters(a, "a", "b", "c", "d")
		w.agreed(a.mustAdvance())
	})
}

// lead makes a member the leader, as soon as it is ready to be.
func (w *world) lead(m *member) {
	w.t.Helper()
	w.until(m.name+" to lead", 20*time.Second, func() bool {
		l := w.leader()
		if l != m {
			_, _ = l.group.StepDown(w.t.Context(), m.name)
		}
		return l == m
	})
}

// leaderBut waits until another member leads.
func (w *world) leaderBut(m *member) (leader *member) {
	w.t.Helper()
	w.until(fmt.Sprintf("another leader than %s", m.name), 20*time.Second, func() bool {
		for _, o := range w.followers(m) {
			if !o.group.Status().LeadingSince.IsZero() {
				leader = o
			}
		}
		return leader != nil
	})
	return leader
}
