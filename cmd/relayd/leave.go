package main

import (
	"context"
	"time"

	"github.com/thinrelay/thinrelay/relay"
)

const (
	// stepDownLimit bounds the hand-over at shutdown.
	stepDownLimit = 5 * time.Second
	// leaveMargin is what a stop and the replicas' way to another member take: our next round must be further away.
	leaveMargin = 2 * time.Second
	// leavePatience is how long a stop waits for the end of our round: a round, and that margin before it. With the hand-over it
	// stays below the 10 s after which a container engine kills.
	leavePatience = 8 * time.Second
	leavePoll     = 50 * time.Millisecond
)

// leave ends this member's part before a stop, so that the stop costs nothing: it waits until our round is over if replicas are
// connected here, and hands leadership over. Both at once, amid a round, look to the others like the loss of the leader
// and of the active replica, after which nobody can know whether that one's next block was sent (docs/design.md, the mark).
func (m *member) leave() {
	leads := m.group.Status().Role == "leader"
	m.log.Info("relay stops", "leads", leads)
	ctx, cancel := context.WithTimeout(context.Background(), m.parts.patience)
	defer cancel()
	m.awaitRoundEnd(ctx)
	if m.gossip == nil || m.group.Status().Role != "leader" {
		return
	}
	ctx, cancel = context.WithTimeout(context.Background(), stepDownLimit)
	defer cancel()
	h, err := m.group.StepDown(ctx, "")
	if err != nil {
		m.log.Warn("no hand-over before the stop", "error", err)
		return
	}
	m.log.Info("handed over before the stop", "to", h.To, "took", h.Took.Round(time.Millisecond))
}

// awaitRoundEnd waits until a stop would touch none of our slots, or until ctx ends.
func (m *member) awaitRoundEnd(ctx context.Context) {
	tick := time.NewTicker(leavePoll)
	defer tick.Stop()
	for told := false; ; told = true {
		n, ok := m.node.Status(ctx)
		if !ok || !stopCosts(n) {
			return
		}
		if !told {
			m.log.Info("the stop waits for our round to end", "replicas", localReplicas(n), "at_most", m.parts.patience)
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
	if !n.InRound && (n.NextRound.IsZero() || n.NextRound.Sub(n.At) > leaveMargin) {
		return false
	}
	for _, r := range n.Replicas {
		if r.Addr != "" && !r.Observer {
			return true
		}
	}
	return false
}
