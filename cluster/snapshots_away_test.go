package cluster_test

import (
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/cluster"
)

// A member that needs the leader's snapshot, and was away or had no space for it for long, gets it as soon as it can take it: with one more away the
// group would agree on nothing until then.
func TestSnapshotForAMemberThatIsBack(t *testing.T) {
	for name, away := range map[string]func(*member){
		"with space again": func(*member) {},
		"from the dead":    (*member).kill,
		"from isolation":   func(m *member) { m.w.net.Isolate(m.name) },
		"from a later term": func(m *member) {
			m.w.net.Isolate(m.name)
			m.standAlone()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "a", "b", "c")
				w.tune = func(c *cluster.Config) { c.SnapshotEvery(8, 2, time.Second) }
				w.startAll()
				defer w.close()
				leader := w.leader()
				w.agreed(leader.mustAdvance())
				behind := w.followers(leader)[0]
				behind.kill()
				advance := func(times int) {
					for range times {
						time.Sleep(500 * time.Millisecond) // fake time
						leader.mustAdvance()
					}
				}
				advance(20)
				behind.shots.fail(syscall.ENOSPC)
				behind.start()
				advance(4) // the leader turns to its snapshot
				away(behind)
				advance(44) // some seconds into a pause of ten that raft would make
				behind.shots.fail(nil)
				w.net.Rejoin(behind.name)
				if !behind.alive() {
					behind.start()
				}
				took := w.until("it has all", 20*time.Second, func() bool {
					to, err := w.leader().advance(t.Context()) // it may lose its term to the one that is back
					time.Sleep(50 * time.Millisecond)          // fake time
					return err == nil && behind.group.State().Mark == to
				})
				if limit := 2 * time.Second; took > limit {
					t.Errorf("it has all after %s, want within %s", took, limit)
				}
			})
		})
	}
}
