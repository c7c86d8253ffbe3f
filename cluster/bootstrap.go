package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"
)

// plan is what a member without a configuration does next.
type plan struct {
	// found says that this member founds the cluster with these members; otherwise it waits for the call of a leader.
	found []Peer
	// start says that Raft may start: there is someone to wait for.
	start bool
	// reason says what is waited for.
	reason string
}

// decide makes the plan. It is pure. founding says that this member has begun to found the cluster of self.ClusterID.
func decide(self Peer, founding bool, peers []Peer, expect int) plan {
	if self.HasState {
		return plan{start: true, reason: "a leader's call, there is a log already"}
	}
	if other := foreign(self, peers); other.ClusterID != "" {
		return plan{start: true, reason: fmt.Sprintf("its data_dir to be moved away: it belongs to cluster %s, and %s to another one, %s, whose leader does not take it in",
			self.ClusterID, other.Name, other.ClusterID)}
	}
	if self.ClusterID != "" && !founding {
		return plan{start: len(peers) > 0, reason: "the leader of cluster " + self.ClusterID + " to add this member under its new identity"}
	}
	all, joining := []Peer{self}, ""
	for _, p := range peers {
		if p.HasState || p.ClusterID != "" {
			return plan{start: true, reason: fmt.Sprintf("the leader of the existing cluster, seen at %s, to add this member", p.Name)}
		}
		if p.Joins { // it counts for no foundation: there is a cluster somewhere, perhaps one that cannot be seen now
			joining = " (some that have bootstrap_expect 0 do not count)"
			continue
		}
		all = append(all, p)
	}
	if expect == 0 {
		return plan{start: len(peers) > 0, reason: "the leader of a cluster to add this member, bootstrap_expect is 0"}
	}
	slices.SortFunc(all, func(a, b Peer) int { return strings.Compare(a.Name, b.Name) })
	for i, p := range all {
		if i > 0 && p.Name == all[i-1].Name {
			return plan{reason: fmt.Sprintf("another name for one of the two nodes called %s", p.Name)}
		}
		if p.RaftID == "" || p.Addr == "" {
			return plan{reason: fmt.Sprintf("%s to announce its address", p.Name)}
		}
	}
	switch {
	case len(all) < expect:
		return plan{reason: fmt.Sprintf("%d members to found the cluster, %d seen: %s%s", expect, len(all), names(all), joining)}
	case len(all) > expect:
		return plan{reason: fmt.Sprintf("%d members to found the cluster, but %d seen: %s", expect, len(all), names(all))}
	case all[0] != self:
		return plan{start: true, reason: fmt.Sprintf("%s to found the cluster", all[0].Name)}
	}
	return plan{start: true, found: all, reason: "the members seen to settle"}
}

// foreign returns a member of another cluster, if those that are seen are of no other: after a recovery, or when a foundation was never completed and
// the others have made another one, nobody calls a member with the former id.
func foreign(self Peer, peers []Peer) (other Peer) {
	for _, p := range peers {
		switch {
		case self.ClusterID == "" || p.ClusterID == "":
		case p.ClusterID == self.ClusterID:
			return Peer{}
		default:
			other = p
		}
	}
	return other
}

func names(peers []Peer) string {
	var s []string
	for _, p := range peers {
		s = append(s, p.Name)
	}
	return strings.Join(s, " ")
}

// founder follows the plans of one member until it has a configuration.
type founder struct {
	since time.Time // since when last has been the same
	last  []Peer
}

// settled says whether the members to found with have been the same for the given time. One that founds alone
// has nobody to agree with.
func (f *founder) settled(now time.Time, with []Peer, settle time.Duration) bool {
	if !slices.Equal(f.last, with) {
		f.last, f.since = with, now
	}
	return len(with) == 1 || len(with) > 1 && now.Sub(f.since) >= settle
}

// await waits until Raft may start.
func (f *founder) await(ctx context.Context, g *Group) error {
	has, err := g.store.HasState()
	if err != nil {
		return fmt.Errorf("look for state: %w", err)
	}
	tick := time.NewTicker(tendInterval)
	defer tick.Stop()
	for {
		self := g.Announce()
		self.HasState = has
		p := decide(self, g.founding(), g.cfg.Peers(), g.cfg.Expect)
		g.setWaiting(p.reason)
		if p.start {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (g *Group) founding() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.identity.Founding
}

// tend founds the cluster if it is this member's turn. It returns at once; it is called until there is a configuration.
func (f *founder) tend(ctx context.Context, g *Group, n *node) error {
	p := decide(g.Announce(), g.founding(), g.cfg.Peers(), g.cfg.Expect)
	g.setWaiting(p.reason)
	if !f.settled(time.Now(), p.found, g.cfg.Settle) {
		return nil
	}
	var c raft.Configuration
	for _, m := range p.found {
		c.Servers = append(c.Servers, raft.Server{ID: raft.ServerID(m.RaftID), Address: at(m.RaftID, m.Addr)})
	}
	if err := g.identify(g.store.Found); err != nil {
		return fmt.Errorf("found cluster: %w", err)
	}
	if _, err := g.await(ctx, func() raft.Future { return n.raft.BootstrapCluster(c) }); err != nil {
		return fmt.Errorf("found cluster: %w", err)
	}
	g.log.Info("cluster founded", "cluster", g.Announce().ClusterID, "members", names(p.found))
	return nil
}

// identify changes the identity. Only the goroutine that tends the group does so, and without holding a lock over the disk.
func (g *Group) identify(change func() error) error {
	err := change()
	id := g.store.Identity()
	g.mu.Lock()
	g.identity = id
	g.mu.Unlock()
	return err
}

// callers is whose calls this process has taken.
type callers struct {
	cluster string // of the first
	other   bool   // one was of another cluster, or of one that did not say
}

// met notes a call of a member of the given cluster, before anything of it is read.
func (g *Group) met(cluster string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.callers == (callers{}) {
		g.callers.cluster = cluster
	}
	g.callers.other = g.callers.other || cluster == "" || cluster != g.callers.cluster
}

// wholly says whether all of our log was written by calls of the cluster.
func (g *Group) wholly(cluster string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.had && g.callers == callers{cluster: cluster}
}

// adopt records the cluster once this member is in its configuration: the id comes from another one that is, too. And it records when the
// configuration is committed, as far as is known here: until then a leader may take it back, see nextChange.
func (g *Group) adopt(servers []raft.Server, agreed bool) {
	self := g.Announce()
	if self.Joining && agreed {
		if err := g.identify(g.store.Joined); err != nil {
			g.warnSeldom("joining not recorded", err)
		}
		return
	}
	if g.founding() {
		if err := g.identify(g.store.Founded); err != nil {
			g.warnSeldom("foundation not recorded", err)
		}
		return
	}
	if self.ClusterID != "" {
		return
	}
	for _, p := range g.cfg.Peers() {
		member := slices.ContainsFunc(servers, func(s raft.Server) bool { return string(s.ID) == p.RaftID })
		if !member || p.ClusterID == "" {
			continue
		}
		if err := g.identify(func() error { return g.store.Join(p.ClusterID, !agreed && g.wholly(p.ClusterID)) }); err != nil {
			g.warnSeldom("cluster not recorded", err, "cluster", p.ClusterID)
			return
		}
		g.log.Info("cluster joined", "cluster", p.ClusterID)
		return
	}
}
