package cluster_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"testing/synctest"
)

// What is remembered grows with each member that loses its disk. When it is too much to be told, the logs that ended first are forgotten, not all.
func TestMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "a")
		defer w.close()
		w.startAll()
		g := w.leader().group
		type position struct {
			LogTerm uint64 `json:"log_term"`
			Index   uint64 `json:"index"`
		}
		const told, logs = 20, 100
		name := func(i int) string { return fmt.Sprintf("relay-in-frankfurt-%08x", i) }
		for i := range told {
			some := make(map[string]position)
			for j := range logs {
				some[name(i*logs+j)] = position{7, uint64(i*logs + j + 1)}
			}
			b, err := json.Marshal(some)
			if err != nil {
				t.Fatal(err)
			}
			if err := g.Recall(b); err != nil {
				t.Fatal(err)
			}
		}
		b := g.Memory()
		var known map[string]position
		if err := json.Unmarshal(b, &known); err != nil {
			t.Fatalf("got %q, %v", b, err)
		}
		if _, last := known[name(told*logs-1)]; !last {
			t.Error("the log that got furthest is forgotten")
		}
		if _, first := known[name(0)]; first || len(known) < told*logs/4 {
			t.Errorf("%d logs known, the first one too: %v", len(known), first)
		}
		if err := w.leader().group.Recall(b); err != nil {
			t.Errorf("it cannot be told: %v", err)
		}
	})
}
