package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/thinrelay/thinrelay/cluster"
	"github.com/thinrelay/thinrelay/cluster/link"
	"github.com/thinrelay/thinrelay/cluster/members"
	"github.com/thinrelay/thinrelay/fsm"
	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/control"
)

// member is one relay of a group: the node, the group and what joins them.
type member struct {
	cfg     Config
	log     hclog.Logger
	parts   parts
	node    *relay.Node
	chain   *relay.ChainID
	group   *cluster.Group
	links   *link.Link // nil when alone
	gossip  gossip     // nil when alone
	close   []func() error
	memory  atomic.Pointer[cluster.Group] // the group, once the gossip may ask it
	metrics *control.Metrics
	journal *journal
	useful  usefulness
	replica net.Listener // where replicas dial
	api     net.Listener // nil: no API
	apiAddr string       // where it is reached, for people
}

// gossip is what a member needs to know of the others.
type gossip interface {
	Run(context.Context) error
	Members() []members.Member
	Update(members.Meta)
	Changed() <-chan struct{}
}

// recallWait is how long a start waits for what others remember of this member's log.
const recallWait = time.Second

// openMember opens files and listeners. Nothing runs yet, nobody is dialled.
func openMember(ctx context.Context, cfg Config, p parts, log hclog.Logger) (_ *member, err error) {
	m := &member{cfg: cfg, log: log, parts: p, metrics: control.NewMetrics(version)}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.closeAll())
		}
	}()
	advertise, err := m.ownAddr(ctx)
	if err != nil {
		return nil, err
	}
	m.journal = newJournal(cfg, m.metrics, log, p)
	rc, err := m.relayConfig()
	if err != nil {
		return nil, err
	}
	m.node = relay.New(rc)
	m.journal.node = m.node
	if m.replica, err = p.listen(cfg.Downstream.Listen); err != nil {
		return nil, fmt.Errorf("listen for replicas: %w", err)
	}
	m.close = append(m.close, m.replica.Close)
	if m.api, err = p.listenAPI(cfg, m.log.Named("api")); err != nil {
		return nil, fmt.Errorf("listen for the API: %w", err)
	}
	if m.api != nil {
		m.close = append(m.close, m.api.Close)
	}
	layer, err := m.openGroupNet(ctx, advertise)
	if err != nil {
		return nil, err
	}
	m.apiAddr = cfg.APIAddr(advertise)
	return m, m.openGroup(layer, advertise)
}

// openGroup opens the Raft group on the given layer.
func (m *member) openGroup(layer raft.StreamLayer, advertise string) error {
	cfg := cluster.Config{
		Node: m.cfg.Node, DataDir: m.cfg.DataDir, Layer: layer, Advertise: advertise,
		FSM:      fsm.New(m.applied),
		Expect:   m.cfg.Cluster.BootstrapExpect,
		Timeouts: m.timeouts(),
		Wrote:    m.metrics.DiskWrite,
		Logger:   m.log.Named("cluster"),
	}
	if m.parts.store != nil {
		store, err := m.parts.store()
		if err != nil {
			return err
		}
		cfg.Store = store
	}
	if m.parts.gossip == nil && !m.cfg.Alone() {
		cfg.RecallWait = recallWait
	}
	if m.gossip != nil {
		cfg.Peers = m.peers
		cfg.Ready = m.ready
		cfg.Usefulness = m.usefulnessClasses
		cfg.RTT = m.worstRTT
		cfg.MinTenure, cfg.HoldOff = minTenure, holdOff
	}
	group, err := cluster.Open(cfg)
	if err != nil {
		return fmt.Errorf("open the group: %w", err)
	}
	m.group = group
	m.memory.Store(group)
	return nil
}

// applied passes on what the group has agreed on.
func (m *member) applied(s fsm.State) {
	if m.parts.applied != nil {
		m.parts.applied(s)
	}
	m.node.Applied(s)
}

// timeouts are Raft's, when set by hand.
func (m *member) timeouts() cluster.Timeouts {
	hb := m.cfg.Cluster.Timeouts.Duration()
	return cluster.Timeouts{Heartbeat: hb, Election: hb, Lease: hb / 2}
}

// run takes part until ctx ends, then steps down, stops everything and returns
// nil.
func (m *member) run(ctx context.Context) error {
	m.log.Info("relay starts", "version", version, "producers", m.cfg.Producers, "mode", m.cfg.Failover.Mode, "replicas", m.replica.Addr().String())
	var stages []stage
	if m.api != nil {
		server := control.New(control.Config{Node: api{m}, Metrics: m.metrics, TokenFile: m.cfg.HTTP.TokenFile, Logger: m.log.Named("http")})
		stages = append(stages, stage{"api", func(ctx context.Context) error { return server.Run(ctx, m.api) }})
	}
	if m.gossip != nil {
		stages = append(stages, stage{"gossip", m.gossip.Run})
	}
	stages = append(stages, stage{"replicas", func(ctx context.Context) error { return m.node.Run(ctx, m.replica) }})
	if m.links != nil {
		stages = append(stages, stage{"links", m.runLinks}, stage{"link server", m.serveLinks})
	}
	stages = append(stages,
		stage{"group", func(ctx context.Context) error { return m.group.Run(ctx, m.lead) }},
		stage{"status", m.share},
	)
	err := runStages(ctx, m.leave, stages)
	err = errors.Join(err, m.closeAll())
	if err == nil {
		m.log.Info("relay stopped")
	}
	return err
}

// lead is one leadership.
func (m *member) lead(ctx context.Context, term uint64) error {
	m.metrics.Failover(m.group.Status().LeadingCause)
	return m.node.Lead(ctx, term, m.group)
}

// closeAll closes what openMember opened, the last first.
func (m *member) closeAll() error {
	var errs []error
	for i := len(m.close) - 1; i >= 0; i-- {
		if err := m.close[i](); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	m.close = nil
	return errors.Join(errs...)
}
