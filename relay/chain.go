package relay

import (
	"errors"
	"fmt"
	"sync"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// ErrOtherChain is returned when a peer's chain is not the pinned one.
var ErrOtherChain = errors.New("the peer is on another chain than the one pinned")

// ChainID is the chain this relay serves: configured, or learned and then
// pinned.
//
// A nodeos that is dialled answers a handshake with another chain id by go_away
// wrong_chain and closes (net_plugin.cpp:3358), so an upstream is slow to ask
// (see upstream.Config.Learned). A replica dials us and speaks first: its id is
// guessed to be right, and pinned once an upstream has accepted it.
type ChainID struct {
	mu     sync.Mutex
	pinned wire.ID
	guess  wire.ID
	known  chan struct{}
	pin    func(wire.ID) error
}

// NewChainID returns a chain id: the given one, or (zero) one that is learned
// and handed to pin, which keeps it over restarts; pin may be nil.
func NewChainID(id wire.ID, pin func(wire.ID) error) *ChainID {
	c := &ChainID{pinned: id, pin: pin, known: make(chan struct{})}
	if !id.IsZero() {
		close(c.known)
	}
	return c
}

// Get returns the pinned chain id; false while none is.
func (c *ChainID) Get() (wire.ID, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pinned, !c.pinned.IsZero()
}

// Guess returns the pinned chain id, else the one a replica told; false while
// there is neither.
func (c *ChainID) Guess() (wire.ID, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.pinned.IsZero() {
		return c.pinned, true
	}
	return c.guess, !c.guess.IsZero()
}

// Known returns a channel that is closed once Guess knows an id.
func (c *ChainID) Known() <-chan struct{} { return c.known }

// Hear takes a replica's word for the chain while none is pinned; the latest
// replica counts, so that one on the wrong chain does not spoil it for good.
func (c *ChainID) Hear(id wire.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.pinned.IsZero() || id.IsZero() {
		return
	}
	if c.guess.IsZero() {
		close(c.known)
	}
	c.guess = id
}

// Learn pins id if none is, and returns ErrOtherChain when another is.
func (c *ChainID) Learn(id wire.ID) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.pinned == id:
		return nil
	case !c.pinned.IsZero():
		return fmt.Errorf("chain %s, not %s: %w", id, c.pinned, ErrOtherChain)
	}
	if c.pin != nil {
		if err := c.pin(id); err != nil {
			return fmt.Errorf("pin chain id: %w", err)
		}
	}
	c.pinned = id
	if c.guess.IsZero() {
		close(c.known)
	}
	return nil
}
