package storage_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"go.uber.org/goleak"

	"github.com/thinrelay/thinrelay/cluster/storage"
	"github.com/thinrelay/thinrelay/fsm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openDisk(dir, node string) (*storage.Store, error) {
	m, err := storage.OpenDisk(dir, node, nil)
	if err != nil {
		return nil, err
	}
	return storage.New(m, node, storage.Config{})
}

func mustOpenDisk(t *testing.T, dir string) *storage.Store {
	t.Helper()
	s, err := openDisk(dir, "eu-1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestDiskKeepsAll(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := mustOpenDisk(t, dir)
	id := s.Identity()
	if id.Node != "eu-1" || !strings.HasPrefix(id.RaftID, "eu-1-") || len(id.RaftID) != len("eu-1-")+8 || id.ClusterID != "" {
		t.Errorf("new identity: %+v", id)
	}
	if err := s.Logs().StoreLogs(entries(3, 1, 2, 3)); err != nil {
		t.Fatal(err)
	}
	if err := s.Stable().SetUint64([]byte("CurrentTerm"), 3); err != nil {
		t.Fatal(err)
	}
	cluster := storage.NewClusterID()
	if err := s.Join(cluster, true); err != nil {
		t.Fatal(err)
	}
	if err := s.Join(storage.NewClusterID(), true); !errors.Is(err, storage.ErrCluster) {
		t.Errorf("join another cluster: got %v, want %v", err, storage.ErrCluster)
	}
	if _, err := openDisk(dir, "eu-1"); err == nil || !strings.Contains(err.Error(), "another relayd") {
		t.Errorf("open twice: got %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = mustOpenDisk(t, dir)
	if got, want := s.Identity(), (storage.Identity{Version: 1, Node: "eu-1", RaftID: id.RaftID, ClusterID: cluster, Joining: true}); got != want {
		t.Errorf("identity: got %+v, want %+v", got, want)
	}
	if err := s.Joined(); err != nil || s.Identity().Joining {
		t.Errorf("joined: %v, %+v", err, s.Identity())
	}
	if got, want := lastIndex(t, s), uint64(3); got != want {
		t.Errorf("last index: got %d, want %d", got, want)
	}
	if got, err := s.Stable().GetUint64([]byte("CurrentTerm")); got != 3 || err != nil {
		t.Errorf("term: got %d, %v, want 3", got, err)
	}
}

func TestIdentityOfALostLogIsNotUsedAgain(t *testing.T) {
	for name, lose := range map[string]func(path string) error{
		"removed": os.Remove,
		"emptied": func(path string) error { return os.Truncate(path, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := mustOpenDisk(t, dir)
			before := s.Identity()
			if err := s.Join("c", true); err != nil {
				t.Fatal(err)
			}
			s.Close()
			if err := lose(filepath.Join(dir, "raft.db")); err != nil {
				t.Fatal(err)
			}
			s = mustOpenDisk(t, dir)
			after := s.Identity()
			if after.RaftID == before.RaftID || after.Node != "eu-1" || after.ClusterID != "c" {
				t.Errorf("got %+v after %+v, want another raft id and the same cluster", after, before)
			}
			s.Close()
			if got := mustOpenDisk(t, dir).Identity(); got != after {
				t.Errorf("opened again: got %+v, want %+v", got, after)
			}
		})
	}
}

func TestIdentityRefused(t *testing.T) {
	change := func(content string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, "identity.json"), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	tests := map[string]func(t *testing.T, dir string){
		"another node": change(`{"version":1,"node":"us-1","raft_id":"us-1-00000000"}`),
		"garbage":      change("\x00\x01"),
		"empty":        change(""),
		"version":      change(`{"version":2,"node":"eu-1","raft_id":"eu-1-00000000"}`),
		"raft id":      change(`{"version":1,"node":"eu-1","raft_id":"us-1-00000000"}`),
		"missing": func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, "identity.json")); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, damage := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			mustOpenDisk(t, dir).Close()
			damage(t, dir)
			if s, err := openDisk(dir, "eu-1"); !errors.Is(err, storage.ErrIdentity) {
				t.Errorf("got %v, %v, want %v", s, err, storage.ErrIdentity)
			}
		})
	}
}

// A snapshot that cannot be read while the log begins after it would make raft panic; one that the log covers is no loss.
func TestSnapshotGap(t *testing.T) {
	damage := func(t *testing.T, dir string) {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(dir, "snapshots", "*", "state.bin"))
		if err != nil || len(files) == 0 {
			t.Fatalf("snapshots: %v, %v", files, err)
		}
		for _, f := range files {
			if err := os.WriteFile(f, []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	tests := []struct {
		name    string
		first   uint64
		damaged bool
		want    error
	}{
		{"log reaches back to the snapshot", 5, false, nil},
		{"snapshot damaged, log from 5", 5, true, storage.ErrGap},
		{"snapshot damaged, whole log", 1, true, nil},
		{"log begins after the snapshot", 7, false, storage.ErrGap},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			s := mustOpenDisk(t, dir)
			for i := tt.first; i < 10; i++ {
				if err := s.Logs().StoreLog(&raft.Log{Index: i, Term: 1}); err != nil {
					t.Fatal(err)
				}
			}
			takeSnapshot(t, s, 5, 1)
			s.Close()
			if tt.damaged {
				damage(t, dir)
			}
			s, err := openDisk(dir, "eu-1")
			if !errors.Is(err, tt.want) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
			if err == nil {
				defer s.Close()
				starts(t, s)
			}
		})
	}
}

// starts has raft start from a store.
func starts(t *testing.T, s *storage.Store) {
	t.Helper()
	c := raft.DefaultConfig()
	c.LocalID, c.Logger = "eu-1", hclog.NewNullLogger()
	_, transport := raft.NewInmemTransport("eu-1")
	defer transport.Close()
	r, err := raft.NewRaft(c, fsm.New(nil), s.Logs(), s.Stable(), s.Snapshots(), transport)
	if err != nil {
		t.Errorf("start raft: %v", err)
		return
	}
	if err := r.Shutdown().Error(); err != nil {
		t.Error(err)
	}
}

// A snapshot that cannot be read any more, and whose log it has replaced, is not gone back behind: the one before it has an earlier mark.
func TestNewestSnapshotIsDamaged(t *testing.T) {
	for _, file := range []string{"state.bin", "meta.json"} {
		t.Run(file, func(t *testing.T) {
			dir := t.TempDir()
			s := mustOpenDisk(t, dir)
			if err := s.Logs().StoreLogs(entries(1, 1, 2, 3)); err != nil {
				t.Fatal(err)
			}
			takeSnapshot(t, s, 2, 1)
			takeSnapshot(t, s, 9, 2) // a leader's
			s.Close()
			files, err := filepath.Glob(filepath.Join(dir, "snapshots", "2-9-*", file))
			if err != nil || len(files) != 1 {
				t.Fatalf("snapshots: %v, %v", files, err)
			}
			if err := os.WriteFile(files[0], []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
			if s, err = openDisk(dir, "eu-1"); !errors.Is(err, storage.ErrGap) {
				t.Errorf("got %v, want %v", err, storage.ErrGap)
			}
			if err == nil {
				s.Close()
			}
		})
	}
}

// Nor is a snapshot passed over below which the log is a former leader's: there was no room to clear it.
func TestNewestSnapshotIsDamagedOverAFormerLeadersLog(t *testing.T) {
	for name, tt := range map[string]struct {
		term uint64 // of the snapshot
		want error
	}{"another leader's log": {2, storage.ErrGap}, "its own log": {1, nil}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := mustOpenDisk(t, dir)
			takeSnapshot(t, s, 9, tt.term)
			s.Close()
			m, err := storage.OpenDisk(dir, "eu-1", nil)
			if err != nil {
				t.Fatal(err)
			}
			log := append(entries(1, 1, 2, 3, 4, 5, 6, 7, 8, 9), entries(2, 10)...)
			if err := errors.Join(m.Backend.StoreLogs(log), m.Close()); err != nil {
				t.Fatal(err)
			}
			files, err := filepath.Glob(filepath.Join(dir, "snapshots", "*", "meta.json"))
			if err != nil || len(files) != 1 {
				t.Fatalf("snapshots: %v, %v", files, err)
			}
			if err := os.WriteFile(files[0], []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
			if s, err = openDisk(dir, "eu-1"); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if err == nil {
				s.Close()
			}
		})
	}
}

// What the log holds below a snapshot that it does not lead to is not read any more: not when the snapshot is there, not while the disk has no room to
// delete it, and not after a restart. There is no further snapshot before it is deleted.
func TestSnapshotClearsTheLog(t *testing.T) {
	m := storage.NewMemory()
	faults := &storage.Faults{Backend: m.Backend}
	m.Backend = faults
	open := func() *storage.Store {
		t.Helper()
		s, err := storage.New(m, "eu-1", storage.Config{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	readable := func(s *storage.Store) string {
		first, err1 := s.Logs().FirstIndex()
		last, err2 := s.Logs().LastIndex()
		list := fmt.Sprint(first, " to ", last, ":")
		for i := uint64(1); i <= 7; i++ {
			var e raft.Log
			if s.Logs().GetLog(i, &e) == nil {
				list += fmt.Sprint(" ", i)
			}
		}
		if err := errors.Join(err1, err2); err != nil {
			t.Error(err)
		}
		return list
	}
	s := open()
	if err := s.Logs().StoreLogs(entries(1, 1, 2, 3, 4, 5, 6, 7)); err != nil {
		t.Fatal(err)
	}
	takeSnapshot(t, s, 3, 1)
	if got, want := readable(s), "1 to 7: 1 2 3 4 5 6 7"; got != want {
		t.Errorf("after a snapshot of it: got %s, want %s", got, want)
	}
	faults.Fail(syscall.ENOSPC)
	takeSnapshot(t, s, 5, 2)
	if got, want := readable(s), "6 to 7: 6 7"; got != want {
		t.Errorf("after another one's: got %s, want %s", got, want)
	}
	if _, err := s.Snapshots().Create(1, 6, 2, raft.Configuration{}, 1, nil); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a further snapshot: got %v, want %v", err, syscall.ENOSPC)
	}
	s.Close()
	s = open()
	if got, want := readable(s), "6 to 7: 6 7"; got != want {
		t.Errorf("after a restart: got %s, want %s", got, want)
	}
	faults.Fail(nil)
	takeSnapshot(t, s, 7, 2)
	if got, want := readable(s), "0 to 0:"; got != want {
		t.Errorf("with room again: got %s, want %s", got, want)
	}
	if first, err := faults.FirstIndex(); first != 0 || err != nil {
		t.Errorf("the disk has a log from %d, %v, want none", first, err)
	}
	if s.Err() != nil {
		t.Error(s.Err())
	}
	s.Close()
}

func takeSnapshot(t *testing.T, s *storage.Store, index, term uint64) {
	t.Helper()
	sink, err := s.Snapshots().Create(1, index, term, raft.Configuration{}, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sink.Write(fsm.AppendSnapshot(nil, fsm.State{})); err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
}
