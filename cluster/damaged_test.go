package cluster_test

import (
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/thinrelay/thinrelay/cluster"
)

// A leader whose last snapshot cannot be read any more takes another one for a member that needs it, and does not wait until the log has grown enough: until then that
// member would get nothing.
func TestDamagedSnapshotOfALeader(t *testing.T) {
	for name, unlisted := range map[string]bool{"it cannot be opened": false, "it is not listed": true} {
		t.Run(name, func(t *testing.T) { testDamagedSnapshot(t, unlisted) })
	}
}

func testDamagedSnapshot(t *testing.T, unlisted bool) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "a", "b", "c")
		w.tune = func(c *cluster.Config) { c.SnapshotEvery(8, 2, time.Second) }
		disks := make(map[*member]*damaged)
		for _, m := range w.members {
			disks[m] = &damaged{SnapshotStore: m.shots.SnapshotStore, unlisted: unlisted}
			m.shots.SnapshotStore = disks[m]
		}
		w.startAll()
		defer w.close()
		leader := w.leader()
		w.agreed(leader.mustAdvance())
		behind := w.followers(leader)[0]
		behind.kill()
		for range 20 {
			time.Sleep(500 * time.Millisecond) // fake time
			leader.mustAdvance()
		}
		last := leader.group.State().Mark
		time.Sleep(2 * time.Second) // fake time: it takes its snapshot
		disks[leader].bad.Store(true)
		behind.start()
		took := w.until("it has all", 20*time.Second, func() bool { return behind.group.State().Mark == last })
		if limit := 2 * time.Second; took > limit {
			t.Errorf("it has all after %s, want within %s", took, limit)
		}
		if w.leader() != leader {
			t.Error("another one leads: the test shows nothing")
		}
	})
}

// damaged is snapshots of which the last one cannot be opened, until there is another; nor is it listed, when its description cannot be read either.
type damaged struct {
	raft.SnapshotStore
	bad      atomic.Bool
	unlisted bool
}

func (d *damaged) List() ([]*raft.SnapshotMeta, error) {
	if d.unlisted && d.bad.Load() {
		return nil, nil
	}
	return d.SnapshotStore.List()
}

func (d *damaged) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	if d.bad.Load() {
		return nil, nil, io.ErrUnexpectedEOF
	}
	return d.SnapshotStore.Open(id)
}

func (d *damaged) Create(version raft.SnapshotVersion, index, term uint64, c raft.Configuration, at uint64, t raft.Transport) (raft.SnapshotSink, error) {
	sink, err := d.SnapshotStore.Create(version, index, term, c, at, t)
	return &damagedSink{sink, d}, err
}

type damagedSink struct {
	raft.SnapshotSink
	of *damaged
}

func (s *damagedSink) Close() error {
	err := s.SnapshotSink.Close()
	if err == nil {
		s.of.bad.Store(false)
	}
	return err
}
