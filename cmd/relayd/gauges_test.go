package main

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/thinrelay/thinrelay/cluster"
	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/control"
	"github.com/thinrelay/thinrelay/relay/director"
)

// TestPassiveReplicasAreActive holds what RelayNoActive is told to do in mode passive: every live replica counts as active, so it comes there as
// well only when there is none.
func TestPassiveReplicasAreActive(t *testing.T) {
	for mode, want := range map[director.Mode]string{
		director.Passive: `thinrelay_replicas{state="active"} 2`,
		director.Votes:   `thinrelay_replicas{state="active"} 0`,
	} {
		m := &member{metrics: control.NewMetrics("")}
		m.gauges(relay.Status{Mode: mode, Replicas: []relay.ReplicaStatus{{Addr: "10.0.0.1:1"}, {Addr: "10.0.0.2:1"}, {Addr: "10.0.0.3:1", Syncing: true}}}, cluster.Status{})
		w := httptest.NewRecorder()
		m.metrics.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		if !strings.Contains(w.Body.String(), want+"\n") {
			t.Errorf("mode %s: not served: %s", mode, want)
		}
	}
}
