package control

import "time"

// Forwarded counts a block of ours that left, and what is known of its timing:
// gate is the time from having read it to having queued it for the upstreams,
// lead the time left to its slot (negative: late). Hot.
func (m *Metrics) Forwarded(source string, gate, lead time.Duration) {
	if m == nil {
		return
	}
	m.forwarded.add(source, 1)
	m.gate.Observe(gate.Seconds())
	m.lead.Observe(lead.Seconds())
}

// Refused counts a block that was not sent. Hot.
func (m *Metrics) Refused(reason string) {
	if m != nil {
		m.refused.add(reason, 1)
	}
}

// MarkHeight tells the height of the applied mark. Hot.
func (m *Metrics) MarkHeight(height uint32) {
	if m != nil {
		m.markHeight.Set(float64(height))
	}
}

// SlotsMissed counts slots of ours that passed without a block. Hot.
func (m *Metrics) SlotsMissed(n int) {
	if m != nil {
		m.missed.Add(float64(n))
	}
}

// VotesForwarded counts votes passed on to upstreams. Hot.
func (m *Metrics) VotesForwarded(n int) {
	if m != nil {
		m.votesForwarded.Add(float64(n))
	}
}

// VoteDropped counts a vote not passed on. Hot.
func (m *Metrics) VoteDropped(reason string) {
	if m != nil {
		m.votesDropped.add(reason, 1)
	}
}

// DoubleVote counts a vote that would have broken a finalizer key's order.
func (m *Metrics) DoubleVote() {
	if m != nil {
		m.doubleVotes.Inc()
	}
}

// TransactionUp counts a transaction passed on to upstreams. Hot.
func (m *Metrics) TransactionUp() {
	if m != nil {
		m.transactions.add("up", 1)
	}
}

// TransactionDown counts a transaction passed on to replicas. Hot.
func (m *Metrics) TransactionDown() {
	if m != nil {
		m.transactions.add("down", 1)
	}
}

// TransactionDropped counts a transaction seen before or without room. Hot.
func (m *Metrics) TransactionDropped() {
	if m != nil {
		m.trxDropped.Inc()
	}
}

// QueueOverflow counts a queue that is full. Hot.
func (m *Metrics) QueueOverflow() {
	if m != nil {
		m.overflows.Inc()
	}
}

// SyncBlocks counts blocks fetched for replicas that catch up. Hot.
func (m *Metrics) SyncBlocks(n int) {
	if m != nil {
		m.syncBlocks.Add(float64(n))
	}
}

// DiskWrite records one durable write of the Raft log. Hot.
func (m *Metrics) DiskWrite(took time.Duration) {
	if m != nil {
		m.diskWrite.Observe(took.Seconds())
	}
}

// Group tells what this member is in the group.
func (m *Metrics) Group(leader, quorum bool, term uint64) {
	if m == nil {
		return
	}
	m.leader.Set(number(leader))
	m.quorum.Set(number(quorum))
	m.term.Set(float64(term))
}

// Failover counts a leadership won: "election", or "hand_over" when the leader before handed over.
func (m *Metrics) Failover(cause string) {
	if m != nil {
		m.failovers.add(cause, 1)
	}
}

// StepDown counts a hand-over that somebody asked for.
func (m *Metrics) StepDown() {
	if m != nil {
		m.stepDowns.Inc()
	}
}

// SetAside counts a block kept from the replicas that this upstream alone has told.
func (m *Metrics) SetAside(upstream string) {
	if m != nil {
		m.setAside.add(upstream, 1)
	}
}

// ActiveSwitch counts another replica being made active.
func (m *Metrics) ActiveSwitch() {
	if m != nil {
		m.activeSwitches.Inc()
	}
}

// Replicas tells how many replicas are in each state; every replica counts once.
func (m *Metrics) Replicas(active, standby, behind, syncing, observer int) {
	if m == nil {
		return
	}
	m.replicas.set("active", float64(active))
	m.replicas.set("standby", float64(standby))
	m.replicas.set("behind", float64(behind))
	m.replicas.set("syncing", float64(syncing))
	m.replicas.set("observer", float64(observer))
}

// Upstreams tells how many upstreams are in each state.
func (m *Metrics) Upstreams(connected, connecting, refused, unreachable int) {
	if m == nil {
		return
	}
	m.upstreams.set("connected", float64(connected))
	m.upstreams.set("connecting", float64(connecting))
	m.upstreams.set("refused", float64(refused))
	m.upstreams.set("unreachable", float64(unreachable))
}

// Peer tells the round trip to another member and its clock's offset from ours.
func (m *Metrics) Peer(name string, rtt, clockOffset time.Duration) {
	if m == nil {
		return
	}
	m.peerRTT.set(name, rtt.Seconds())
	m.clockOffset.set(name, clockOffset.Seconds())
}

// PeerGone drops what Peer has told of a member: it is not measured any more.
func (m *Metrics) PeerGone(name string) {
	if m == nil {
		return
	}
	m.peerRTT.drop(name)
	m.clockOffset.drop(name)
}

// scraped tells what is found out for each scrape.
func (m *Metrics) scraped(ready bool, live int) {
	m.ready.Set(number(ready))
	m.live.Set(float64(live))
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
