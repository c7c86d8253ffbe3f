package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/thinrelay/thinrelay/cluster"
	"github.com/thinrelay/thinrelay/cluster/members"
	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/upstream"
)

const (
	// probeEvery is how often a follower finds out whether it can reach an
	// upstream. A leader looks at each note, and hears it for nothing.
	probeEvery = time.Second
	// probeLimit bounds one probe.
	probeLimit = 500 * time.Millisecond
	// heardLately is how long ago an upstream must have said something for a
	// leader to need no probe: the network speaks twice a second.
	heardLately = time.Second
	// holdOff is how long a leader must have been the less useful one.
	holdOff = 250 * time.Millisecond
	// stoodStill is how long ago the last probe is when this process has stood still, not the upstreams.
	stoodStill = 2*probeEvery + probeLimit
	// minTenure is how long a leader leads before it may be found less useful
	// than another: long enough to connect, short enough for a round.
	minTenure = 3 * time.Second
)

var (
	errUnreachable = errors.New("it reaches no upstream, or none took it when it led")
	errGone        = errors.New("it is not heard of")
)

// usefulness is what this member knows of its own fitness to lead.
type usefulness struct {
	reachable atomic.Bool // it could lead
	held      atomic.Bool // it could not for now, since no upstream took it when it led
	office    office      // of the goroutine that probes
	looked    time.Time   // when that last did
}

// probe finds out whether this member can reach an upstream: because one spoke
// lately, or by dialling; and by what came of it when it led.
func (m *member) probe(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	s, _ := m.node.Status(ctx)
	reached := s.Leading && connected(s.Upstreams) > 0 && time.Since(s.Heard) < heardLately || m.node.Reachable(ctx)
	now := time.Now()
	reaches, known := m.leaderReaches()
	m.useful.office.heard(now, reaches, known)
	m.useful.reachable.Store(m.judge(now, s, reached))
}

// judge is what the office says, which tells the operator when it has found out that no upstream takes us.
func (m *member) judge(now time.Time, s relay.Status, reached bool) bool {
	office := &m.useful.office
	if now.Sub(m.useful.looked) > stoodStill {
		office.bare = now // no upstream was asked meanwhile
	}
	m.useful.looked = now
	fails := office.fails
	fit := office.judge(now, s, reached)
	m.useful.held.Store(reached && !fit)
	if office.fails > fails {
		m.log.Warn("no upstream took this relay while it led, another is to lead meanwhile", "for", unfitFor(office.fails),
			"hint", "they accept TCP and nothing more: are they full, or do they refuse this address?")
	}
	return fit
}

// leaderReaches reports whether the leader reaches an upstream, if that is another member and is heard.
func (m *member) leaderReaches() (reaches, known bool) {
	if m.gossip == nil {
		return false, false
	}
	leader, _ := m.leaderLink()
	for _, o := range m.gossip.Members() {
		if o.Name == leader && o.State == members.Alive {
			return o.Meta.UpstreamReachable, true
		}
	}
	return false, false
}

// connected counts the upstreams in use.
func connected(list []upstream.PeerStatus) int {
	n := 0
	for _, u := range list {
		if u.State == upstream.Connected {
			n++
		}
	}
	return n
}

// usefulnessClasses grades the members that are alive: 1 reaches an upstream,
// 0 does not.
func (m *member) usefulnessClasses() map[string]int {
	classes := map[string]int{m.cfg.Node: class(m.useful.reachable.Load())}
	for _, o := range m.gossip.Members() {
		if o.Name != m.cfg.Node && o.State == members.Alive {
			classes[o.Name] = class(o.Meta.UpstreamReachable)
		}
	}
	return classes
}

func class(reachable bool) int {
	if reachable {
		return 1
	}
	return 0
}

// ready says why a member cannot lead, nil when it can. One that reaches no
// upstream can, if we do not either.
func (m *member) ready(name string) error {
	for _, o := range m.gossip.Members() {
		switch {
		case o.Name != name:
		case o.State != members.Alive:
			return fmt.Errorf("%s: %w", name, errGone)
		case !o.Meta.UpstreamReachable && m.useful.reachable.Load():
			return fmt.Errorf("%s: %w", name, errUnreachable)
		default:
			return nil
		}
	}
	return fmt.Errorf("%s: %w", name, errGone)
}

// peers is what the others announce, for the group.
func (m *member) peers() []cluster.Peer {
	var list []cluster.Peer
	for _, o := range m.gossip.Members() {
		if o.Name == m.cfg.Node || o.State != members.Alive || o.Meta.RaftID == "" {
			continue
		}
		list = append(list, cluster.Peer{
			Name: o.Name, RaftID: o.Meta.RaftID, Addr: o.Meta.ClusterAddr, ClusterID: o.Meta.ClusterID, HasState: o.Meta.HasState, Joining: o.Meta.Joining, Joins: o.Meta.Joins,
		})
	}
	return list
}

// worstRTT is the longest round trip to another member, by gossip's probes.
func (m *member) worstRTT() time.Duration {
	var worst time.Duration
	for _, o := range m.gossip.Members() {
		if o.State == members.Alive {
			worst = max(worst, o.RTT)
		}
	}
	return worst
}

// announce tells the others what they need to know of us.
func (m *member) announce(replicas []string) {
	if m.gossip == nil {
		return
	}
	a := m.group.Announce()
	m.gossip.Update(members.Meta{
		ClusterID: a.ClusterID, RaftID: a.RaftID, ClusterAddr: a.Addr, HasState: a.HasState, Joining: a.Joining, Joins: a.Joins,
		HTTPAddr: m.apiAddr, Region: m.cfg.Region, Version: version,
		UpstreamReachable: m.useful.reachable.Load(), Replicas: replicas,
	})
}
