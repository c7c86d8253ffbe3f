package storage_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"github.com/thinrelay/thinrelay/cluster/storage"
)

// A log in memory says of itself what one on disk does, with a gap in it as well.
func TestMemoryIsLikeDisk(t *testing.T) {
	disk, err := raftboltdb.NewBoltStore(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	memory := storage.NewMemory().Backend
	store := func(from, to uint64) func(raft.LogStore) error {
		return func(s raft.LogStore) error {
			for i := from; i <= to; i++ {
				if err := s.StoreLogs([]*raft.Log{{Index: i, Term: from}}); err != nil {
					return err
				}
			}
			return nil
		}
	}
	cut := func(from, to uint64) func(raft.LogStore) error {
		return func(s raft.LogStore) error { return s.DeleteRange(from, to) }
	}
	tell := func(s raft.LogStore) string {
		first, err1 := s.FirstIndex()
		last, err2 := s.LastIndex()
		text := fmt.Sprint(first, last, err1, err2)
		for i := range uint64(40) {
			var entry raft.Log
			if err := s.GetLog(i, &entry); err != nil {
				text += fmt.Sprint(" ", err)
				continue
			}
			text += fmt.Sprintf(" %d of %d", entry.Index, entry.Term)
		}
		return text
	}
	for i, step := range []func(raft.LogStore) error{
		cut(1, 5), store(1, 9), cut(1, 6), store(21, 22), // behind a snapshot at 20
		cut(22, 22), cut(21, 21), store(21, 21), cut(7, 9), store(22, 30), cut(25, 30), store(24, 26), cut(0, 39), store(3, 4),
	} {
		for _, s := range []raft.LogStore{disk, memory} {
			if err := step(s); err != nil {
				t.Fatalf("step %d: %v", i, err)
			}
		}
		if got, want := tell(memory), tell(disk); got != want {
			t.Fatalf("step %d: memory %s\ndisk %s", i, got, want)
		}
	}
}
