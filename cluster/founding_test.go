package cluster_test

import (
	"testing"
	"testing/synctest"

	"github.com/thinrelay/thinrelay/cluster/storage"
)

// A founder that ends between the first term and the first entry founds when it is started again: nobody else does.
func TestFoundationThatWasCutShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "a", "b", "c")
		defer w.close()
		store, err := storage.New(w.members["a"].medium, "a", storage.Config{})
		if err != nil {
			t.Fatal(err)
		}
		if err := store.Found(); err != nil {
			t.Fatal(err)
		}
		if err := store.Stable().SetUint64([]byte("CurrentTerm"), 1); err != nil { // as raft.BootstrapCluster does before it writes the configuration
			t.Fatal(err)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		w.startAll()
		w.agreed(w.leader().mustAdvance())
	})
}
