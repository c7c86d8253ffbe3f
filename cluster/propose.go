package cluster

import (
	"context"
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/thinrelay/thinrelay/fsm"
)

// Propose proposes to move the mark and waits until that is applied here, which makes it known to a majority's disks. It returns nil
// when it was accepted, and one of fsm's errors when it was refused, which is final. After every other error the fate of
// the proposal is open: it may have been or may yet be accepted. [ErrNotLeader] says that it was not even tried.
//
// t.Term must be the term that is led. Without a quorum raft may not answer for long: ctx bounds the wait.
func (g *Group) Propose(ctx context.Context, t fsm.Transition) error {
	n := g.running()
	if n == nil {
		return fmt.Errorf("propose: %w", ErrStopped)
	}
	if led := g.leadership().term; led == 0 || led != t.Term {
		return fmt.Errorf("propose in term %d, leading %d: %w", t.Term, led, ErrNotLeader)
	}
	data := t.Append(make([]byte, 0, fsm.TransitionSize))
	f, err := g.await(ctx, func() raft.Future { return n.raft.Apply(data, enqueueTimeout) })
	if err != nil {
		return fmt.Errorf("propose %s: %w", t.To, err)
	}
	if err, refused := f.(raft.ApplyFuture).Response().(error); refused {
		return fmt.Errorf("propose %s: %w", t.To, err)
	}
	return nil
}
