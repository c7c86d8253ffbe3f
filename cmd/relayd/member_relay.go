package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/thinrelay/thinrelay/cluster/storage"
	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/downstream"
	"github.com/thinrelay/thinrelay/relay/upstream"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// agent is how relays name themselves to nodeos.
const agent = "thinrelay"

// relayConfig translates the configuration for the node.
func (m *member) relayConfig() (relay.Config, error) {
	c := m.cfg
	keys, err := c.PeerPublicKeys()
	if err != nil {
		return relay.Config{}, err
	}
	key, err := c.UpstreamKey()
	if err != nil {
		return relay.Config{}, err
	}
	producers := make([]wire.Name, len(c.Producers))
	for i, p := range c.Producers {
		if producers[i], err = wire.ParseName(p); err != nil {
			return relay.Config{}, fmt.Errorf("producers[%d]: %w", i, err)
		}
	}
	chain := m.parts.chain
	if chain == nil {
		if chain, err = pinnedChain(c); err != nil {
			return relay.Config{}, err
		}
	}
	m.chain = chain
	mode := director.Votes
	if c.Failover.Mode == ModePassive {
		mode = director.Passive
	}
	return relay.Config{
		Name: c.Node, Producers: producers, Mode: mode,
		Prefer: c.Failover.Prefer, Observers: c.Downstream.Observers,
		LateAfter: c.Failover.LateAfter, UnresolvedAfter: c.Failover.UnresolvedAfter,
		SlotLength: m.parts.slot, Clock: m.parts.clock, Chain: chain,
		Downstream: downstream.Config{Allow: c.Downstream.Allow, PeerKeys: keys, PeerKey: key, Agent: agent},
		Upstream:   upstream.Config{Peers: c.Upstream.Peers, PeerKey: key, Agent: agent, Dial: m.parts.dial},
		DialSync:   m.dialSync(),
		Observe:    m.journal.observe,
		Meter:      m.metrics,
		Logger:     m.log,
	}, nil
}

// chainFile is where a learned chain id is pinned, in data_dir.
const chainFile = "chain_id"

// pinnedChain is the chain id of the configuration, or of an earlier start, or
// one that will be learned and pinned.
func pinnedChain(c Config) (*relay.ChainID, error) {
	if id, ok := c.Chain(); ok {
		return relay.NewChainID(id, nil), nil
	}
	path := filepath.Join(c.DataDir, chainFile)
	pin := func(id wire.ID) error { return storage.ReplaceFile(path, []byte(id.String()+"\n")) }
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return relay.NewChainID(wire.ID{}, pin), nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the pinned chain id: %w", err)
	}
	id, err := wire.ParseID(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("read the pinned chain id in %s: %w (delete the file to learn it again)", path, err)
	}
	return relay.NewChainID(id, nil), nil
}
