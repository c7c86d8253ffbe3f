package cluster

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Settings of Raft that depend on nothing.
const (
	// commitTimeout is how soon an idle leader tells the followers what is committed: it is how far behind their marks are.
	commitTimeout = 5 * time.Millisecond
	// snapshotThreshold is the number of entries after which a snapshot replaces them: eight minutes of ours.
	snapshotThreshold = 1024
	// trailingLogs is the number of entries kept behind a snapshot for followers that were away for a moment.
	trailingLogs = 256
	// maxPool is the number of idle connections kept per member.
	maxPool = 3
	// minRPCTimeout bounds from below how long an unanswered call is waited for.
	minRPCTimeout = 500 * time.Millisecond
	// enqueueTimeout bounds how long a request waits for raft's main loop.
	enqueueTimeout = 2 * time.Second
	// keyRTT is the key, in the stable store, of the longest round trip measured, for the next start.
	keyRTT = "thinrelay.rtt"
)

// node is a running Raft node.
type node struct {
	raft  *raft.Raft
	id    raft.ServerID
	meter *meter

	committed *committed
	mu        sync.Mutex
	timeouts  Timeouts

	damaged chan struct{} // see snapshots

	kept bool // the round trip is in the stable store; of tune alone
}

// leading returns the term this node leads. It reads the term on both sides of the state: while the state is
// Leader the term cannot change, so two equal terms are the term that is led.
func (n *node) leading() (term uint64, ok bool) {
	term = n.raft.CurrentTerm()
	leader := n.raft.State() == raft.Leader
	return term, leader && n.raft.CurrentTerm() == term
}

// servers returns the latest configuration.
func (n *node) servers() []raft.Server {
	return n.raft.GetConfiguration().Configuration().Servers
}

// self returns this member's place in the latest configuration.
func (n *node) self() (raft.Server, bool) {
	for _, s := range n.servers() {
		if s.ID == n.id {
			return s, true
		}
	}
	return raft.Server{}, false
}

// position returns how far the log has got.
func (n *node) position() (position, error) { return positionOf(n.raft) }

// positionOf returns how far a log has got, as it is on the disk: to its last entry, or to the snapshot that replaced it.
func positionOf(r *raft.Raft) (p position, err error) {
	var snapshot position
	stats := r.Stats()
	for key, to := range map[string]*uint64{
		"last_log_term": &p.LogTerm, "last_log_index": &p.Index, "term": &p.Term,
		"last_snapshot_term": &snapshot.LogTerm, "last_snapshot_index": &snapshot.Index,
	} {
		if *to, err = strconv.ParseUint(stats[key], 10, 64); err != nil {
			return p, fmt.Errorf("read %s: %w", key, err)
		}
	}
	if snapshot.Index > p.Index {
		p.LogTerm, p.Index = snapshot.LogTerm, snapshot.Index
	}
	return p, nil
}

func (n *node) currentTimeouts() Timeouts {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.timeouts
}

// startNode starts Raft.
func (g *Group) startNode(t Timeouts) (*node, error) {
	log := newRaftLog(g.log)
	n := &node{id: raft.ServerID(g.identity.RaftID), timeouts: t, committed: &committed{FSM: g.cfg.FSM}, damaged: make(chan struct{}, 1)}
	transport := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: &layer{
			StreamLayer: g.cfg.Layer, advertise: address(at(g.identity.RaftID, g.cfg.Advertise)), self: g.greetingIDs, announced: g.announced, met: g.met, log: g.log,
			patience: func() time.Duration { return 2 * n.currentTimeouts().Heartbeat },
		},
		MaxPool: maxPool,
		// More than one call under way takes a path that can hang for good (hashicorp/raft#612).
		MaxRPCsInFlight: 1,
		Timeout:         max(2*t.Heartbeat, minRPCTimeout),
		Logger:          log,
	})
	n.meter = newMeter(transport, g.store.Logs(), g.store.Beside)
	c := raft.DefaultConfig()
	c.LocalID = n.id
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = t.Heartbeat, t.Election, t.Lease
	c.CommitTimeout = commitTimeout
	c.SnapshotThreshold, c.TrailingLogs = g.cfg.snapshotThreshold, g.cfg.trailingLogs
	if g.cfg.snapshotInterval > 0 {
		c.SnapshotInterval = g.cfg.snapshotInterval
	}
	c.BatchApplyCh = false // breaks the timeout of Apply
	c.ShutdownOnRemove = false
	c.PreVoteDisabled = false
	c.NoLegacyTelemetry = true
	c.Logger = log
	var err error
	n.raft, err = raft.NewRaft(c, n.committed, g.store.Logs(), g.store.Stable(), snapshots{g.store.Snapshots(), n.damaged}, n.meter)
	if err != nil {
		return nil, fmt.Errorf("start raft: %w", joinClose(err, n.meter.Close))
	}
	n.meter.raft.Store(n.raft)
	return n, nil
}

// initialTimeouts returns the timeouts to start with: those set by hand, or by what was measured last time, is known from elsewhere, or can
// be measured now.
func (g *Group) initialTimeouts(ctx context.Context) Timeouts {
	if g.cfg.Timeouts != (Timeouts{}) {
		return g.cfg.Timeouts
	}
	peers := g.cfg.Peers()
	rtt := max(g.cfg.RTT(), g.keptRTT())
	if rtt == 0 {
		if rtt = g.measure(ctx, peers); rtt > 0 {
			g.keepRTT(rtt)
		}
	}
	if rtt == 0 && (len(peers) > 0 || g.cfg.Expect != 1) {
		rtt = unknownRTT
	}
	t := FromRTT(rtt)
	g.log.Info("timeouts chosen", "rtt", rtt, "heartbeat", t.Heartbeat, "lease", t.Lease)
	return t
}

// measure returns the longest round trip to those of the peers that can be reached: half of the shortest of three dials, since
// TCP takes one and TLS 1.3 another.
func (g *Group) measure(ctx context.Context, peers []Peer) (longest time.Duration) {
	const dials, dialTimeout = 3, time.Second
	took := make([]time.Duration, len(peers))
	var dialing sync.WaitGroup
	for i, p := range peers {
		dialing.Go(func() {
			for range dials {
				start := time.Now()
				c, err := g.cfg.Layer.Dial(raft.ServerAddress(p.Addr), dialTimeout)
				if err != nil {
					return
				}
				d := time.Since(start) / 2
				_ = c.Close()
				if took[i] == 0 || d < took[i] {
					took[i] = d
				}
				if ctx.Err() != nil {
					return
				}
			}
		})
	}
	dialing.Wait()
	for _, d := range took {
		longest = max(longest, d)
	}
	return longest
}

// tune adapts the timeouts to what is measured. The lease stays, see [Timeouts].
func (g *Group) tune(n *node) {
	if g.cfg.Timeouts != (Timeouts{}) {
		return
	}
	rtt := max(g.cfg.RTT(), n.meter.maxRTT(n.servers()))
	if g.misses(n) { // who is away is as far as it was
		rtt = max(rtt, g.keptRTT())
	}
	if rtt == 0 {
		return
	}
	now := n.currentTimeouts()
	want, change := retune(now, rtt)
	if !n.kept || change {
		g.keepRTT(rtt)
		n.kept = true
	}
	if !change {
		return
	}
	rc := n.raft.ReloadableConfig()
	rc.HeartbeatTimeout, rc.ElectionTimeout = want.Heartbeat, want.Election
	if err := n.raft.ReloadConfig(rc); err != nil {
		g.log.Warn("timeouts not changed", "error", err)
		return
	}
	n.mu.Lock()
	n.timeouts = want
	n.mu.Unlock()
	g.log.Info("timeouts changed", "rtt", rtt, "heartbeat", want.Heartbeat, "lease", want.Lease)
	if want.tight(rtt) {
		g.log.Warn("lease is short for this distance, restart this member when it is convenient", "rtt", rtt, "lease", want.Lease)
	}
}

// misses says whether a member does not announce itself.
func (g *Group) misses(n *node) bool {
	peers := g.cfg.Peers()
	return slices.ContainsFunc(n.servers(), func(s raft.Server) bool {
		return s.ID != n.id && !slices.ContainsFunc(peers, func(p Peer) bool { return p.RaftID == string(s.ID) })
	})
}

// keptRTT returns the round trip that was kept, 0 when there is none.
func (g *Group) keptRTT() time.Duration {
	ns, err := g.store.Stable().GetUint64([]byte(keyRTT))
	if err != nil {
		return 0
	}
	return time.Duration(ns)
}

// keepRTT keeps the round trip for the next start, which may come when nobody else can be reached.
func (g *Group) keepRTT(rtt time.Duration) {
	if err := g.store.Stable().SetUint64([]byte(keyRTT), uint64(rtt)); err != nil {
		g.log.Warn("round trip not kept for the next start", "error", err)
	}
}
