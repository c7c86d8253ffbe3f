package simnet

import (
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// An Event is something that happened at a node.
type Event struct {
	Time time.Time
	Kind EventKind
	// Node is the agent name of the node it happened at.
	Node string
	// Peer is the agent name of the peer involved, its address before its handshake.
	Peer string
	// Inside is set if the peer is a node of the same network, not a relay.
	Inside bool
	// Block is the block involved.
	Block *Block
	// Linked is set on Received if the node had the block's parent, or the block
	// is not above the node's last irreversible one, or it came from the peer at
	// once after its parent, of which this was so.
	Linked bool
	// Count is the number of blocks removed by a Switched, or of a round.
	Count int
	// Producer is who a round belongs to.
	Producer wire.Name
	// Detail is a reason, for people.
	Detail string
}

// EventKind says what happened.
type EventKind uint8

// The kinds of events.
const (
	RoundBegan  EventKind = iota // a producer's 12 slots begin
	Received                     // the first block frame with this id from this peer
	Duplicate                    // a block this node had
	Unlinkable                   // a block without a known parent
	Invalid                      // a block or vote that breaks the rules; the peer is closed
	Ignored                      // a block at or below the root, or a sibling's while producing
	Applied                      // a block became the head
	Switched                     // the head moved to another branch, removing Count blocks
	Produced                     // this node signed a block
	Paused                       // a producer stops in its own round
	Resumed                      // and goes on
	Connected                    // a peer has shaken hands
	ConnRefused                  // too many connections from one host
	GoneAway                     // the peer sent go_away
	Silent                       // the peer was closed for silence
	SyncStalled                  // a sync request was not served in time
	Started                      // a replica or finalizer was started
	Killed                       // it was killed
	Frozen                       // it was stopped as by SIGSTOP
	Thawed                       // it goes on
	Voted                        // a finalizer of this node votes for the block
	Failed                       // a block that this node was to produce came to nothing
)

var eventNames = [...]string{
	"round", "received", "duplicate", "unlinkable", "invalid", "ignored", "applied", "switched", "produced",
	"paused", "resumed", "connected", "refused", "go_away", "silent", "sync stalled", "started", "killed",
	"frozen", "thawed", "voted", "failed",
}

// String is the kind in a word.
func (k EventKind) String() string {
	if int(k) < len(eventNames) {
		return eventNames[k]
	}
	return "unknown"
}

func (n *Node) tell(e Event) {
	e.Time, e.Node = time.Now(), n.cfg.Name
	n.cfg.Watch(e)
}
