package cluster_test

import (
	"testing"
	"testing/synctest"

	"github.com/hashicorp/raft"

	"github.com/thinrelay/thinrelay/cluster/storage"
)

// A member that takes a snapshot of its own while it gets a leader's, which is further, keeps to that: Raft takes the last one that ends for its last, and with a log
// that ends before it the member would vote as if it had not got the other.
func TestOwnSnapshotEndsAfterTheLeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		medium := storage.NewMemory()
		slow := &slowSnapshots{SnapshotStore: medium.Snapshots, of: 3, further: make(chan struct{})}
		medium.Snapshots = slow
		b := newBareOn(t, medium)
		defer b.close()
		b.commit, b.entries = 3, raft.LogBarrier // which the state machine counts
		if !b.append(99, 1, 1, 2, 3) {
			t.Fatal("the leader's entries are refused")
		}
		synctest.Wait()
		own := b.raft.Snapshot()
		synctest.Wait()
		if answered, r := b.install(10, "ten.", func() {}); answered || r.Error != nil {
			t.Fatalf("snapshot to 10: answered %v, %v", answered, r.Error)
		}
		close(slow.further)
		if err := own.Error(); err == nil {
			t.Error("the own snapshot, which is older, is taken for the last")
		}
		if got := b.raft.LastIndex(); got != 10 {
			t.Errorf("the last entry is %d, want 10", got)
		}
		if b.vote("c", 101, 9, 100) {
			t.Error("a vote for a candidate that lacks an entry of the snapshot")
		}
		if !b.append(101, 10, 100, 11) {
			t.Error("the entry after the snapshot is refused")
		}
	})
}

// A leader that has gone back to its first entry, one for each call that this member could not write, is followed by a member whose log begins later.
func TestCallFromTheFirstEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBare(t)
		defer b.close()
		if answered, r := b.install(10, "ten.", func() {}); answered || r.Error != nil {
			t.Fatalf("snapshot to 10: answered %v, %v", answered, r.Error)
		}
		if !b.append(100, 10, 100, 11) {
			t.Fatal("the entry after the snapshot is refused")
		}
		if !b.append(100, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12) || b.raft.LastIndex() != 12 {
			t.Errorf("the last entry is %d, want 12", b.raft.LastIndex())
		}
	})
}

// slowSnapshots takes its time to begin one up to an index.
type slowSnapshots struct {
	raft.SnapshotStore
	of      uint64
	further chan struct{}
}

func (s *slowSnapshots) Create(version raft.SnapshotVersion, index, term uint64, c raft.Configuration, at uint64, t raft.Transport) (raft.SnapshotSink, error) {
	if index == s.of {
		<-s.further
	}
	return s.SnapshotStore.Create(version, index, term, c, at, t)
}
