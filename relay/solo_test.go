package relay_test

import (
	"context"
	"sync"

	"github.com/thinrelay/thinrelay/fsm"
	"github.com/thinrelay/thinrelay/relay"
)

// solo is a group of one in memory: what is proposed is applied at once.
type solo struct {
	mu    sync.Mutex
	state fsm.State
	term  uint64
	node  *relay.Node
}

var _ relay.Proposer = (*solo)(nil)

// Propose implements relay.Proposer.
func (s *solo) Propose(_ context.Context, t fsm.Transition) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next, err := s.state.Apply(t, s.term)
	if err != nil {
		return err
	}
	s.state = next
	s.node.Applied(next)
	return nil
}

// lead makes the node lead a new term until ctx ends.
func (s *solo) lead(ctx context.Context) error {
	s.mu.Lock()
	s.term++
	term := s.term
	s.node.Applied(s.state)
	s.mu.Unlock()
	return s.node.Lead(ctx, term, s)
}
