package cluster

import (
	"time"

	"github.com/hashicorp/raft"

	"github.com/thinrelay/thinrelay/fsm"
)

// ReadGreeting and AppendGreeting are readGreeting and appendGreeting.
var (
	ReadGreeting   = readGreeting
	AppendGreeting = appendGreeting
)

// Retune is retune.
var Retune = retune

// Plan is what decide returns.
type Plan struct {
	Found  []Peer
	Start  bool
	Reason string
}

// Decide is decide.
func Decide(self Peer, founding bool, peers []Peer, expect int) Plan {
	p := decide(self, founding, peers, expect)
	return Plan{p.found, p.start, p.reason}
}

// NextChange is nextChange; alive and caught list the servers that are.
func NextChange(self raft.ServerID, cluster string, servers []raft.Server, peers []Peer, alive, caught map[raft.ServerID]bool) (verb string, server raft.Server, obstacles []string) {
	c, obstacles := nextChange(self, cluster, servers, peers, func(id raft.ServerID) known { return known{alive[id], caught[id]} })
	return string(c.verb), c.server, obstacles
}

// Chooser is chooser.
type Chooser struct{ c *chooser }

// NewChooser returns a chooser for a leadership that began at from.
func NewChooser(self string, holdOff, minTenure time.Duration, from time.Time) *Chooser {
	return &Chooser{newChooser(self, holdOff, minTenure, from)}
}

// Decide is decide.
func (c *Chooser) Decide(now time.Time, classes map[string]int, prefer []string, ready func(string) bool) string {
	return c.c.decide(now, classes, prefer, ready)
}

// ApplyRaw puts arbitrary bytes into the log, as a member of another release would.
func (g *Group) ApplyRaw(b []byte) error { return g.running().raft.Apply(b, time.Second).Error() }

// SnapshotEvery makes members take snapshots after so many entries, of which they keep so many behind it, and look that often.
func (c *Config) SnapshotEvery(entries, keep uint64, look time.Duration) {
	c.snapshotThreshold, c.trailingLogs, c.snapshotInterval = entries, keep, look
}

// Snapshot makes this member take a snapshot now.
func (g *Group) Snapshot() error { return g.running().raft.Snapshot().Error() }

// Contacts returns of how many members something is known that they have answered.
func (g *Group) Contacts() int {
	m := g.running().meter
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.contacts)
}

// RoundTrips is what a leader takes the distance of a member for, where timeouts depend on it, after heartbeats that took so long.
func RoundTrips(took ...time.Duration) time.Duration {
	m := &meter{contacts: make(map[raft.ServerID]contact)}
	for _, d := range took {
		m.note("member", time.Now(), d, &raft.AppendEntriesRequest{}, &raft.AppendEntriesResponse{Success: true})
	}
	return m.maxRTT([]raft.Server{{ID: "member"}})
}

// Forgotten says whether a log that was at a place has lost something, now that it is at another: log term, index, term each.
func Forgotten(was, is [3]uint64) bool {
	return position{was[0], was[1], was[2]}.forgotten(position{is[0], is[1], is[2]})
}

// ChangesNothing is changesNothing.
func ChangesNothing(call any, term uint64, state raft.RaftState) bool {
	return changesNothing(call, term, state)
}

// NewInbox returns an inbox whose raft has not started.
func NewInbox(t *raft.NetworkTransport) raft.Transport {
	return newInbox(t, raft.NewInmemStore(), func(f func()) bool { f(); return true })
}

// TakeSnapshot is takeSnapshot.
func TakeSnapshot(r *raft.Raft, c *raft.RPC) bool { return takeSnapshot(r, c) }

// WithConfigurations is snapshots.
func WithConfigurations(s raft.SnapshotStore) raft.SnapshotStore { return snapshots{SnapshotStore: s} }

// NewCommitted is committed, and what it knows of a server: that it is in the last committed configuration, and that it is not.
func NewCommitted(f *fsm.FSM) (c raft.ConfigurationStore, has func(id raft.ServerID) (with, without bool)) {
	known := &committed{FSM: f}
	return known, func(id raft.ServerID) (with, without bool) { return known.with(id), known.without(id) }
}

// Amend is amend.
func Amend(r *raft.Raft, logs raft.LogStore, c *raft.RPC) { amend(r, logs, c) }

// NewMeter returns a meter, and what tells it its raft.
func NewMeter(t *raft.NetworkTransport, logs raft.LogStore) (meter raft.Transport, started func(*raft.Raft)) {
	m := newMeter(t, logs, func(f func()) bool { f(); return true })
	return m, m.raft.Store
}
