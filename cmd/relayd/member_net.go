package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/thinrelay/thinrelay/cluster"
	"github.com/thinrelay/thinrelay/cluster/link"
	"github.com/thinrelay/thinrelay/cluster/members"
	"github.com/thinrelay/thinrelay/cluster/transport"
	"github.com/thinrelay/thinrelay/relay"
)

const (
	// addrPause is the time between two looks for our own address.
	addrPause = time.Second
	// addrTold is how often it is told that there is none yet.
	addrTold = time.Minute
)

// ownAddr is the address the others dial. Where only the route to one of them can tell it, it is looked for until ctx ends: of hosts that start
// together the names may mean nothing yet, and the network may not be there.
func (m *member) ownAddr(ctx context.Context) (string, error) {
	if m.cfg.Alone() {
		return loneAddr, nil
	}
	var told time.Time
	for {
		addr, err := m.cfg.AdvertiseAddr(ctx)
		if err == nil || !errors.Is(err, ErrNoAdvertise) || len(m.cfg.Cluster.Join) == 0 {
			return addr, err
		}
		if now := time.Now(); now.Sub(told) >= addrTold && ctx.Err() == nil {
			m.log.Warn("cannot find a way to any member in cluster.join, trying on", "error", err)
			told = now
		}
		if !pause(ctx, addrPause) {
			return "", context.Cause(ctx)
		}
	}
}

// openGroupNet opens what reaches the other members, who dial us at advertise,
// and returns Raft's layer. A member alone reaches nobody.
func (m *member) openGroupNet(ctx context.Context, advertise string) (raft.StreamLayer, error) {
	if m.cfg.Alone() {
		l := newLoneLayer()
		m.close = append(m.close, l.Close)
		return l, nil
	}
	ln, err := m.parts.listen(m.cfg.Cluster.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for members: %w", err)
	}
	tr, err := transport.Open(transport.Config{
		Node: m.cfg.Node, Listener: ln, Advertise: advertise, Dial: m.parts.dialGroup,
		CA: m.cfg.Cluster.TLS.CA, Cert: m.cfg.Cluster.TLS.Cert, Key: m.cfg.Cluster.TLS.Key,
		NameOf: m.nameOf, Allowed: m.allowed,
		Logger: m.log.Named("transport"),
	})
	if err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	m.close = append(m.close, tr.Close)
	m.links = link.New(link.Config{
		Dialer: tr.Link(), Listener: tr.Link(), Logger: m.log.Named("link"),
		Gone: func(leader string) { m.group.LeaderGone(leader) }, // the group is open before links run
	})
	return tr.Raft(), m.openGossip(ctx, advertise)
}

// openGossip opens the membership.
func (m *member) openGossip(ctx context.Context, advertise string) error {
	open := m.parts.gossip
	if open == nil {
		open = func(m *member, advertise string) (gossip, func() error, error) { return m.memberlist(ctx, advertise) }
	}
	g, closer, err := open(m, advertise)
	if err != nil {
		return fmt.Errorf("open gossip: %w", err)
	}
	m.gossip = g
	m.close = append(m.close, closer)
	return nil
}

// memberlist is gossip over real sockets.
func (m *member) memberlist(ctx context.Context, advertise string) (gossip, func() error, error) {
	host, _, err := net.SplitHostPort(advertise)
	if err != nil {
		return nil, nil, fmt.Errorf("cluster.advertise: %w", err)
	}
	_, port, err := net.SplitHostPort(m.cfg.Cluster.Gossip)
	if err != nil {
		return nil, nil, fmt.Errorf("cluster.gossip: %w", err)
	}
	g, err := members.Open(ctx, members.Config{
		Node: m.cfg.Node, Label: "thinrelay/" + m.cfg.Producers[0], KeyFile: m.cfg.Cluster.GossipKeyFile,
		Bind: m.cfg.Cluster.Gossip, Advertise: net.JoinHostPort(host, port), Join: m.cfg.Cluster.Join,
		Remember: m.remember, Recall: m.recall,
		Meta: members.Meta{Region: m.cfg.Region, Version: version, ClusterAddr: advertise},
		Tune: m.parts.tune, Logger: m.log.Named("gossip"),
	})
	if err != nil {
		return nil, nil, err
	}
	return g, g.Close, nil
}

// remember is what this member knows of everybody's log.
func (m *member) remember() []byte {
	if g := m.memory.Load(); g != nil {
		return g.Memory()
	}
	return nil
}

// recall takes what another member knows of everybody's log.
func (m *member) recall(b []byte) {
	g := m.memory.Load()
	if g == nil {
		return
	}
	if err := g.Recall(b); err != nil {
		m.log.Debug("another member's memory is not understood", "error", err)
	}
}

// nameOf finds the member that advertises an address. One that is gone or has
// left is not it: gossip keeps those for days, and another may have its place.
// Where two claim an address nobody is insisted on: a member whose configuration
// was copied, with cluster.advertise, must not cut off the one that is there.
// Raft's greeting still reaches nobody but the log it is meant for.
func (m *member) nameOf(addr string) (name string, ok bool) {
	if m.gossip == nil {
		return "", false
	}
	for _, o := range m.gossip.Members() {
		if o.Meta.ClusterAddr != addr || o.State != members.Alive || o.Name == m.cfg.Node {
			continue
		}
		if ok {
			return "", false
		}
		name, ok = o.Name, true
	}
	return name, ok
}

// allowed reports whether a certificate's name may enter the cluster's port: a
// member of the group or, since newcomers and the group find each other by
// gossip, one that is heard there. Before the group is open nothing is served.
func (m *member) allowed(name string) bool {
	g := m.memory.Load()
	if g == nil {
		return true
	}
	return slices.ContainsFunc(g.Status().Members, func(o cluster.Member) bool { return o.Name == name }) ||
		slices.ContainsFunc(m.gossip.Members(), func(o members.Member) bool { return o.Name == name && o.State == members.Alive })
}

// leaderLink is where our feed goes: nowhere while we lead, or nobody does.
func (m *member) leaderLink() (name, addr string) {
	name, addr = m.group.Leader()
	if name == m.cfg.Node {
		return "", ""
	}
	return name, addr
}

// runLinks keeps our feed to the leader.
func (m *member) runLinks(ctx context.Context) error {
	changed := make(chan struct{}, 1)
	var watch sync.WaitGroup
	defer watch.Wait()
	watch.Go(func() {
		for {
			next := m.group.Changed()
			select {
			case changed <- struct{}{}:
			default:
			}
			select {
			case <-next:
			case <-ctx.Done():
				return
			}
		}
	})
	return m.links.Run(ctx, m.leaderLink, changed, func(ctx context.Context, c net.Conn, leader string) error {
		return m.node.FollowLink(ctx, leader, c)
	})
}

// serveLinks serves the feeds of followers, and their fetches.
func (m *member) serveLinks(ctx context.Context) error {
	return m.links.Serve(ctx, func(ctx context.Context, name string, purpose link.Purpose, c net.Conn) error {
		switch purpose {
		case link.Sync:
			return m.node.ServeSync(ctx, c)
		case link.Call:
			return m.serveCall(ctx, c)
		}
		return m.node.ServeLink(ctx, name, c)
	})
}

// errNoLeader is returned for a fetch while nobody leads.
var errNoLeader = errors.New("there is no leader to ask")

// dialSync opens a stream to the leader for a range of blocks.
func (m *member) dialSync() relay.SyncDialer {
	if m.cfg.Alone() {
		return nil
	}
	return func(ctx context.Context) (net.Conn, error) {
		name, addr := m.leaderLink()
		if name == "" {
			return nil, errNoLeader
		}
		return m.links.Open(ctx, name, addr, link.Sync)
	}
}

// loneAddr is the address of a member that nobody can reach.
const loneAddr = "alone:0"

// loneLayer is Raft's layer for a group of one: it dials nobody and accepts
// nobody.
type loneLayer struct {
	once   sync.Once
	closed chan struct{}
}

func newLoneLayer() *loneLayer { return &loneLayer{closed: make(chan struct{})} }

type loneAddress struct{}

func (loneAddress) Network() string { return "none" }
func (loneAddress) String() string  { return loneAddr }

// Accept waits for Close.
func (l *loneLayer) Accept() (net.Conn, error) { <-l.closed; return nil, net.ErrClosed }

// Addr is an address that nobody can dial.
func (l *loneLayer) Addr() net.Addr { return loneAddress{} }

// Close ends Accept.
func (l *loneLayer) Close() error { l.once.Do(func() { close(l.closed) }); return nil }

// Dial fails.
func (l *loneLayer) Dial(addr raft.ServerAddress, _ time.Duration) (net.Conn, error) {
	return nil, fmt.Errorf("dial %s: this relay is a group of one", addr)
}
