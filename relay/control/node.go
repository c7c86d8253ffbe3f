package control

import (
	"context"
	"time"
)

// Node is the relay as the control API sees it. All methods may be called at
// any time from any goroutine.
type Node interface {
	// Status reports what this member knows now. It must answer without a
	// quorum, from memory, in well under a second.
	Status(ctx context.Context) (Status, error)

	// StepDown hands leadership over, to the member named to or, when to is
	// empty, to the one best able to lead. A member that does not lead passes
	// the call to the leader. It returns once the outcome is verified; timeout
	// bounds the hand-over, ctx the whole call. Refusals are *[Error] values
	// where the caller can do something about them; [CodeNotLeader] says that
	// the leader has changed, so that nothing was done.
	StepDown(ctx context.Context, to string, timeout time.Duration) (StepDown, error)

	// Blocks returns the most recent blocks, newest first, at most limit.
	Blocks(limit int) []Block

	// Events returns the stream of events from now on; it is closed when ctx
	// ends. The server subscribes once and drains it without blocking.
	Events(ctx context.Context) <-chan Event
}

// Membership is implemented by a [Node] whose group can be changed at run time.
type Membership interface {
	// RemoveMember takes the member out of the group for good. It must refuse
	// to remove the last voter.
	RemoveMember(ctx context.Context, name string) error
}
