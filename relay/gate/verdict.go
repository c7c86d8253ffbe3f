package gate

import "github.com/thinrelay/thinrelay/fsm"

// Action is what the caller must do with an offered block.
type Action uint8

const (
	// Refuse: the block may not leave.
	Refuse Action = iota
	// Wait: the block may leave once the proposal under way is applied.
	Wait
	// Reserve: propose the transition, then offer the block again.
	Reserve
	// Emit: send the block now and propose the transition beside the send.
	Emit
)

// Reason says why a block was refused or has to wait. The texts are part of
// the contract: metrics and logs use them.
type Reason uint8

const (
	// None: the block was granted.
	None Reason = iota
	// NotOurs: the producer is not one of ours.
	NotOurs
	// Unlinked: the network does not have the parent. The block may be
	// offered again when it does.
	Unlinked
	// Height: the cluster has already forwarded, or given away, this height.
	Height
	// Slot: the slot is not later than the mark's.
	Slot
	// Source: another replica holds the right to follow the mark, or this
	// leader cannot know whether an earlier one has used it.
	Source
	// NotLeader: this relay does not lead.
	NotLeader
	// Pending: a proposal is under way.
	Pending
	// Duplicate: the block has been forwarded already.
	Duplicate
)

// String returns the reason's name as metrics, logs and the API use it.
func (r Reason) String() string {
	names := [...]string{"none", "not_ours", "unlinked", "height", "slot", "source", "not_leader", "pending", "duplicate"}
	if int(r) >= len(names) {
		return "unknown"
	}
	return names[r]
}

// Verdict is the gate's answer to an offer.
type Verdict struct {
	Action  Action
	Reason  Reason
	Propose fsm.Transition
}

func refuse(r Reason) Verdict { return Verdict{Action: Refuse, Reason: r} }
