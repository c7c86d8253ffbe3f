package cluster_test

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"

	"github.com/thinrelay/thinrelay/cluster"
	"github.com/thinrelay/thinrelay/cluster/storage"
	"github.com/thinrelay/thinrelay/fsm"
)

func TestRecover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world3(t)
		defer w.close()
		l := w.leader()
		for range 5 {
			l.mustAdvance()
		}
		time.Sleep(time.Second) // fake time
		former := l.group.Announce().ClusterID
		a, b, c := w.members["a"], w.members["b"], w.members["c"]
		for _, m := range w.members {
			m.kill()
		}
		r := cluster.Recovery{Node: "a", Medium: a.medium, Advertise: "a:8300"}
		r.AtLeast = 6
		if _, err := cluster.Recover(r); !errors.Is(err, cluster.ErrLowered) {
			t.Fatalf("below a known mark: got %v, want %v", err, cluster.ErrLowered)
		}
		r.AtLeast, r.DryRun = 5, true
		if out, err := cluster.Recover(r); err != nil || out.Before.Mark.Height() != 5 || len(out.Former) != 3 {
			t.Fatalf("dry run: %+v, %v", out, err)
		}
		r.DryRun = false
		out, err := cluster.Recover(r)
		if err != nil || out.Before != out.After || out.After.Mark.Height() != 5 {
			t.Fatalf("recover: %+v, %v", out, err)
		}
		a.start()
		// Should the others be there after all, they are another cluster, and neither side disturbs the other.
		b.start()
		c.start()
		w.until("a to lead alone", 10*time.Second, func() bool { return !a.group.Status().LeadingSince.IsZero() })
		if got := a.group.State().Mark.Height(); got != 5 {
			t.Errorf("height: got %d, want 5", got)
		}
		term := a.group.Status().Term
		time.Sleep(time.Minute)
		s := a.group.Status()
		if s.Term != term || s.Voters != 1 || s.ClusterID == former || s.ClusterID == "" {
			t.Errorf("after a minute beside the former cluster: %+v", s)
		}
		for _, m := range []*member{b, c} {
			if err := m.quit(); err != nil {
				t.Error(err)
			}
			m.wipe()
			m.start()
		}
		w.voters(a, "a", "b", "c")
		w.agreed(a.mustAdvance())
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "a")
		r := cluster.Recovery{Node: "a", Medium: w.members["a"].medium, Advertise: "a:8300"}
		for _, r.DryRun = range []bool{true, false} {
			if out, err := cluster.Recover(r); !errors.Is(err, cluster.ErrNothing) {
				t.Errorf("dry run %v: got %+v, %v, want %v", r.DryRun, out, err, cluster.ErrNothing)
			}
		}
		w.net.Close()
	})
}

// forgetful is an identity on a disk without space.
type forgetful struct{ storage.IdentityKeeper }

func (forgetful) Save(storage.Identity) error { return errNoSpace }

var errNoSpace = errors.New("no space")

// A recovery that ends in between leaves a member that cannot lead alone in the name of the former cluster.
func TestRecoverEndsInBetween(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world3(t)
		defer w.close()
		w.leader().mustAdvance()
		time.Sleep(time.Second) // fake time
		for _, m := range w.members {
			m.kill()
		}
		medium := w.members["a"].medium
		full := *medium
		full.Identity = forgetful{medium.Identity}
		r := cluster.Recovery{Node: "a", Medium: &full, Advertise: "a:8300"}
		if _, err := cluster.Recover(r); !errors.Is(err, errNoSpace) {
			t.Fatalf("got %v, want %v", err, errNoSpace)
		}
		r.Medium, r.DryRun = medium, true
		if out, err := cluster.Recover(r); err != nil || len(out.Former) != 3 {
			t.Errorf("members: got %v, %v, want the 3 there were", out.Former, err)
		}
	})
}

// A snapshot that was made while the clock was ahead is taken for the last one of two that end with the same entry. Then nothing is recovered, and it is said.
func TestRecoverWithTheClockSetBack(t *testing.T) {
	dir := t.TempDir()
	threeTo(t, dir, 10)
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(10 * 365 * 24 * time.Hour) // fake time, which began with the year 2000
		out, err := cluster.Recover(cluster.Recovery{Node: "a", DataDir: dir, Advertise: "a:8300", AtLeast: 5})
		if !errors.Is(err, cluster.ErrNotRecovered) {
			t.Errorf("got %+v, %v, want %v", out, err, cluster.ErrNotRecovered)
		}
	})
	if _, err := cluster.Recover(cluster.Recovery{Node: "a", DataDir: dir, Advertise: "a:8300", AtLeast: 5}); err != nil {
		t.Errorf("with the clock set: %v", err)
	}
}

// What a former leader wrote beyond the last leader's snapshot, and nobody agreed to, is not what a recovery goes on from: its snapshot would come before the
// leader's, which is of a later term, and no process would open the store again.
func TestRecoverBesideAFormerLeadersLog(t *testing.T) {
	dir := t.TempDir()
	threeTo(t, dir, 12)
	out, err := cluster.Recover(cluster.Recovery{Node: "a", DataDir: dir, Advertise: "a:8300", AtLeast: 5})
	if err != nil || out.After.Mark.Height() != 5 {
		t.Fatalf("recover: %+v, %v", out, err)
	}
	s := openDisk(t, dir)
	defer s.Close()
	list, err := s.Snapshots().List()
	if err != nil || len(list) == 0 || len(list[0].Configuration.Servers) != 1 {
		t.Errorf("after it: %+v, %v, want a group of one", list, err)
	}
}

func openDisk(t *testing.T, dir string) *storage.Store {
	t.Helper()
	m, err := storage.OpenDisk(dir, "a", nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := storage.New(m, "a", storage.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A dry run changes nothing: not what was hidden behind a snapshot and not cleared yet, nor what a snapshot that was cut short has left, nor a page of the
// log. It shows what the recovery then goes on from.
func TestDryRunChangesNothing(t *testing.T) {
	dir := t.TempDir()
	threeTo(t, dir, 12)
	m, err := storage.OpenDisk(dir, "a", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, transport := raft.NewInmemTransport("a")
	for _, left := range []func(raft.SnapshotSink) error{raft.SnapshotSink.Close, func(raft.SnapshotSink) error { return nil }} {
		sink, err := m.Snapshots.Create(1, 11, 3, raft.Configuration{Servers: []raft.Server{{ID: "a"}, {ID: "b"}}}, 1, transport) // the log's 11th entry is of another term
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sink.Write(fsm.AppendSnapshot(nil, fsm.State{Mark: mark(6, 0), Term: 3})); err != nil {
			t.Fatal(err)
		}
		if err := left(sink); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	before := contents(t, dir)
	r := cluster.Recovery{Node: "a", DataDir: dir, Advertise: "a:8300", DryRun: true}
	dry, err := cluster.Recover(r)
	if err != nil || dry.Before.Mark.Height() != 6 || len(dry.Former) != 2 {
		t.Errorf("dry run: %+v, %v", dry, err)
	}
	if after := contents(t, dir); !maps.Equal(after, before) {
		t.Errorf("in data_dir: %q before, %q after", slices.Sorted(maps.Keys(before)), slices.Sorted(maps.Keys(after)))
	}
	r.DryRun = false
	if out, err := cluster.Recover(r); err != nil || out.Before != dry.Before || out.Index != dry.Index || !slices.Equal(out.Former, dry.Former) {
		t.Errorf("recovery: got %+v, %v, want as in the dry run: %+v", out, err, dry)
	}
}

// A dry run where the first process was killed as soon as it had begun.
func TestDryRunOfALogWithNothingInIt(t *testing.T) {
	dir := t.TempDir()
	if err := openDisk(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(filepath.Join(dir, "raft.db"), 0o600, nil)
	if err == nil {
		err = errors.Join(db.Update(func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("logs")) }), db.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, err := cluster.Recover(cluster.Recovery{Node: "a", DataDir: dir, Advertise: "a:8300", DryRun: true}); err == nil {
		t.Errorf("got %+v", out)
	}
}

// contents returns what is in a directory, by path.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			all[path+"/"] = ""
			return err
		}
		b, err := os.ReadFile(filepath.Join(dir, path))
		all[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// threeTo makes the disk of one of three, with what a former leader wrote up to an entry and the last leader's snapshot up to the tenth, of height 5.
func threeTo(t *testing.T, dir string, last uint64) {
	t.Helper()
	s := openDisk(t, dir)
	var log []*raft.Log
	for i := uint64(1); i <= last; i++ {
		log = append(log, &raft.Log{Index: i, Term: 1, Type: raft.LogNoop})
	}
	if err := errors.Join(s.Stable().SetUint64([]byte("CurrentTerm"), 2), s.Logs().StoreLogs(log)); err != nil {
		t.Fatal(err)
	}
	var three raft.Configuration
	for _, id := range []string{"a", "b", "c"} {
		three.Servers = append(three.Servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(id)})
	}
	_, transport := raft.NewInmemTransport("a")
	sink, err := s.Snapshots().Create(1, 10, 2, three, 1, transport)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sink.Write(fsm.AppendSnapshot(nil, fsm.State{Mark: mark(5, 0), Term: 2})); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(sink.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
}
