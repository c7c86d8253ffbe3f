package main

import (
	"context"
	"slices"
	"time"

	"github.com/thinrelay/thinrelay/relay"
)

const (
	// stepDownLimit bounds the hand-over at shutdown.
	stepDownLimit = 5 * time.Second
	// leaveMargin is what a stop and the replicas' way to another member take: our next round must be further away.
	leaveMargin = 2 * time.Second
	// leavePatience is how long a stop waits for the end of our round: a round, and that margin before it. With a hand-over to a member that is ready it
	// stays below the 10 s after which a container engine kills.
	leavePatience = 8 * time.Second
	leavePoll     = 50 * time.Millisecond
)

// leave prepares a stop, so that it costs nothing: if replicas are connected here it waits until our round is over, and it hands
// leadership over. To stop amid our round may look to the others like the loss of the leader and of the active replica
// at once, after which nobody can know whether that replica's next block was sent (docs/design.md, the mark).
func (m *member) leave() {
	m.log.Info("relay stops", "leads", m.group.Status().Role == "leader")
	begun := time.Now()
	m.awaitRoundEnd(m.parts.patience)
	left := m.parts.patience - time.Since(begun)
	if m.gossip == nil || m.group.Status().Role != "leader" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), stepDownLimit)
	defer cancel()
	h, err := m.group.StepDown(ctx, "")
	if err != nil {
		m.log.Warn("no hand-over before the stop", "error", err)
		m.awaitRoundEnd(left) // whoever was waited for took time
		return
	}
	m.log.Info("handed over before the stop", "to", h.To, "took", h.Took.Round(time.Millisecond))
}

// awaitRoundEnd waits until a stop would touch none of our slots, for as long as there is patience.
func (m *member) awaitRoundEnd(patience time.Duration) {
	if patience <= 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(leavePoll)
	defer tick.Stop()
	for told := false; ; told = true {
		n, ok := m.node.Status(ctx)
		if !ok || !stopCosts(n) {
			return
		}
		if !told {
			m.log.Info("the stop waits for our round to end", "replicas", localReplicas(n), "at_most", patience)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// stopCosts reports whether a stop now could cost a slot of ours: a replica that may speak is connected here, and it is our turn, or
// nearly so.
func stopCosts(n relay.Status) bool {
	if until := nextRound(n); until == nil || *until > leaveMargin.Milliseconds() {
		return false
	}
	return slices.ContainsFunc(n.Replicas, func(r relay.ReplicaStatus) bool { return r.Addr != "" && !r.Observer })
}
