package relay

import (
	"errors"
	"fmt"
	"sync"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// ErrOtherChain is returned when a peer's chain is not the pinned one.
var ErrOtherChain = errors.New("the peer is on another chain than the one pinned")

// ChainID is the chain this relay serves. It is configured, or learned from
// the first upstream and then pinned.
type ChainID struct {
	mu  sync.Mutex
	id  wire.ID
	pin func(wire.ID) error
}

// NewChainID returns a chain id: the given one, or (zero) one that is learned
// and handed to pin, which keeps it over restarts; pin may be nil.
func NewChainID(id wire.ID, pin func(wire.ID) error) *ChainID {
	return &ChainID{id: id, pin: pin}
}

// Get returns the chain id; false while none is known.
func (c *ChainID) Get() (wire.ID, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.id, c.id != wire.ID{}
}

// Learn pins id if none is known, and returns ErrOtherChain when another is.
func (c *ChainID) Learn(id wire.ID) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.id == id:
		return nil
	case c.id != wire.ID{}:
		return fmt.Errorf("chain %s, not %s: %w", id, c.id, ErrOtherChain)
	}
	if c.pin != nil {
		if err := c.pin(id); err != nil {
			return fmt.Errorf("pin chain id: %w", err)
		}
	}
	c.id = id
	return nil
}
