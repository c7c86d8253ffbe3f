package cluster

import (
	"time"

	"github.com/hashicorp/raft"

	"github.com/thinrelay/thinrelay/cluster/storage"
	"github.com/thinrelay/thinrelay/fsm"
)

// Never is the age of a contact that has not happened, or that only another member could know of.
const Never time.Duration = -1

// Why a member leads: it was elected, its predecessor gone or silent, or the predecessor had handed over.
const (
	CauseElection = "election"
	CauseHandOver = "hand_over"
)

// Status is what a member knows of the group. It is taken without asking anybody, so it is there without a quorum as well.
type Status struct {
	Node      string
	RaftID    string
	ClusterID string
	// Role is "leader", "follower", "candidate", or "waiting" and "stopped" when Raft does not run.
	Role string
	// Waiting says what the member is waiting for, empty when it takes part.
	Waiting string
	// Apart says that this member has no vote in the configuration of its log and that no leader calls it: it was removed, its data directory is
	// another group's, or the leader has yet to reach it.
	Apart bool
	// Term is the current Raft term.
	Term uint64
	// Leader is the name of the leader, empty when none is known.
	Leader string
	// LeadingSince is when this member began to lead, zero when it does not lead or has not passed its barrier.
	LeadingSince time.Time
	// LeadingCause is [CauseElection] or [CauseHandOver], empty with LeadingSince zero.
	LeadingCause string
	// Quorum says whether a majority of the voters was in contact with the leader within the heartbeat timeout, as far as this member can tell: a
	// leader counts answers, a follower takes the leader's recent call for it, since a leader without majority falls silent.
	Quorum bool
	// Voters is the number of voters, Answering how many of them answer, this one included; a follower knows of itself and the leader.
	Voters, Answering int
	// LastContact is the age of the leader's last call, 0 on the leader.
	LastContact time.Duration
	// Last, Commit and Applied are indexes of the log.
	Last, Commit, Applied uint64
	// Mark is the replicated state as it is here.
	Mark fsm.State
	// Disk says how long log writes took.
	Disk storage.WriteTimes
	// Failure is why the member cannot go on, nil when it can.
	Failure error
	// Timeouts are those in use.
	Timeouts Timeouts
	// Members are the members of the configuration.
	Members []Member
}

// Member is one member of the configuration.
type Member struct {
	Name   string
	RaftID string
	Addr   string
	Voter  bool
	Leader bool
	// LastContact is the age of its last answer to this member if that leads, or of its last call if it leads; [Never] when unknown.
	LastContact time.Duration
	// Silent says that it did not answer when this member last stood for election.
	Silent bool
	// RTT is the round trip of heartbeats, 0 when this member has not measured it.
	RTT time.Duration
	// Behind is the number of entries it lacks. It is known to the leader only, see LastContact.
	Behind uint64
}

// Status returns what this member knows now. It never blocks.
func (g *Group) Status() Status {
	g.mu.Lock()
	n, led, id := g.node, g.led, g.identity
	s := Status{Node: g.cfg.Node, RaftID: id.RaftID, ClusterID: id.ClusterID, Role: "waiting", Waiting: g.waiting}
	if g.stopping {
		s.Role = "stopped"
	}
	g.mu.Unlock()
	s.Mark = g.cfg.FSM.State()
	s.Disk = g.store.WriteTimes()
	if s.Failure = g.cfg.FSM.Err(); s.Failure == nil {
		s.Failure = g.store.Err()
	}
	if n == nil {
		s.LastContact = Never
		return s
	}
	n.fill(&s, led)
	return s
}

func (n *node) fill(s *Status, led reigning) {
	now := time.Now()
	s.LeadingSince, s.LeadingCause = led.since, led.cause
	s.Timeouts = n.currentTimeouts()
	term, leading := n.leading()
	s.Term = term
	switch state := n.raft.State(); {
	case leading:
		s.Role = "leader"
	case state == raft.Candidate:
		s.Role = "candidate"
	case state == raft.Shutdown:
		s.Role = "stopped"
	default:
		s.Role = "follower"
	}
	s.Last, s.Commit, s.Applied = n.raft.LastIndex(), n.raft.CommitIndex(), n.raft.AppliedIndex()
	_, leader := n.raft.LeaderWithID()
	s.Leader = storage.NodeOf(string(leader))
	s.LastContact = Never
	if called := n.raft.LastContact(); leading {
		s.LastContact = 0
	} else if !called.IsZero() {
		s.LastContact = now.Sub(called)
	}
	votes := false
	calls := !leading && leader != "" && s.LastContact != Never && s.LastContact < s.Timeouts.Heartbeat
	for _, srv := range n.servers() {
		_, addr := reach(srv.Address)
		m := Member{
			Name: storage.NodeOf(string(srv.ID)), RaftID: string(srv.ID), Addr: addr,
			Voter: srv.Suffrage == raft.Voter, Leader: srv.ID == leader, LastContact: Never,
		}
		c := n.meter.of(srv.ID, term)
		m.RTT, m.Silent = c.rtt, c.silent
		switch {
		case srv.ID == n.id:
			m.LastContact, m.RTT = 0, 0
		case leading && !c.answered.IsZero():
			m.LastContact = now.Sub(c.answered)
			m.Behind = s.Last - min(c.match, s.Last)
		case m.Leader:
			m.LastContact = s.LastContact
		}
		if m.Voter {
			votes = votes || srv.ID == n.id
			s.Voters++
			if m.LastContact != Never && m.LastContact < s.Timeouts.Heartbeat {
				s.Answering++
			}
		}
		s.Members = append(s.Members, m)
	}
	s.Apart = len(s.Members) > 0 && !votes && leader == ""
	s.Quorum = calls || leading && s.Answering > s.Voters/2
}
