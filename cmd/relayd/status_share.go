package main

import (
	"context"
	"time"

	"github.com/thinrelay/thinrelay/cluster"
	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/control"
	"github.com/thinrelay/thinrelay/relay/director"
)

// share keeps the others informed, and the gauges current, until ctx ends.
func (m *member) share(ctx context.Context) error {
	tick := time.NewTicker(noteEvery)
	defer tick.Stop()
	var probed time.Time
	var peers map[string]bool
	for {
		if now := time.Now(); now.Sub(probed) >= probeEvery || m.group.Status().Role == "leader" {
			probed = now
			m.probe(ctx)
		}
		if n, ok := m.node.Status(ctx); ok {
			g := m.group.Status()
			if body, err := m.ownNote(n, g).encoded(relay.MaxNote); err == nil {
				m.node.Share(ctx, body)
			}
			m.gauges(n, g)
			peers = m.measurePeers(ctx, peers)
			m.announce(localReplicas(n))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// noteEvery is how often a member tells about itself.
const noteEvery = 500 * time.Millisecond

func localReplicas(n relay.Status) (names []string) {
	for _, r := range n.Replicas {
		if r.Addr != "" {
			names = append(names, r.Name)
		}
	}
	return names
}

// measurePeers sets the metrics of the members that tell of themselves straight to this one, and drops those of the others: a clock that was
// off when a member was last heard would be off for ever. It returns who has been told.
func (m *member) measurePeers(ctx context.Context, before map[string]bool) map[string]bool {
	told := make(map[string]bool)
	for _, n := range m.node.Notes(ctx) {
		if n.Direct && n.RTT > 0 && time.Since(n.At) < staleAfter {
			m.metrics.Peer(n.From, n.RTT, n.Clock)
			told[n.From] = true
		}
	}
	for name := range before {
		if !told[name] {
			m.metrics.PeerGone(name)
		}
	}
	return told
}

// gauges sets the metrics that are not counted by the journal.
func (m *member) gauges(n relay.Status, g cluster.Status) {
	m.metrics.Group(g.Role == "leader", g.Quorum, g.Term)
	m.metrics.MarkHeight(n.State.Mark.Height())
	var active, standby, behind, syncing, observer int
	for _, r := range n.Replicas {
		switch {
		case r.Addr == "":
		case r.Observer:
			observer++
		case r.Syncing:
			syncing++
		case r.Behind:
			behind++
		case r.Active || n.Mode == director.Passive:
			active++
		default:
			standby++
		}
	}
	m.metrics.Replicas(active, standby, behind, syncing, observer)
	var ok, connecting, refused, unreachable int
	for _, u := range m.upstreams(n) {
		switch u.State {
		case control.UpstreamConnected:
			ok++
		case control.UpstreamRefused:
			refused++
		case control.UpstreamUnreachable:
			unreachable++
		default:
			connecting++
		}
	}
	m.metrics.Upstreams(ok, connecting, refused, unreachable)
}
