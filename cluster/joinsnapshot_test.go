package cluster_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/thinrelay/thinrelay/cluster"
	"github.com/thinrelay/thinrelay/cluster/storage"
	"github.com/thinrelay/thinrelay/fsm"
)

// A newcomer that learns of its joining by a snapshot alone has joined. When it is removed while it is down it stays out.
func TestJoinedByASnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "a", "b", "c")
		w.tune = func(c *cluster.Config) { c.SnapshotEvery(8, 2, time.Second) }
		w.startAll()
		defer w.close()
		l := w.leader()
		w.agreed(l.mustAdvance())
		isD := func(x cluster.Member) bool { return x.Name == "d" }
		advance := func() {
			for range 20 {
				time.Sleep(200 * time.Millisecond) // fake time
				l.mustAdvance()
			}
			time.Sleep(2 * time.Second) // fake time: it takes its snapshot
		}
		d := w.add("d")
		w.net.Isolate("d")
		d.start()
		w.until("it to be taken in", 10*time.Second, func() bool { return slices.ContainsFunc(l.group.Status().Members, isD) })
		advance()
		w.net.Rejoin("d")
		w.until("its own entry", 10*time.Second, func() bool { return slices.ContainsFunc(d.group.Status().Members, isD) })
		w.net.Isolate("d")
		time.Sleep(time.Second) // fake time
		if s := d.group.Status(); s.Members[slices.IndexFunc(s.Members, isD)].Voter {
			t.Fatal("it has its vote: the test shows nothing")
		}
		if a := d.group.Announce(); a.ClusterID == "" || a.Joining {
			t.Errorf("got %+v, want that it has joined", a)
		}
		d.kill()
		if err := l.group.Remove(t.Context(), "d"); err != nil {
			t.Fatal(err)
		}
		advance()
		w.net.Rejoin("d")
		d.start()
		time.Sleep(10 * time.Second) // fake time
		if slices.ContainsFunc(l.group.Status().Members, isD) {
			t.Error("a member that was removed is taken in again")
		}
	})
}

// The configuration of a snapshot takes the place of one that was committed before it.
func TestSnapshotsConfigurationIsTheLast(t *testing.T) {
	without := raft.Configuration{Servers: []raft.Server{{ID: "a", Address: "a"}}}
	with := raft.Configuration{Servers: append(without.Clone().Servers, raft.Server{ID: "b", Address: "b"})}
	store := storage.NewMemory().Snapshots
	sink, err := store.Create(1, 9, 1, with, 8, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sink.Write(fsm.AppendSnapshot(nil, fsm.State{})); err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	c, has := cluster.NewCommitted(fsm.New(nil))
	c.StoreConfiguration(2, without)
	if with, without := has("b"); with || !without {
		t.Fatalf("with %v, without %v", with, without)
	}
	_, r, err := cluster.WithConfigurations(store).Open(sink.ID())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Restore(r); err != nil {
		t.Fatal(err)
	}
	if with, without := has("b"); !with || without {
		t.Errorf("after a snapshot that has it: with %v, without %v", with, without)
	}
}
