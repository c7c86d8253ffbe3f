package storage_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/thinrelay/thinrelay/cluster/storage"
	"github.com/thinrelay/thinrelay/fsm"
)

// A leader's snapshot for which the log was hidden, and that cannot be restored, ends the process: raft would take its log for what it was. One for which nothing was
// hidden is as if it had not come.
func TestSnapshotThatIsNotRestored(t *testing.T) {
	for name, tt := range map[string]struct {
		term                   uint64
		restore, opens, failed bool
		reads                  error
	}{
		"it does not open":                        {term: 2, failed: true},
		"it is not read to its end":               {term: 2, opens: true, reads: io.ErrUnexpectedEOF, failed: true},
		"it does, and is damaged later":           {term: 2, opens: true, restore: true},
		"it does not open, and nothing is hidden": {term: 1},
	} {
		t.Run(name, func(t *testing.T) {
			m := storage.NewMemory()
			disk := &unreadable{SnapshotStore: m.Snapshots}
			m.Snapshots = disk
			s, err := storage.New(m, "eu-1", storage.Config{})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if err := s.Logs().StoreLogs(entries(1, 1, 2, 3, 4, 5)); err != nil {
				t.Fatal(err)
			}
			takeSnapshot(t, s, 5, tt.term)
			id := fmt.Sprint(tt.term, "-5")
			if disk.opens, disk.reads = tt.opens, tt.reads; tt.opens {
				_, r, err := s.Snapshots().Open(id)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := fsm.ReadSnapshot(r); (err == nil) != tt.restore {
					t.Errorf("read it: %v", err)
				}
				if err := r.Close(); err != nil {
					t.Error(err)
				}
				disk.opens = false
			}
			if _, _, err := s.Snapshots().Open(id); err == nil {
				t.Error("it opens: the test shows nothing")
			}
			if got := isFailed(s); got != tt.failed {
				t.Errorf("the store has failed: %v, want %v: %v", got, tt.failed, s.Err())
			}
		})
	}
}

// unreadable is snapshots on a disk that does not open them, or reads half of each.
type unreadable struct {
	raft.SnapshotStore
	opens bool
	reads error
}

func (u *unreadable) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	if !u.opens {
		return nil, nil, io.ErrUnexpectedEOF
	}
	meta, r, err := u.SnapshotStore.Open(id)
	if err == nil && u.reads != nil {
		r = io.NopCloser(io.MultiReader(io.LimitReader(r, 10), broken{u.reads}))
	}
	return meta, r, err
}

type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

// What a snapshot leaves that could not be begun, or whose writer was killed, is removed; one that is being written is not.
func TestUnfinishedSnapshotsAreRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		temp := func(term, index uint64) string {
			return filepath.Join(dir, "snapshots", fmt.Sprintf("%d-%d-%d.tmp", term, index, time.Now().UnixMilli()))
		}
		left := func() []string {
			files, err := filepath.Glob(filepath.Join(dir, "snapshots", "*.tmp"))
			if err != nil {
				t.Fatal(err)
			}
			return files
		}
		mustOpenDisk(t, dir).Close()
		if err := os.MkdirAll(temp(1, 3), 0o700); err != nil {
			t.Fatal(err)
		}
		s := mustOpenDisk(t, dir)
		if got := left(); len(got) != 0 {
			t.Errorf("after a killed process: %v", got)
		}
		sink, err := s.Snapshots().Create(1, 4, 1, raft.Configuration{}, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(temp(1, 5), "meta.json"), 0o700); err != nil { // where raft is to write a file
			t.Fatal(err)
		}
		if _, err := s.Snapshots().Create(1, 5, 1, raft.Configuration{}, 1, nil); err == nil {
			t.Fatal("it is begun: the test shows nothing")
		}
		if got := left(); len(got) != 1 || got[0] != temp(1, 4) {
			t.Errorf("after one that could not be begun: %v, want that which is being written", got)
		}
		if _, err := io.Copy(sink, bytes.NewReader(fsm.AppendSnapshot(nil, fsm.State{}))); err != nil {
			t.Error(err)
		}
		if err := errors.Join(sink.Close(), s.Close()); err != nil {
			t.Error(err)
		}
		if got := left(); len(got) != 0 {
			t.Errorf("after it is written: %v", got)
		}
	})
}

// A snapshot is made although one of those before it cannot be removed.
func TestOldSnapshotIsNotRemoved(t *testing.T) {
	dir := t.TempDir()
	s := mustOpenDisk(t, dir)
	stuck := filepath.Join(dir, "snapshots", "1-1-1")
	meta := []byte(`{"Version":1,"ID":"\u0000","Index":1,"Term":1}`) // raft goes by the name in there, of which there can be no file
	if err := errors.Join(os.Mkdir(stuck, 0o700), os.WriteFile(filepath.Join(stuck, "meta.json"), meta, 0o600)); err != nil {
		t.Fatal(err)
	}
	for index := uint64(2); index <= 5; index++ {
		takeSnapshot(t, s, index, 1)
	}
	if got, err := filepath.Glob(filepath.Join(dir, "snapshots", "*")); len(got) != 3 || err != nil {
		t.Errorf("there are %v, %v, want two and that which stays", got, err)
	}
}

// Of two snapshots that log entries were hidden for, the first is closed, after it was restored, when the second has come. That one is still to be restored.
func TestFormerSnapshotIsClosedLate(t *testing.T) {
	m := storage.NewMemory()
	disk := &unreadable{SnapshotStore: m.Snapshots, opens: true}
	m.Snapshots = disk
	s, err := storage.New(m, "eu-1", storage.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	takeSnapshot(t, s, 5, 2)
	_, r, err := s.Snapshots().Open("2-5")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fsm.ReadSnapshot(r); err != nil {
		t.Fatal(err)
	}
	takeSnapshot(t, s, 9, 2)
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	disk.opens = false
	if _, _, err := s.Snapshots().Open("2-9"); err == nil {
		t.Error("it opens: the test shows nothing")
	}
	if !isFailed(s) {
		t.Error("the store has not failed: raft goes on with a log whose entries are hidden")
	}
}
