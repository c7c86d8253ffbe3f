package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"github.com/thinrelay/thinrelay/cluster/storage"
)

const (
	// reconcileInterval is how often a leader compares the configuration with what members announce.
	reconcileInterval = 500 * time.Millisecond
	// changeTimeout bounds the wait for one change of the configuration.
	changeTimeout = 5 * time.Second
	// caughtUp is the number of entries a member may be behind and still count as caught up.
	caughtUp = 16
	// partingTime is how long a member that is removed is given to learn of it.
	partingTime = time.Second
)

// verb is what is done to a server.
type verb string

const (
	addNonvoter verb = "add as non-voter"
	promote     verb = "promote to voter"
	demote      verb = "demote to non-voter"
	remove      verb = "remove"
	readdress   verb = "change address"
)

// change is one step of the configuration.
type change struct {
	verb   verb
	server raft.Server
}

// known is what the leader knows of a server: whether it answers, and whether its log is as long as ours.
type known struct{ alive, caughtUp bool }

// nextChange returns the next step towards the members that announce themselves, and what stands in the way of others. It is pure. It
// removes nothing but the former identity of a member that has lost its log and come back: first
// the new identity is added without a vote and catches up, then the old one is removed, then the new one gets its vote.
// In between the voters are those that are there, so that no majority ever counts on a log that is gone. Of new identities that are gone
// as well, before they got that far, one is kept: it may come back.
//
// Whoever has a log and no entry was removed, and stays out; but not while its name is a member: then only this log of it has no entry,
// since the leader that added it was one no more, and its word was undone. Nor when it says that it was joining, and that all of its log is
// this cluster's: then the same has happened to a newcomer. A log with entries of another cluster must never be taken in, since the two may
// have different entries of one index and term, which raft takes for the same.
func nextChange(self raft.ServerID, cluster string, servers []raft.Server, peers []Peer, know func(raft.ServerID) known) (change, []string) {
	var obstacles []string
	peers = slices.Clone(peers)
	slices.SortFunc(peers, func(a, b Peer) int { return strings.Compare(a.Name, b.Name) })
	for _, p := range peers {
		id := raft.ServerID(p.RaftID)
		if id == "" || p.Addr == "" || id == self || storage.NodeOf(p.RaftID) != p.Name {
			continue
		}
		if p.ClusterID != "" && cluster != "" && p.ClusterID != cluster {
			obstacles = append(obstacles, fmt.Sprintf("%s belongs to another cluster, %s", p.Name, p.ClusterID))
			continue
		}
		var now, former *raft.Server
		var idle []raft.ServerID // former logs that never got the vote, the oldest first
		for i, s := range servers {
			switch {
			case s.ID == id:
				now = &servers[i]
			case storage.NodeOf(string(s.ID)) == p.Name:
				former = &servers[i]
				if s.Suffrage != raft.Voter {
					idle = append(idle, s.ID)
				}
			}
		}
		if former != nil && (former.ID == self || know(former.ID).alive) {
			obstacles = append(obstacles, fmt.Sprintf("two nodes are called %s, %s is not taken in", p.Name, p.RaftID))
			continue
		}
		switch {
		case now == nil && p.HasState && (former == nil && !p.Joining || cluster == "" || p.ClusterID != cluster):
			obstacles = append(obstacles, fmt.Sprintf("%s has a log but is not a member: it was removed, its joining was cut short, or it is another cluster's; move its data_dir away", p.Name))
		case now == nil && len(idle) > 1 && !know(idle[0]).alive: // it crashes again and again, without a disk: a new log each time
			return change{remove, raft.Server{ID: idle[0]}}, obstacles
		case now == nil:
			return change{addNonvoter, raft.Server{Suffrage: raft.Nonvoter, ID: id, Address: at(p.RaftID, p.Addr)}}, obstacles
		case now.Address != at(p.RaftID, p.Addr):
			return change{readdress, raft.Server{Suffrage: now.Suffrage, ID: id, Address: at(p.RaftID, p.Addr)}}, obstacles
		case now.Suffrage == raft.Voter || !know(id).alive || !know(id).caughtUp:
		case former != nil:
			return change{remove, *former}, obstacles
		default:
			return change{promote, raft.Server{Suffrage: raft.Voter, ID: id, Address: now.Address}}, obstacles
		}
	}
	return change{}, obstacles
}

// reconcile makes the configuration what members announce, one step at a time, for as long as this member leads.
func (g *Group) reconcile(ctx context.Context, n *node) {
	tick := time.NewTicker(reconcileInterval)
	defer tick.Stop()
	var told []string
	for {
		c, obstacles := nextChange(n.id, g.Announce().ClusterID, n.servers(), g.cfg.Peers(), g.knowledge(n))
		for _, o := range obstacles {
			if !slices.Contains(told, o) {
				g.log.Warn("member not taken in", "reason", o)
			}
		}
		told = obstacles
		if c.verb != "" {
			if err := g.change(ctx, n, c); err != nil && ctx.Err() == nil {
				g.log.Warn("membership not changed", "change", c.verb, "member", c.server.ID, "error", err)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// knowledge returns what this leader knows of the others.
func (g *Group) knowledge(n *node) func(raft.ServerID) known {
	term, commit, hb := n.raft.CurrentTerm(), n.raft.CommitIndex(), n.currentTimeouts().Heartbeat
	g.mu.Lock()
	parting := g.parting
	g.mu.Unlock()
	return func(id raft.ServerID) known {
		if id == parting {
			return known{}
		}
		c := n.meter.of(id, term)
		return known{alive: time.Since(c.answered) < hb, caughtUp: c.match+caughtUp >= commit}
	}
}

// change makes one change to whatever the configuration is by then. Raft could be told to change that of one index only, but does not tell the index
// (hashicorp/raft v1.8.0, GetConfiguration): it is always 0, which means any. A change names one server, so it does no harm to another one.
func (g *Group) change(ctx context.Context, n *node, c change) error {
	const anyIndex = 0
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	_, err := g.await(ctx, func() raft.Future {
		s := c.server
		switch {
		case c.verb == remove:
			return n.raft.RemoveServer(s.ID, anyIndex, enqueueTimeout)
		case c.verb == demote:
			return n.raft.DemoteVoter(s.ID, anyIndex, enqueueTimeout)
		case s.Suffrage == raft.Voter:
			return n.raft.AddVoter(s.ID, s.Address, anyIndex, enqueueTimeout)
		default:
			return n.raft.AddNonvoter(s.ID, s.Address, anyIndex, enqueueTimeout)
		}
	})
	if err != nil {
		return fmt.Errorf("%s %s: %w", c.verb, c.server.ID, err)
	}
	g.log.Info("membership changed", "change", c.verb, "member", c.server.ID, "address", c.server.Address)
	g.changed.notify()
	return nil
}

// Remove removes the named member for good: it can come back only with an empty data directory. The leader cannot remove itself
// ([ErrRemoveLeader]). One that has lost its log and is on its way back is there twice, and both go.
func (g *Group) Remove(ctx context.Context, name string) error {
	logs := 0
	if n := g.running(); n != nil {
		for _, s := range n.servers() {
			if storage.NodeOf(string(s.ID)) == name {
				logs++
			}
		}
	}
	for i := range max(logs, 1) { // none: removeLog says what is wrong
		err := g.removeLog(ctx, name)
		if i > 0 && errors.Is(err, ErrNotMember) {
			break // the former one has gone by itself
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// removeLog removes the first of the named member's logs.
//
// Its vote is taken first, which it is told like anything else, so that it disturbs nobody afterwards. Raft stops talking to a member before it
// has told it that its removal is committed, and the member would look for a leader for ever; so this tells it.
func (g *Group) removeLog(ctx context.Context, name string) error {
	var parting raft.Server
	find := func(v verb) func([]raft.Server) (change, error) {
		return func(servers []raft.Server) (c change, err error) {
			if name == g.cfg.Node { // which leads, or would not have come this far
				return c, fmt.Errorf("remove %s: %w", name, ErrRemoveLeader)
			}
			if parting, err = named(servers, name); err != nil {
				return c, err
			}
			if n := g.running(); v == demote && n != nil && !enough(n.id, servers, parting, g.knowledge(n)) {
				return c, fmt.Errorf("remove %s: %w", name, ErrFewLeft)
			}
			g.setParting(parting.ID)
			return change{v, parting}, nil
		}
	}
	defer g.setParting("")
	if err := g.command(ctx, find(demote)); err != nil {
		return err
	}
	n := g.running()
	if n == nil {
		return fmt.Errorf("change membership: %w", ErrStopped)
	}
	term, told := g.awaitTold(ctx, n, parting.ID)
	if err := g.command(ctx, find(remove)); err != nil {
		return err
	}
	if told > 0 {
		g.tellRemoved(n, parting, term, told)
	}
	return nil
}

// enough says whether the voters that answer, and whose disks follow, are a majority without this one. Heartbeats are answered beside a disk that is full or
// hangs. A change counts from when it is written, not from when it is agreed
// to: one that takes the majority away is never agreed to, nor undone, and if one of those that do not answer has lost its disk the group never
// has a leader again.
func enough(self raft.ServerID, servers []raft.Server, without raft.Server, know func(raft.ServerID) known) bool {
	if without.Suffrage != raft.Voter {
		return true
	}
	voters, answer := 0, 0
	for _, s := range servers {
		if s.Suffrage != raft.Voter || s.ID == without.ID {
			continue
		}
		voters++
		if k := know(s.ID); s.ID == self || k.alive && k.caughtUp {
			answer++
		}
	}
	return answer > voters/2
}

// awaitTold waits until the member has all that is in the log now, but not long. It returns the term and how much of the log the member has as it
// is here, 0 when that is not all.
func (g *Group) awaitTold(ctx context.Context, n *node, id raft.ServerID) (term, told uint64) {
	term, index := n.raft.CurrentTerm(), n.raft.LastIndex()
	for end := time.Now().Add(partingTime); time.Now().Before(end); {
		if match := n.meter.of(id, term).match; match >= index {
			return term, match
		}
		if !pause(ctx, 10*time.Millisecond) {
			break
		}
	}
	return term, 0
}

// tellRemoved makes the call that raft leaves out: what is in the log after the entries that the removed member is known to have, with what is
// committed. It is a leader's call like any other, whatever has become of this leadership when it arrives. If it fails, the member goes on,
// and its status says that nobody calls it.
func (g *Group) tellRemoved(n *node, who raft.Server, term, told uint64) {
	if now, leading := n.leading(); !leading || now != term {
		return
	}
	var last raft.Log
	if err := g.store.Logs().GetLog(told, &last); err != nil {
		return
	}
	self := raft.ServerAddress(at(string(n.id), g.cfg.Advertise))
	req := &raft.AppendEntriesRequest{
		RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(n.id), Addr: n.meter.EncodePeer(n.id, self)},
		Term:      term, PrevLogEntry: told, PrevLogTerm: last.Term, LeaderCommitIndex: n.raft.CommitIndex(),
	}
	for i := told + 1; i <= req.LeaderCommitIndex; i++ {
		entry := new(raft.Log)
		if err := g.store.Logs().GetLog(i, entry); err != nil {
			return
		}
		req.Entries = append(req.Entries, entry)
	}
	err := n.meter.AppendEntries(who.ID, who.Address, req, new(raft.AppendEntriesResponse))
	g.log.Debug("told a member that it was removed", "member", who.ID, "error", err)
}

// setParting names the server that is being removed, which must not be given its vote back.
func (g *Group) setParting(id raft.ServerID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.parting = id
}

func named(servers []raft.Server, name string) (raft.Server, error) {
	for _, s := range servers {
		if storage.NodeOf(string(s.ID)) == name {
			return s, nil
		}
	}
	return raft.Server{}, fmt.Errorf("%q: %w", name, ErrNotMember)
}

// command makes a change that an operator asked for.
func (g *Group) command(ctx context.Context, choose func([]raft.Server) (change, error)) error {
	n := g.running()
	if n == nil {
		return fmt.Errorf("change membership: %w", ErrStopped)
	}
	if g.leadership().term == 0 {
		return fmt.Errorf("change membership: %w", ErrNotLeader)
	}
	c, err := choose(n.servers())
	if err != nil {
		return fmt.Errorf("change membership: %w", err)
	}
	return g.change(ctx, n, c)
}
