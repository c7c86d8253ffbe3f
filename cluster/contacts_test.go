package cluster_test

import (
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/cluster"
)

// A heartbeat that was under way while a process stood still does not make the
// other member look far away, or the timeouts would follow; distance does.
func TestRoundTripOfHeartbeats(t *testing.T) {
	const near = 10 * time.Millisecond
	if got := cluster.RoundTrips(near, near, near, near, near, near, near, near, 6*time.Second, near); got > 15*time.Millisecond {
		t.Errorf("after a pause of 6 s between members 10 ms apart: %s", got)
	}
	if got := cluster.RoundTrips(500*time.Millisecond, near); got != 0 {
		t.Errorf("after a first heartbeat that waited: %s, want to know nothing yet", got)
	}
	if got := cluster.RoundTrips(500*time.Millisecond, near, near, near, near, near, near, near); got != near {
		t.Errorf("after more of them: %s, want %s", got, near)
	}
	far := []time.Duration{near}
	for range 60 {
		far = append(far, 80*time.Millisecond)
	}
	if got := cluster.RoundTrips(far...); got < 70*time.Millisecond {
		t.Errorf("after 60 heartbeats to a member that is 80 ms away: %s", got)
	}
}
