package cluster_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/thinrelay/thinrelay/cluster/storage"
)

// An entry whose write took too long, and was refused, is on the disk for as long as it takes to undo that. A leader's next entry is not taken as one that comes
// after it: once it is gone, the log would have a hole where everybody else has the entry.
func TestEntryAfterOneThatIsBeingUndone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		medium := storage.NewMemory()
		faults := &storage.Faults{Backend: medium.Backend}
		slow := &slowReads{Backend: faults}
		medium.Backend = slow
		b := newBareOn(t, medium)
		defer b.close()
		if !b.append(100, 1, 1, 2, 3) {
			t.Fatal("the leader's entries are refused")
		}
		faults.Slow(1500 * time.Millisecond)
		if b.append(100, 3, 100, 4) {
			t.Fatal("an entry that took too long is taken")
		}
		b.append(100, 0, 0)                // a heartbeat: it goes on following
		time.Sleep(600 * time.Millisecond) // fake time
		faults.Slow(0)
		slow.by = 2 * time.Second
		if b.append(100, 4, 100, 5) {
			t.Error("entry 5 is taken, after 4, which is not there")
		}
		slow.by = 0
		time.Sleep(2 * time.Second) // fake time
		if !b.append(100, 3, 100, 4, 5) {
			t.Error("the leader's entries are refused, now that the disk is well")
		}
		for i := uint64(2); i <= 5; i++ {
			if err := b.store.Logs().GetLog(i, new(raft.Log)); err != nil {
				t.Errorf("entry %d: %v", i, err)
			}
		}
	})
}

// slowReads takes its time to tell of an entry what it has read.
type slowReads struct {
	storage.Backend
	by time.Duration
}

func (s *slowReads) GetLog(index uint64, log *raft.Log) error {
	err := s.Backend.GetLog(index, log)
	time.Sleep(s.by) // fake time
	return err
}
