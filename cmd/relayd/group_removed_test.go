package main

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/cluster"
	"github.com/thinrelay/thinrelay/relay/control"
)

// A member that was removed is started again with its old data: it says what it is, and sends nobody to "lost quorum".
func TestRemovedMemberStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newSimGroup(t, 1)
		defer g.close()
		g.speaks("at the start")
		leader, lm := g.leader()
		gone := simNames[(slices.Index(simNames[:], leader)+1)%3]
		if err := lm.group.Remove(t.Context(), gone); err != nil {
			t.Fatal(err)
		}
		votes := func(m cluster.Member) bool { return m.Name == gone && m.Voter }
		for i := 0; slices.ContainsFunc(g.member(gone).group.Status().Members, votes); i++ {
			if i > 500 {
				t.Fatal("the member does not hear that it was removed")
			}
			time.Sleep(time.Millisecond) // fake time
		}
		g.kill(gone) // before it ends by itself
		g.start(gone)
		time.Sleep(time.Minute) // fake time
		m := g.member(gone)
		if m == nil {
			t.Fatal("the removed member has ended")
		}
		st, err := api{m}.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		st.Assess()
		if p := st.Problems[0]; p.Code != "not_member" || p.Level != control.HealthDown {
			t.Errorf("%s says %+v, want not_member first", gone, p)
		}
		for _, p := range st.Problems {
			if strings.Contains(p.Remedy, "lost quorum") {
				t.Errorf("%s sends to the wrong page: %+v", gone, p)
			}
		}
		if st, err := (api{lm}).Status(t.Context()); err != nil || slices.ContainsFunc(st.Problems, func(p control.Problem) bool { return p.Code == "not_member" }) {
			t.Errorf("the leader: %+v %v", st.Problems, err)
		}
	})
}
