package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/thinrelay/thinrelay/cluster"
	"github.com/thinrelay/thinrelay/cluster/members"
	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/control"
	"github.com/thinrelay/thinrelay/relay/upstream"
	"github.com/thinrelay/thinrelay/relay/wire"
)

const (
	// staleAfter is the age from which a member's figures are marked: status
	// promises a second.
	staleAfter = 2 * time.Second
	// forgetAfter is the age from which a member counts as unreachable.
	forgetAfter = 5 * time.Second
)

// Status implements control.Node.
func (a api) Status(ctx context.Context) (control.Status, error) {
	m := a.m
	n, ok := m.node.Status(ctx)
	if !ok {
		return control.Status{}, fmt.Errorf("the node does not answer: %w", context.Cause(ctx))
	}
	g := m.group.Status()
	counters, events, round := m.journal.snapshot(m.journal.clock.SlotAt(n.At))
	last, resting := m.journal.resting(wire.ID(n.State.Mark.Last))
	s := control.Status{
		Node: m.cfg.Node, Version: version, Time: n.At,
		Cluster:  control.Cluster{Name: m.cfg.Producers[0], ID: g.ClusterID, Producers: m.cfg.Producers},
		Quorum:   quorumOf(g),
		Term:     g.Term,
		Leader:   g.Leader,
		Mode:     control.Mode(n.Mode.String()),
		Active:   replicaName(n, n.Active),
		Round:    round,
		Counters: counters, Events: events,
		Forwarded: forwarded(n, m.journal.clock, last, resting, m.cfg.Downstream.Observers),
		Timeouts: control.Timeouts{
			HeartbeatMS: g.Timeouts.Heartbeat.Milliseconds(), ElectionMS: g.Timeouts.Election.Milliseconds(),
			LeaseMS: g.Timeouts.Lease.Milliseconds(), Auto: m.cfg.Cluster.Timeouts.Duration() == 0,
		},
	}
	if m.cfg.Failover.Mode == ModePassive {
		s.Mode = control.ModePassive
	}
	if id, ok := m.chain.Get(); ok {
		s.Cluster.ChainID = id.String()
	}
	if g.Role == "leader" {
		s.LeaderSince = g.LeadingSince
	}
	if g.Apart {
		s.Problems = append(s.Problems, control.NotMember(m.cfg.Node))
	}
	s.NextRoundMS = nextRound(n)
	m.fillMembers(ctx, &s, n, g)
	return s, nil
}

// nextRound is the time until our next round in ms: 0 while it runs, nil when
// the schedule is not known.
func nextRound(n relay.Status) *int64 {
	var until int64
	switch {
	case n.InRound:
	case n.NextRound.IsZero():
		return nil
	default:
		until = n.NextRound.Sub(n.At).Milliseconds()
	}
	return &until
}

// forwarded is the mark, for status. A block of ours is as old as its sending, where this member sent it, else as its slot. Where the mark rests on
// a block of another producer, nothing was forwarded at that height: the source is only who may speak next.
func forwarded(n relay.Status, clock relay.Clock, last sent, producer string, observers []string) *control.Forwarded {
	mark := n.State.Mark
	if mark.Height() == 0 {
		return nil
	}
	f := &control.Forwarded{
		Num: mark.Height(), ID: mark.Last.String(), Slot: mark.Slot,
		SlotTime: clock.TimeOf(slotOf(mark)), Source: replicaName(n, mark.Source),
	}
	f.AgeMS = max(n.At.Sub(f.SlotTime).Milliseconds(), 0)
	if last.block.ID.IsZero() {
		if producer != "" {
			f.Source, f.Producer = "", producer
		}
		return f
	}
	ours := &control.Forwarded{
		Num: last.block.ID.Num(), ID: last.block.ID.String(), Slot: uint32(last.block.Slot),
		SlotTime: clock.TimeOf(last.block.Slot), Source: replicaName(n, last.source),
	}
	if slices.Contains(observers, ours.Source) {
		ours.Source = "" // it brought here what another member sent
	}
	at := ours.SlotTime
	if !last.at.IsZero() {
		at = last.at
	}
	ours.AgeMS = max(n.At.Sub(at).Milliseconds(), 0)
	switch {
	case producer != "":
		f.Source, f.Producer, f.Ours = "", producer, ours
	case last.block.ID == wire.ID(mark.Last):
		return ours // the mark may name another source by now: the next to speak
	}
	return f
}

// replicaName is a replica's name, else the start of its id.
func replicaName(n relay.Status, id [32]byte) string {
	for _, r := range n.Replicas {
		if r.ID == id {
			return r.Name
		}
	}
	if id == [32]byte{} {
		return ""
	}
	return short(id)
}

// fillMembers adds this member, and the others as far as they are known.
func (m *member) fillMembers(ctx context.Context, s *control.Status, n relay.Status, g cluster.Status) {
	own := m.ownNote(n, g)
	s.Members = []control.Member{own.Member}
	s.Upstreams = own.Upstreams
	notes := map[string]relay.Note{}
	for _, note := range m.node.Notes(ctx) {
		notes[note.From] = note
	}
	seen := map[string]bool{m.cfg.Node: true}
	for _, o := range g.Members {
		if !seen[o.Name] {
			seen[o.Name] = true
			s.Members = append(s.Members, m.otherMember(s, o, notes))
		}
	}
	if own.Stuck {
		s.Problems = append(s.Problems, unresolved(m.cfg.Node, own.Member.Mark))
	}
	activeID := own.ActiveID
	if g.Leader != m.cfg.Node {
		if id, ok := fromLeader(s, notes[g.Leader], n.At); ok {
			activeID = id
		}
	}
	nameSource(s)
	markActive(s, activeID)
	slices.SortFunc(s.Members, func(a, b control.Member) int {
		if l := b.Role == control.RoleLeader; l != (a.Role == control.RoleLeader) {
			if l {
				return 1
			}
			return -1
		}
		return cmp.Compare(a.Name, b.Name)
	})
}

// markActive marks the active replica at every member that it is connected to: by its id, since nodeos that were given no name all have the
// same. A leader of an earlier build tells the name alone.
func markActive(s *control.Status, id string) {
	for i := range s.Members {
		for j := range s.Members[i].Replicas {
			r := &s.Members[i].Replicas[j]
			if r.Active = r.NodeID == id; id == "" {
				r.Active = r.Name == s.Active && s.Active != ""
			}
		}
	}
}

// fromLeader takes over what only the leader knows, and returns the id of the active replica; false: it has told nothing.
func fromLeader(s *control.Status, told relay.Note, now time.Time) (activeID string, ok bool) {
	lead, ok := decodeNote(told)
	age := noteAge(told, now)
	if ok {
		s.Upstreams, s.Active = lead.Upstreams, lead.Active
		for i := range s.Upstreams {
			s.Upstreams[i].AgeMS = age.Milliseconds()
		}
	}
	// A follower hears of itself and the leader only.
	switch {
	case !s.Quorum.OK:
	case ok && age < staleAfter && lead.Member.Role == control.RoleLeader:
		s.Quorum.Have = max(s.Quorum.Have, lead.Quorum.Have)
	default: // it leads since a moment ago: whoever was heard lately has not gone by that
		s.Quorum.Have = max(s.Quorum.Have, heard(s.Members))
	}
	if lead.Stuck && age < forgetAfter {
		s.Problems = append(s.Problems, unresolved(told.From, lead.Member.Mark))
	}
	return lead.ActiveID, ok
}

// heard counts the voters that were heard lately.
func heard(list []control.Member) (n int) {
	for _, o := range list {
		if !o.Stale && (o.Role == control.RoleLeader || o.Role == control.RoleFollower) {
			n++
		}
	}
	return n
}

// nameSource names the source of the last block where it is connected to another member.
func nameSource(s *control.Status) {
	if s.Forwarded == nil {
		return
	}
	for _, o := range s.Members {
		for _, r := range o.Replicas {
			for _, f := range []*control.Forwarded{s.Forwarded, s.Forwarded.Ours} {
				if f != nil && f.Source != "" && f.Source == r.NodeID {
					f.Source = r.Name
				}
			}
		}
	}
}

// ownNote is what this member tells about itself.
func (m *member) ownNote(n relay.Status, g cluster.Status) note {
	c := control.Member{
		Name: m.cfg.Node, Region: m.cfg.Region, Role: ownRole(g), HTTP: m.apiAddr,
		Mark: n.State.Mark.Height(), Version: version, Upstream: m.upstreamState(n), Replicas: []control.Replica{},
	}
	if g.Disk.P99 > 0 {
		c.DiskP99MS = ms(g.Disk.P99)
	}
	if g.Waiting != "" {
		c.Note = "waits for " + g.Waiting
	}
	for _, r := range n.Replicas {
		if r.Addr == "" {
			continue // connected to another member, which shows it
		}
		c.Replicas = append(c.Replicas, control.Replica{
			Name: r.Name, NodeID: short(r.ID), Active: r.Active, Observer: r.Observer, Behind: r.Behind, Syncing: r.Syncing,
			Version: strconv.Itoa(r.Version),
		})
	}
	told := note{Member: c, Upstreams: m.upstreams(n), Active: replicaName(n, n.Active), Quorum: quorumOf(g), Stuck: !n.Unresolved.IsZero()}
	if told.Active != "" {
		told.ActiveID = short(n.Active)
	}
	return told
}

func quorumOf(g cluster.Status) control.Quorum {
	return control.Quorum{Have: g.Answering, Need: g.Voters/2 + 1, Total: g.Voters, OK: g.Quorum}
}

func ownRole(g cluster.Status) control.Role {
	if g.Role == "leader" {
		return control.RoleLeader
	}
	for _, o := range g.Members {
		if o.RaftID == g.RaftID && !o.Voter {
			return control.RoleNonvoter
		}
	}
	return control.RoleFollower
}

// upstreamState says what this member can reach outside.
func (m *member) upstreamState(n relay.Status) string {
	switch {
	case n.Leading:
		return fmt.Sprintf("%d connected", connected(n.Upstreams))
	case m.useful.reachable.Load():
		return string(control.UpstreamReachable)
	case m.useful.held.Load():
		return string(control.UpstreamNotTaken)
	}
	return string(control.UpstreamUnreachable)
}

// upstreams are the leader's connections.
func (m *member) upstreams(n relay.Status) []control.Upstream {
	list := make([]control.Upstream, 0, len(n.Upstreams))
	for _, u := range n.Upstreams {
		c := control.Upstream{Addr: u.Addr, State: control.UpstreamConnecting, Head: u.Height, LastError: u.LastError, Node: m.cfg.Node}
		switch {
		case u.State == upstream.Connected:
			c.State = control.UpstreamConnected
		case u.Alarm:
			c.State = control.UpstreamRefused
		case u.State == upstream.BackingOff:
			c.State = control.UpstreamUnreachable
		}
		if u.RTT > 0 {
			c.RTTMS = ms(u.RTT)
		}
		list = append(list, c)
	}
	return list
}

// otherMember is another member: by its own word where that is fresh, else by
// what the group and the gossip know.
func (m *member) otherMember(s *control.Status, o cluster.Member, notes map[string]relay.Note) control.Member {
	c := control.Member{Name: o.Name, Role: control.RoleUnreachable, Replicas: []control.Replica{}, Stale: true, AgeMS: forgetAfter.Milliseconds()}
	if told, ok := decodeNote(notes[o.Name]); ok {
		age := noteAge(notes[o.Name], s.Time)
		c = told.Member
		c.AgeMS, c.Stale = age.Milliseconds(), age > staleAfter
		if age > forgetAfter {
			c.Role = control.RoleUnreachable
		}
		if n := notes[o.Name]; n.RTT > 0 && n.Direct {
			c.ClockOffsetMS = ms(n.Clock)
		}
	}
	if m.gossip != nil {
		m.fromGossip(&c, s.Quorum.OK || o.Silent)
	}
	if o.RTT > 0 {
		c.RTTMS = ms(o.RTT)
	}
	if c.Role != control.RoleUnreachable {
		c.Role = roleOf(o, s.Leader)
	}
	return c
}

// fromGossip fills in what no note told. Notes come by way of the leader: without one, that none has come does not say that a member is gone. Where
// it had to be heard, by a leader or by us, that gossip has not missed it yet says nothing: it does so ten seconds later.
func (m *member) fromGossip(c *control.Member, missed bool) {
	for _, g := range m.gossip.Members() {
		if g.Name != c.Name {
			continue
		}
		if c.Version == "" {
			c.Region, c.Version, c.HTTP = g.Meta.Region, g.Meta.Version, g.Meta.HTTPAddr
			c.AgeMS = time.Since(g.Since).Milliseconds()
			if g.State == members.Alive {
				c.Role = control.RoleFollower
				c.Note = "no link yet"
			}
		}
		if c.Role == control.RoleUnreachable && g.State == members.Alive && !missed {
			c.Role, c.Note = control.RoleFollower, "alive by gossip"
		}
		if g.RTT > 0 {
			c.RTTMS = ms(g.RTT)
		}
	}
}

func roleOf(o cluster.Member, leader string) control.Role {
	switch {
	case o.Name == leader:
		return control.RoleLeader
	case !o.Voter:
		return control.RoleNonvoter
	}
	return control.RoleFollower
}
