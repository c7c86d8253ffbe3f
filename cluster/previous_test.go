package cluster_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// A leader that was cut off has written what nobody else has. It is back just when its successor begins, whose first entry took the disk a moment: the
// successor's first call, which tells of the log before that entry, has failed until then, and when it comes the entry is committed. What the
// former leader wrote in that place is not applied.
func TestFormerLeaderIsBackWhenTheNextBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world3(t)
		defer w.close()
		former := w.leader()
		w.agreed(former.mustAdvance())
		others := w.followers(former)
		w.net.Isolate(former.name)
		w.net.Kill(former.name) // what is under way comes never
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := former.advance(ctx); err == nil {
			t.Fatal("a mark was agreed to by one")
		}
		former.kill()
		w.net.Rejoin(former.name)
		w.until("a successor", 20*time.Second, func() bool {
			for _, m := range others {
				switch m.group.Status().Role {
				case "candidate":
					m.faults.Slow(60 * time.Millisecond)
				case "leader":
					return true
				}
			}
			return false
		})
		for _, m := range others {
			m.faults.Slow(0) // the leader's first entry is on its way
		}
		time.Sleep(50 * time.Millisecond) // fake time
		former.start()
		w.agreed(w.leader().mustAdvance())
	})
}
