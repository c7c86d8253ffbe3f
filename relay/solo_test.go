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
	held  chan struct{} // nothing is agreed on until it is closed; nil: at once
}

var _ relay.Proposer = (*solo)(nil)

// Propose implements relay.Proposer.
func (s *solo) Propose(_ context.Context, t fsm.Transition) error {
	s.mu.Lock()
	held := s.held
	s.mu.Unlock()
	if held != nil {
		<-held
	}
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

// hold keeps the group from agreeing on anything until the function that it returns is
// called.
func (s *solo) hold() (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := make(chan struct{})
	s.held = held
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.held = nil
		close(held)
	}
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
