package cluster_test

import (
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A member that was away for long, or whose disk was full, gets entries as soon as it can take them: with one more away the group would agree on nothing
// until then.
func TestEntriesForAMemberThatIsBack(t *testing.T) {
	for name, tt := range map[string]struct{ away, back func(*member) }{
		"from the dead":     {(*member).kill, (*member).start},
		"from isolation":    {func(m *member) { m.w.net.Isolate(m.name) }, func(m *member) { m.w.net.Rejoin(m.name) }},
		"from a later term": {func(m *member) { m.w.net.Isolate(m.name); m.standAlone() }, func(m *member) { m.w.net.Rejoin(m.name) }},
		"with space again":  {func(m *member) { m.faults.Fail(syscall.ENOSPC) }, func(m *member) { m.faults.Fail(nil) }},
		"with a quick disk": {func(m *member) { m.faults.Slow(2 * time.Second) }, func(m *member) { m.faults.Slow(0) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := world3(t)
				defer w.close()
				leader := w.leader()
				w.agreed(leader.mustAdvance())
				away := w.followers(leader)[0]
				tt.away(away)
				for range 44 { // some seconds into a pause of ten that raft would make
					time.Sleep(500 * time.Millisecond) // fake time
					leader.mustAdvance()
				}
				tt.back(away)
				took := w.until("it has all", 20*time.Second, func() bool {
					to, err := w.leader().advance(t.Context()) // it may lose its term to the one that is back
					time.Sleep(50 * time.Millisecond)          // fake time
					return err == nil && away.group.State().Mark == to
				})
				if limit := 2 * time.Second; took > limit {
					t.Errorf("it has all after %s, want within %s", took, limit)
				}
			})
		})
	}
}

// standAlone makes a member that is cut off stand for election, as it does when it finds that the leader takes no stream: the others are not asked to
// let it back, since they know a leader.
func (m *member) standAlone() {
	leader, _ := m.group.Leader()
	m.group.LeaderGone(leader)
	m.w.until("a later term", 5*time.Second, func() bool { return m.group.Status().Role == "candidate" })
}
