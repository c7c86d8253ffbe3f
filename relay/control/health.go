package control

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Health grades a group, or a problem.
type Health string

const (
	HealthOK       Health = "ok"
	HealthNotice   Health = "notice"   // worth knowing, nothing to do at once
	HealthDegraded Health = "degraded" // works, with less in reserve than it should have
	HealthDown     Health = "down"     // no block of ours can leave
)

func (h Health) rank() int {
	switch h {
	case HealthDown:
		return 3
	case HealthDegraded:
		return 2
	case HealthNotice:
		return 1
	}
	return 0
}

const (
	// Most nodeos do not tell their chain to one who does not know it; a replica does, so that where chain_id is not set its coming mends this.
	remedyRefused = "this stays so until something is changed: set or correct chain_id (where none is set, a replica that connects tells it too), the peer key, or the entry in upstream.peers"
	// Figures come over the link, by way of the leader. A member that gossip alone hears has this too.
	remedyStale = "see that relayd runs there, that the members reach each other's cluster port (cluster.listen, TCP), and what its log and the leader's say of refused certificates"
)

// Problem is something not as it should be, and what to do about it.
type Problem struct {
	Level  Health `json:"level"`
	Code   string `json:"code"`          // stable, for scripts
	Node   string `json:"node,omitzero"` // the member concerned; empty: the whole group
	Text   string `json:"text"`
	Remedy string `json:"remedy"`
}

// Limits above which a member's figures are worth a word.
const (
	clockNotice   = 50.0  // ms; slot arithmetic starts to show it
	clockDegraded = 250.0 // ms; half a slot
	diskDegraded  = 50.0  // ms p99; commits fall behind the slots
)

// Assess derives the problems from the figures, adds them to those already
// there, sorts them worst first and sets Health. It is the one place that
// decides what "degraded" means: the command's exit code, the page, and
// /readyz all follow it.
func (s *Status) Assess() {
	s.assessGroup()
	var highest uint32
	for i := range s.Members {
		highest = max(highest, s.Members[i].Mark)
	}
	for i := range s.Members {
		s.assessMember(&s.Members[i], highest)
	}
	slices.SortStableFunc(s.Problems, func(a, b Problem) int { return cmp.Compare(b.Level.rank(), a.Level.rank()) })
	s.Health = HealthOK
	if len(s.Problems) > 0 {
		s.Health = s.Problems[0].Level
	}
}

func (s *Status) problem(level Health, code, node, text, remedy string) {
	for _, p := range s.Problems {
		if p.Code == code && p.Node == node {
			return // the node worded it itself
		}
	}
	s.Problems = append(s.Problems, Problem{Level: level, Code: code, Node: node, Text: text, Remedy: remedy})
}

const codeNotMember = "not_member"

// NotMember is the problem of a member that has no vote in its log and that no leader calls. What it counts as quorum is that of a group it has
// left: "lost quorum" would be the wrong page to open.
func NotMember(node string) Problem {
	return Problem{
		Level: HealthDown, Code: codeNotMember, Node: node,
		Text:   "this member is not in its group's configuration, and no leader calls it: it was removed, or its data_dir is another group's",
		Remedy: "see relayctl members at another member; where this one is not listed, move data_dir away and start it to join again; where it is, start the missing members",
	}
}

// apart says that the member that answers is not in its group.
func (s *Status) apart() bool {
	return slices.ContainsFunc(s.Problems, func(p Problem) bool { return p.Code == codeNotMember })
}

func (s *Status) assessGroup() {
	q := s.Quorum
	switch {
	case s.apart() && !q.OK:
	case !q.OK && q.Total == 0:
		s.problem(HealthDown, "no_quorum", "",
			"this member is part of no group yet; no block can be forwarded",
			"start the other members, with this one's address in cluster.join and theirs in its own; what it waits for stands beside its name, and its log says whom it does not reach, and why")
	case !q.OK && q.Have < q.Need:
		s.problem(HealthDown, "no_quorum", "",
			fmt.Sprintf("no quorum: %d of %d voters heard, %d needed; no new block can be forwarded", q.Have, q.Total, q.Need),
			"start the missing members or mend the network between them; look at another member first, since one that was removed while it was stopped may say this as well; if they are gone for good see \"lost quorum\" in the operations guide")
	case s.Leader == "" || !q.OK:
		s.problem(HealthDown, "no_leader", "",
			"no leader: the members have not elected one",
			"wait two seconds and look again; if it stays so, read the members' logs for refused certificates or unreachable addresses")
	case q.Have < q.Total && !slices.ContainsFunc(s.Members, func(m Member) bool { return m.Role == RoleUnreachable }):
		s.problem(HealthDegraded, "quorum_reduced", "",
			fmt.Sprintf("%d of %d voters heard", q.Have, q.Total), "start the missing members")
	}

	s.assessUpstreams()
	s.assessReplicas()
	s.assessAccounts()
}

// assessUpstreams looks at the leader's connections. Whether none is left is
// told by the leader's own entry.
func (s *Status) assessUpstreams() {
	var connected, lost int
	for _, u := range s.Upstreams {
		switch u.State {
		case UpstreamConnected:
			connected++
		case UpstreamConnecting, UpstreamUnreachable:
			lost++
		case UpstreamRefused:
			lost++
			s.problem(HealthDegraded, "upstream_refused "+u.Addr, u.Node, fmt.Sprintf("upstream %s does not work with us: %s", u.Addr, u.LastError),
				remedyRefused)
		}
	}
	switch {
	case lost == 0 || connected == 0:
	case connected == 1:
		s.problem(HealthDegraded, "one_upstream", "", "one upstream connected only, none to spare", "see the others' last errors in relayctl status --json, and add peers in other networks")
	default:
		s.problem(HealthNotice, "upstreams_lost", "", fmt.Sprintf("%d of %d upstreams not connected", lost, lost+connected), "see their last errors in relayctl status --json")
	}
}

func (s *Status) assessReplicas() {
	live, active, producing, observers := s.replicas()
	switch {
	case len(s.Members) == 0:
	case producing == 0:
		s.problem(HealthDown, "no_replica", "", "no replica is connected to any member",
			"start nodeos with p2p-peer-address set to a relay (relayctl nodeos-config prints the lines), and see in the log of the relay that it dials whether it was refused, and why: downstream.allow, chain_id, peer_keys")
	case live == 0:
		s.problem(HealthDown, "no_live_replica", "", "every replica is syncing or behind", "wait for the sync to end and follow it with relayctl status --watch")
	case s.Mode == ModeVotes && active == 0 && s.Leader != "" && s.Quorum.OK:
		s.problem(HealthDegraded, "no_active", "", "no replica is active", "the leader picks one within a second; if it stays so read its log for the reason")
	case live == 1:
		s.problem(HealthNotice, "one_replica", "", "one live replica only: nothing stands by", "connect a second replica")
	}
	if live > 0 {
		s.assessRound(observers)
	}
}

func (s *Status) assessMember(m *Member, highest uint32) {
	switch m.Role {
	case RoleUnreachable:
		s.problem(HealthDegraded, "member_unreachable", m.Name,
			fmt.Sprintf("not heard for %s", age(m.AgeMS)), "check that relayd runs there and that the cluster and gossip ports are open both ways")
		return
	case RoleNonvoter:
		if s.apart() && m.Name == s.Node {
			break
		}
		s.problem(HealthNotice, "nonvoter", m.Name, "catching up, does not count for the quorum", "none: it is promoted when it has caught up")
	case RoleLeader:
		switch m.Upstream { // the first two are what its last note as a follower said
		case string(UpstreamUnreachable), string(UpstreamNotTaken), "0 connected":
			s.problem(HealthDown, "no_upstream", m.Name, "leads without an upstream",
				"check upstream.peers and the way out; the group hands leadership over where another member can reach one")
		}
	case RoleFollower:
		switch m.Upstream {
		case string(UpstreamUnreachable):
			s.problem(HealthDegraded, "upstream_unreachable", m.Name, "reaches no upstream, could not lead",
				"check upstream.peers and the way out of this host")
		case string(UpstreamNotTaken):
			s.problem(HealthDegraded, "upstream_not_taken", m.Name, "no upstream took it when it led, others lead for now",
				"they accept TCP and nothing more: see whether they are full or refuse this host's address; it is tried again after a while")
		}
		if m.Mark == 0 && highest > 0 {
			s.problem(HealthDegraded, "no_mark", m.Name, "does not know the last forwarded block yet",
				"wait a moment: after a start it takes over the group's log; if it stays so, read its log")
		}
	}
	if m.Stale && s.Leader != "" { // without a leader nobody passes figures on
		s.problem(HealthDegraded, "stale", m.Name, fmt.Sprintf("figures are %s old", age(m.AgeMS)), remedyStale)
	}
	for _, r := range m.Replicas {
		if r.Behind {
			s.problem(HealthDegraded, "replica_behind", m.Name, fmt.Sprintf("replica %s is behind", r.Name), "look at its CPU, disk and network: it takes blocks slower than they come")
		}
	}
	if m.ClockOffsetMS != nil {
		switch off := max(*m.ClockOffsetMS, -*m.ClockOffsetMS); {
		case off > clockDegraded:
			s.problem(HealthDegraded, "clock", m.Name, fmt.Sprintf("clock %+.0fms", *m.ClockOffsetMS), "run chrony or another NTP client there")
		case off > clockNotice:
			s.problem(HealthNotice, "clock", m.Name, fmt.Sprintf("clock %+.0fms", *m.ClockOffsetMS), "run chrony or another NTP client there")
		}
	}
	if m.DiskP99MS != nil && *m.DiskP99MS > diskDegraded {
		s.problem(HealthDegraded, "disk", m.Name, fmt.Sprintf("disk writes take %.0fms (p99)", *m.DiskP99MS),
			"move data_dir to a local SSD that nothing else writes to")
	}
}

// Unready lists why this member should not be counted on: what is wrong with
// it, and what leaves the whole group without a voice. Notices do not count.
func (s *Status) Unready() []Problem {
	var reasons []Problem
	for _, p := range s.Problems {
		own := p.Node == s.Node && p.Level.rank() >= HealthDegraded.rank()
		if own || (p.Node == "" && p.Level == HealthDown) {
			reasons = append(reasons, p)
		}
	}
	return reasons
}

func age(ms int64) string {
	d := time.Duration(ms) * time.Millisecond
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
