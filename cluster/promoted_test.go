package cluster_test

import (
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A member that was given its vote while the disk of another one was full gets that one's vote, which has not heard of it: two of three are there, and only
// one of them has all that is agreed on.
func TestVoteForAVoterOneHasNotHeardOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world3(t)
		w.disksFail = true
		defer w.close()
		leader := w.leader()
		w.agreed(leader.mustAdvance())
		fresh, behind := w.followers(leader)[0], w.followers(leader)[1]
		fresh.kill()
		fresh.wipe()
		fresh.start()
		voters := func() (voters, all int) {
			for _, m := range leader.group.Status().Members {
				if all++; m.Voter {
					voters++
				}
			}
			return voters, all
		}
		w.until("the new log without a vote, and the former one gone", 20*time.Second, func() bool {
			v, n := voters()
			return v == 2 && n == 3
		})
		w.until("that the other one has that", time.Second, func() bool { return behind.group.Status().Applied == leader.group.Status().Last })
		behind.faults.Fail(syscall.ENOSPC)
		w.until("the new log's vote", 20*time.Second, func() bool { v, _ := voters(); return v == 3 })
		to := leader.mustAdvance()
		w.until("the new log to have all", time.Second, func() bool { return fresh.group.State().Mark == to })
		leader.kill()
		<-behind.done // raft takes a configuration for the latest that it could not write
		behind.faults.Fail(nil)
		behind.start()
		w.agreed(w.leader().mustAdvance())
	})
}
