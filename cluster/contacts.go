package cluster

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

var (
	_ raft.Transport   = (*meter)(nil)
	_ raft.WithPreVote = (*meter)(nil)
	_ raft.WithClose   = (*meter)(nil)
)

// contact is what a leader knows of another member.
type contact struct {
	// answered is when it last answered an AppendEntries.
	answered time.Time
	// later is when it last answered that its term is later than ours.
	later time.Time
	// rtt is the round trip of heartbeats: the shortest of the first ones, smoothed from then on; 0 when none was measured.
	rtt   time.Duration
	beats int // how many were measured, up to firstBeats
	// silent says that the last call for its vote got no answer.
	silent bool
	// match is the last index known to be in its log as it is in ours.
	match uint64
}

// meter is raft's transport with an eye on the answers: raft tells neither how far away nor how far behind a follower is.
type meter struct {
	*inbox

	mu       sync.Mutex
	term     uint64
	contacts map[raft.ServerID]contact
}

func newMeter(t *raft.NetworkTransport, logs raft.LogStore, beside func(f func()) bool) *meter {
	return &meter{inbox: newInbox(t, logs, beside), contacts: make(map[raft.ServerID]contact)}
}

// The pause before entries are sent again to a member that answers, and what it grows to; and what it grows to for a snapshot, of which each try makes files.
const firstAgain, lastAgain, lastSnapshotAgain = 20 * time.Millisecond, 500 * time.Millisecond, 2 * time.Second

// AppendEntries sends entries or, without any, a heartbeat. Entries that do not get there, or are not written there, are sent again here, for as long as
// this member leads and the other is a member. Raft would wait before it tries again, twice as long each time, up to ten seconds (hashicorp/raft
// v1.8.0, replicateTo): a member that was away for long, or had no space, would answer heartbeats and get no entry, so that with
// one more away the leader has a majority and agrees on nothing.
//
// A call goes out only if this member leads still when it has been put together. Raft does that beside its main loop, from the log as it is read entry by
// entry, and the main loop may cut that meanwhile for a successor and write other entries (hashicorp/raft v1.8.0, setupAppendEntries): half of one log and half
// of another. It is no leader any more before it does so. Nor does a heartbeat go out then: raft ends them with its main loop's leadership, which waits for the
// later term to be written, for as long as the disk is full or hangs; who still hears the leader elects nobody.
func (m *meter) AppendEntries(id raft.ServerID, target raft.ServerAddress, req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if !m.leads(req.Term) {
		return ErrLostLeadership
	}
	for pause := firstAgain; ; pause = min(2*pause, lastAgain) {
		start := time.Now()
		err := m.inbox.AppendEntries(id, target, req, resp)
		if err == nil {
			m.note(id, time.Now(), time.Since(start), req, resp)
		}
		if err == nil && !unwritten(req, resp) || isHeartbeat(req) || !m.again(raft.Server{ID: id, Address: target}, req.Term, start, pause) {
			return err
		}
	}
}

// InstallSnapshot sends a snapshot. One that does not get there, or has no space there, is sent again here, as entries are: the pauses of raft are the same. Nor does one go
// out when this member leads no more.
func (m *meter) InstallSnapshot(id raft.ServerID, target raft.ServerAddress, req *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	if !m.leads(req.Term) {
		return ErrLostLeadership
	}
	whole, err := io.ReadAll(data)
	if err != nil {
		return fmt.Errorf("read the snapshot: %w", err)
	}
	for pause := firstAgain; ; pause = min(2*pause, lastSnapshotAgain) {
		start := time.Now()
		err := m.inbox.InstallSnapshot(id, target, req, resp, bytes.NewReader(whole))
		if err == nil && (resp.Success || resp.Term > req.Term) || !m.again(raft.Server{ID: id, Address: target}, req.Term, start, pause) {
			return err
		}
	}
}

// RequestVote asks for a vote.
func (m *meter) RequestVote(id raft.ServerID, target raft.ServerAddress, req *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	return m.asked(id, m.inbox.RequestVote(id, target, req, resp))
}

// RequestPreVote asks whether there would be a vote.
func (m *meter) RequestPreVote(id raft.ServerID, target raft.ServerAddress, req *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	return m.asked(id, m.inbox.RequestPreVote(id, target, req, resp))
}

// asked notes whether a member has answered a candidate, and returns the call's error.
func (m *meter) asked(id raft.ServerID, err error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.contacts[id]
	c.silent = err != nil
	m.contacts[id] = c
	return err
}

// isHeartbeat says whether a call is one of those that raft sends beside its entries.
func isHeartbeat(req *raft.AppendEntriesRequest) bool {
	return req.PrevLogEntry == 0 && len(req.Entries) == 0
}

// unwritten says whether entries are refused for no other reason than that they could not be written: they fit, and there is nothing in their place.
func unwritten(req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) bool {
	return !resp.Success && !resp.NoRetryBackoff && resp.Term == req.Term && len(req.Entries) > 0 && resp.LastLog < req.Entries[0].Index
}

// leads says whether this member leads in a term.
func (m *meter) leads(term uint64) bool {
	r := m.raft.Load()
	return r != nil && r.State() == raft.Leader && r.CurrentTerm() == term
}

// again waits until a member has answered something since a call to it began that failed, and says whether to make that again.
func (m *meter) again(to raft.Server, term uint64, began time.Time, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-m.closed:
			return false
		}
		if !m.leads(term) || !slices.ContainsFunc(m.raft.Load().GetConfiguration().Configuration().Servers, func(s raft.Server) bool { return s.ID == to.ID && s.Address == to.Address }) {
			return false
		}
		if c := m.of(to.ID, term); c.answered.After(began) || c.later.After(began) { // raft looks for a later term in answers to entries alone
			return true
		}
		timer.Reset(firstAgain)
	}
}

func (m *meter) note(id raft.ServerID, now time.Time, took time.Duration, req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if req.Term > m.term { // what was known under an earlier leadership no longer holds, distances do
		m.term = req.Term
		for id, c := range m.contacts {
			m.contacts[id] = contact{rtt: c.rtt, beats: c.beats}
		}
	}
	if req.Term < m.term {
		return
	}
	c := m.contacts[id]
	if resp.Term > req.Term {
		c.later = now
		m.contacts[id] = c
		return
	}
	c.answered = now
	switch heartbeat := isHeartbeat(req); {
	case !heartbeat && resp.Success:
		c.match = max(c.match, req.PrevLogEntry+uint64(len(req.Entries)))
	case heartbeat && c.beats < firstBeats:
		if c.beats++; c.rtt == 0 || took < c.rtt {
			c.rtt = took
		}
	case heartbeat: // one that was under way while a process stood still tells nothing of the distance
		c.rtt += (min(took, 2*c.rtt) - c.rtt) / 8
	}
	m.contacts[id] = c
}

// firstBeats is the number of heartbeats after which a distance is believed. The first one waits for a connection, and for the member to write the term; one whose line is
// just cut waits for that. A leadership may end with it, and whoever led takes his timeouts from what he has measured, until he leads again.
const firstBeats = 8

// of returns what is known of a member in the given term.
func (m *meter) of(id raft.ServerID, term uint64) contact {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.contacts[id]
	if m.term != term {
		return contact{rtt: c.rtt, silent: c.silent}
	}
	return c
}

// keep forgets who is none of the servers: a member that loses its disk is another one each time.
func (m *meter) keep(servers []raft.Server) {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.contacts, func(id raft.ServerID, _ contact) bool {
		return !slices.ContainsFunc(servers, func(s raft.Server) bool { return s.ID == id })
	})
}

// maxRTT returns the longest round trip to one of the servers, of those that are known.
func (m *meter) maxRTT(servers []raft.Server) (rtt time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range servers {
		if c := m.contacts[s.ID]; c.beats == firstBeats {
			rtt = max(rtt, c.rtt)
		}
	}
	return rtt
}
