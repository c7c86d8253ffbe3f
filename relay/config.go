package relay

import (
	"context"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/thinrelay/thinrelay/fsm"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/downstream"
	"github.com/thinrelay/thinrelay/relay/upstream"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// Clock maps slots to wall time. Liveness (lateness, the next round) and
// displays use it; safety never does.
type Clock interface {
	// TimeOf returns a slot's nominal time.
	TimeOf(wire.Slot) time.Time
	// SlotAt returns the slot that has begun at t.
	SlotAt(t time.Time) wire.Slot
}

// SystemClock is the clock of the public chains: 500 ms slots since 2000.
type SystemClock struct{}

// TimeOf implements Clock.
func (SystemClock) TimeOf(s wire.Slot) time.Time { return s.Time() }

// SlotAt implements Clock.
func (SystemClock) SlotAt(t time.Time) wire.Slot { return wire.SlotAt(t) }

// Proposer is what the relay needs of the group while it leads.
type Proposer interface {
	// Propose asks the group to move the mark and returns once the transition
	// is applied (nil), refused, or can no longer be: then with an error, and
	// the relay gives its leadership up.
	Propose(context.Context, fsm.Transition) error
}

// Meter counts what is too frequent for a Record each. Its methods do not block.
type Meter interface {
	TransactionUp()
	TransactionDown()
	TransactionDropped()
	QueueOverflow()
	SyncBlocks(n int)
}

// unmetered counts nothing.
type unmetered struct{}

func (unmetered) TransactionUp()      {}
func (unmetered) TransactionDown()    {}
func (unmetered) TransactionDropped() {}
func (unmetered) QueueOverflow()      {}
func (unmetered) SyncBlocks(int)      {}

// Config is how a relay is set up. Name and Producers are required.
type Config struct {
	// Name is this relay's name in the group.
	Name string
	// Producers are our accounts: blocks by others are never emitted.
	Producers []wire.Name
	// Mode is how standbys are kept from signing.
	Mode director.Mode
	// Prefer lists agent names of replicas, best first, for choosing the
	// active one. A preference never interrupts a replica that does its work.
	Prefer []string
	// Observers are agent names of nodes that never produce (finalizer
	// hosts): they get everything and are never active.
	Observers []string
	// LateAfter is how long after its slot time a block of ours may come
	// before another replica is made active; 150 ms.
	LateAfter time.Duration
	// UnresolvedAfter is for chains with a single producer: see
	// docs/design.md. 0: never.
	UnresolvedAfter time.Duration
	// RingBlocks and RingBytes bound the ring of recent blocks: 4096 heights,
	// 512 MiB.
	RingBlocks, RingBytes int
	// SlotLength is 500 ms but in simulations.
	SlotLength time.Duration
	// Clock is SystemClock but in simulations.
	Clock Clock

	// Downstream and Upstream set up the connections. Chain id, sinks and
	// names are filled in by the node.
	Downstream downstream.Config
	Upstream   upstream.Config
	// Chain knows the chain id; nil: a ChainID that learns and forgets with
	// the process.
	Chain *ChainID

	// DialSync opens a stream to the leader for a range of blocks, for
	// replicas of a follower that are far behind; nil in a group of one.
	DialSync SyncDialer

	// Observe is told what happened, from one goroutine; it must keep up.
	Observe func(Record)
	// Meter counts transactions, overflows and fetched blocks; nil: nobody does.
	Meter  Meter
	Logger hclog.Logger
}

// withDefaults fills in what is zero.
func (c Config) withDefaults() Config {
	if c.LateAfter == 0 {
		c.LateAfter = 150 * time.Millisecond
	}
	if c.RingBlocks == 0 {
		c.RingBlocks = 4096
	}
	if c.RingBytes == 0 {
		c.RingBytes = 512 << 20
	}
	if c.SlotLength == 0 {
		c.SlotLength = wire.SlotInterval
	}
	if c.Clock == nil {
		c.Clock = SystemClock{}
	}
	if c.Chain == nil {
		c.Chain = NewChainID(wire.ID{}, nil)
	}
	if c.Observe == nil {
		c.Observe = func(Record) {}
	}
	if c.Meter == nil {
		c.Meter = unmetered{}
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	return c
}
