package cluster

import (
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
	// rtt is the round trip of heartbeats, smoothed; 0 when none was measured.
	rtt time.Duration
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

// AppendEntries sends entries or, without any, a heartbeat.
func (m *meter) AppendEntries(id raft.ServerID, target raft.ServerAddress, req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	start := time.Now()
	if err := m.inbox.AppendEntries(id, target, req, resp); err != nil {
		return err
	}
	m.note(id, time.Now(), time.Since(start), req, resp)
	return nil
}

func (m *meter) note(id raft.ServerID, now time.Time, took time.Duration, req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if req.Term > m.term { // what was known under an earlier leadership no longer holds, distances do
		m.term = req.Term
		for id, c := range m.contacts {
			m.contacts[id] = contact{rtt: c.rtt}
		}
	}
	if req.Term < m.term || resp.Term > req.Term {
		return
	}
	c := m.contacts[id]
	c.answered = now
	switch heartbeat := req.PrevLogEntry == 0 && len(req.Entries) == 0; {
	case !heartbeat && resp.Success:
		c.match = max(c.match, req.PrevLogEntry+uint64(len(req.Entries)))
	case heartbeat && c.rtt == 0:
		c.rtt = took
	case heartbeat: // one that was under way while a process stood still tells nothing of the distance
		c.rtt += (min(took, 2*c.rtt) - c.rtt) / 8
	}
	m.contacts[id] = c
}

// of returns what is known of a member in the given term.
func (m *meter) of(id raft.ServerID, term uint64) contact {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.contacts[id]
	if m.term != term {
		return contact{rtt: c.rtt}
	}
	return c
}

// maxRTT returns the longest round trip measured to one of the servers.
func (m *meter) maxRTT(servers []raft.Server) (rtt time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range servers {
		rtt = max(rtt, m.contacts[s.ID].rtt)
	}
	return rtt
}
