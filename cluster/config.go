package cluster

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/thinrelay/thinrelay/cluster/storage"
	"github.com/thinrelay/thinrelay/fsm"
)

// Peer is what a member announces of itself, and what it hears from the others.
type Peer struct {
	// Name is the node's name.
	Name string
	// RaftID is the name of its log.
	RaftID string
	// Addr is where its Raft listener can be reached.
	Addr string
	// ClusterID is the cluster it belongs to, empty when it has joined none.
	ClusterID string
	// HasState says that its log is not empty.
	HasState bool
	// Joining says that all of its log is of ClusterID, and that it was in none of its committed configurations yet, as far as it knows.
	Joining bool
	// Joins says that it joins a cluster only, see Config.Expect.
	Joins bool
}

// Config is the configuration of a [Group].
type Config struct {
	// Node is the unique name of this node.
	Node string
	// DataDir is where the state is kept. It is opened unless Store is given.
	DataDir string
	// WriteDeadline is how long a log write may take before leadership is given up; 0 for the default of package storage.
	WriteDeadline time.Duration
	// Store, when not nil, is used instead of DataDir. The group closes it.
	Store *storage.Store
	// Wrote is told how long each write of the log took. May be nil. It must not block.
	Wrote func(took time.Duration)
	// Layer carries Raft. The group closes it.
	Layer raft.StreamLayer
	// Advertise is the address the others reach Layer at; the address of Layer when empty.
	Advertise string
	// FSM holds the mark. It must be new: no state, used by no other group.
	FSM *fsm.FSM
	// Expect is the number of members that found a cluster; 0 to join one only.
	Expect int
	// Settle is how long Expect members must be seen without change before the cluster is founded, 1 s by default.
	Settle time.Duration
	// Peers returns what the other members announce, of those that are alive. May be nil. It must not block.
	Peers func() []Peer
	// Ready says why a member cannot lead now, nil when it can. May be nil: all can. It must not block.
	Ready func(node string) error
	// Prefer returns the members to hand over to, best first, when none is named. May be nil: the nearest one. It must not block.
	Prefer func() []string
	// Usefulness returns for each member that is alive how good a leader it would make, in classes: a member of a higher class can do something
	// that one of a lower class cannot. May be nil: leadership stays where it is. It must not block.
	Usefulness func() map[string]int
	// HoldOff is how long another member must be of a higher class before leadership is handed to it, 500 ms by default.
	HoldOff time.Duration
	// MinTenure is how long a leadership lasts at least before it is handed over for usefulness, 10 s by default.
	MinTenure time.Duration
	// RecallWait is how long a member with a log waits, when it starts, for another one's memory of that log ([Group.Recall]); 0 when
	// nobody calls Recall.
	RecallWait time.Duration
	// Timeouts are the timeouts of Raft; zero to derive them from what is measured.
	Timeouts Timeouts
	// RTT returns the longest round trip between members that is known from elsewhere, 0 when nothing is. May be nil: a follower then
	// knows only what it measured when it started, the leader what its heartbeats take.
	RTT func() time.Duration
	// Logger gets what an operator can act on. May be nil.
	Logger hclog.Logger

	// For tests, which cannot wait for the usual number of entries. 0: the default.
	snapshotThreshold, trailingLogs uint64
	snapshotInterval                time.Duration
}

func (c Config) withDefaults() (Config, error) {
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	if c.Peers == nil {
		c.Peers = func() []Peer { return nil }
	}
	if c.Ready == nil {
		c.Ready = func(string) error { return nil }
	}
	if c.Prefer == nil {
		c.Prefer = func() []string { return nil }
	}
	if c.RTT == nil {
		c.RTT = func() time.Duration { return 0 }
	}
	if c.Settle <= 0 {
		c.Settle = time.Second
	}
	if c.HoldOff <= 0 {
		c.HoldOff = 500 * time.Millisecond
	}
	if c.MinTenure <= 0 {
		c.MinTenure = 10 * time.Second
	}
	if c.snapshotThreshold == 0 {
		c.snapshotThreshold, c.trailingLogs = snapshotThreshold, trailingLogs
	}
	switch {
	case c.Node == "":
		return c, errors.New("no node name")
	case c.Layer == nil || c.FSM == nil:
		return c, errors.New("no layer or no FSM")
	case c.Expect < 0:
		return c, fmt.Errorf("bootstrap_expect %d: must not be negative", c.Expect)
	case c.FSM.State() != fsm.State{}:
		return c, errors.New("the FSM has been used")
	}
	if c.Advertise == "" {
		c.Advertise = c.Layer.Addr().String()
	}
	return c, c.Timeouts.Validate()
}
