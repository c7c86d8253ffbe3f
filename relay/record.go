package relay

import (
	"time"

	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/gate"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// RecordKind says what a Record is about.
type RecordKind uint8

// What can happen. The comments name the fields that are set beside At.
const (
	Forwarded    RecordKind = iota // Block, Source, Name, Delay, Lead
	Refused                        // Block, Source, Name, Reason
	Network                        // Block: a block of the network became known
	Missed                         // Block.Slot: a slot of ours passed without a block
	ActiveChange                   // Source, Name, Cause
	ReplicaUp                      // Source, Name, Text (address)
	ReplicaDown                    // Source, Name, Err
	ReplicaState                   // Source, Name, Text: behind, syncing, live
	UpstreamUp                     // Name
	UpstreamDown                   // Name, Err
	LinkUp                         // Name
	LinkDown                       // Name, Err
	Leading                        // Term
	Following                      // Term, Err
	VoteConflict                   // Source, Name, Block: two nodes with one finalizer key
	Equivocation                   // Block, Source, Name: one replica, two children of one parent
	VoteUp                         // a vote of ours went up
	VoteDropped                    // Text: the reason
	ModeChange                     // Text: the mode in force
	Unresolved                     // Block.ID: the mark; Text
	SetAside                       // Block, Name (the upstream), Text: kept from the replicas
	Readmitted                     // Block, Name (the upstream), Text: no longer so
)

// Record is one event, as a value: making and passing one allocates nothing.
type Record struct {
	Kind   RecordKind
	At     time.Time
	Block  wire.Block
	Source wire.ID
	// Name is the agent name of a replica, the address of an upstream, or the
	// name of a relay.
	Name   string
	Reason gate.Reason
	Cause  director.Cause
	// Delay is how long the block took from the end of its read until it was
	// queued to the upstreams.
	Delay time.Duration
	// Lead is the time left until the block's slot when it was forwarded;
	// negative when it was late.
	Lead time.Duration
	Term uint64
	Text string
	Err  error
}

// record passes r to the observer without waiting. When the observer does not
// keep up, records are lost and counted.
func (h *hub) record(r Record) {
	if r.At.IsZero() {
		r.At = time.Now()
	}
	select {
	case h.records <- r:
	default:
		h.lostRecords++
	}
}

// observe hands records to Config.Observe until they are closed.
func observe(records <-chan Record, f func(Record)) {
	for r := range records {
		f(r)
	}
}
