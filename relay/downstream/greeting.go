package downstream

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// check reads the first frame of a connection and says whether its sender may stay.
func (c *Config) check(f *wire.Frame) (wire.Handshake, error) {
	if f.Type() != wire.TypeHandshake {
		return wire.Handshake{}, fmt.Errorf("%w but with %s", ErrNotHandshake, f.Type())
	}
	h, err := wire.ParseHandshake(f.Body())
	if err != nil {
		return wire.Handshake{}, fmt.Errorf("%w: %w", wire.ErrHandshake, err)
	}
	if h.Generation != 1 {
		return h, fmt.Errorf("%w of generation 1 but %d", ErrNotHandshake, h.Generation)
	}
	if h.Agent == c.Agent { // its node_id tells nothing: ours are new for each connection
		return h, ErrRelay
	}
	if id, known := c.ChainID(); known && h.ChainID != id {
		return h, fmt.Errorf("%w: it is on %s, we are on %s", ErrChain, h.ChainID, id)
	}
	if err := h.Valid(); err != nil {
		return h, err
	}
	return h, c.checkKey(&h)
}

// checkKey is nodeos's authenticate_peer for a list of keys (net_plugin.cpp:4161-4205).
func (c *Config) checkKey(h *wire.Handshake) error {
	if len(c.PeerKeys) == 0 {
		return nil
	}
	key, err := wire.CheckHandshake(h)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrKey, err)
	}
	for _, k := range c.PeerKeys {
		if k.Curve == key.Curve && bytes.Equal(k.Content, key.Content) {
			return nil
		}
	}
	return fmt.Errorf("%w: %s is not listed", ErrKey, key)
}

// echo is our handshake: the replica's own head and root, so that neither side ever takes the other for ahead or behind
// and live blocks flow at once (p2p notes, 3.6). node_id and p2p_address are new for each connection: two connections
// that share either may be taken for duplicates (net_plugin.cpp:3334-3357).
func (c *Config) echo(theirs *wire.Handshake) wire.Handshake {
	h := wire.Handshake{
		NetworkVersion: wire.OfferVersion(theirs.Version()),
		ChainID:        theirs.ChainID,
		Time:           time.Now().UnixNano(),
		RootNum:        theirs.RootNum,
		RootID:         theirs.RootID,
		HeadNum:        theirs.HeadNum,
		HeadID:         theirs.HeadID,
		OS:             "linux",
		Agent:          c.Agent,
		Generation:     1,
	}
	_, _ = rand.Read(h.NodeID[:]) // never fails: see crypto/rand
	h.P2PAddress = c.NodeName + ":9876 - " + hex.EncodeToString(h.NodeID[:])[:7]
	return h
}

// sign makes a handshake of ours ready to be sent.
func (c *Config) sign(h *wire.Handshake) (*wire.Frame, error) {
	if c.PeerKey != nil {
		if err := wire.SignHandshake(h, c.PeerKey); err != nil {
			return nil, err
		}
	}
	return wire.Encode(h), nil
}
