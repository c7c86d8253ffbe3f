package cluster

import (
	"fmt"
	"time"
)

// Bounds of the timeouts chosen by [FromRTT].
const (
	minHeartbeat  = 250 * time.Millisecond
	maxHeartbeat  = 5 * time.Second
	heartbeatStep = 50 * time.Millisecond
)

// unknownRTT is assumed when nothing was measured: it gives the timeouts that hashicorp/raft ships with.
const unknownRTT = 165 * time.Millisecond

// Timeouts of Raft. A leader that dies is replaced after some 2.1 (median) to 2.9 (p99) times Heartbeat.
type Timeouts struct {
	// Heartbeat is how long a follower hears nothing before it looks for another leader.
	Heartbeat time.Duration
	// Election is how long a candidate waits for votes before it tries again.
	Election time.Duration
	// Lease is how long a leader hears nothing from a majority before it gives up. It is fixed when the process starts.
	Lease time.Duration
}

// FromRTT returns the timeouts for members that are at most maxRTT apart.
//
// A leader sends a heartbeat each round trip plus a tenth to a fifth of Heartbeat, one at a time, so the lease, half of
// Heartbeat, must stay well above RTT + Heartbeat/5, which six round trips give: 0.3 Heartbeat are then 1.8 round trips. This is
// what was measured to work: 250 ms up to 40 ms, 500 ms up to 80 ms, one second for 160 ms. Below 250 ms a pause
// of a busy machine costs leadership.
func FromRTT(maxRTT time.Duration) Timeouts {
	hb := (6*maxRTT + heartbeatStep - 1) / heartbeatStep * heartbeatStep
	hb = min(max(hb, minHeartbeat), maxHeartbeat)
	return Timeouts{Heartbeat: hb, Election: hb, Lease: hb / 2}
}

// Validate says what is wrong with timeouts set by hand.
func (t Timeouts) Validate() error {
	switch {
	case t == Timeouts{}:
		return nil
	case t.Lease < 25*time.Millisecond:
		return fmt.Errorf("lease %s: must be at least 25ms", t.Lease)
	case t.Lease > t.Heartbeat:
		return fmt.Errorf("lease %s: must not be longer than the heartbeat timeout %s, half of it is good", t.Lease, t.Heartbeat)
	case t.Election < t.Heartbeat:
		return fmt.Errorf("election timeout %s: must not be shorter than the heartbeat timeout %s", t.Election, t.Heartbeat)
	}
	return nil
}

// under returns t with the lease that the process has started with, which cannot be changed, and a heartbeat timeout that is not
// shorter than it.
func (t Timeouts) under(lease time.Duration) Timeouts {
	t.Lease = lease
	t.Heartbeat = max(t.Heartbeat, lease)
	t.Election = max(t.Election, t.Heartbeat)
	return t
}

// tight says that the lease is too short for members that far apart: the leader would lose it to ordinary delays.
func (t Timeouts) tight(rtt time.Duration) bool { return rtt+rtt/2+t.Heartbeat/5 > t.Lease }

// retune returns the timeouts to change to, and whether to change: only for a difference worth it.
func retune(now Timeouts, rtt time.Duration) (Timeouts, bool) {
	want := FromRTT(rtt).under(now.Lease)
	diff := want.Heartbeat - now.Heartbeat
	return want, diff > 0 || -diff > now.Heartbeat/4
}
