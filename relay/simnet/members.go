package simnet

import "github.com/thinrelay/thinrelay/relay/wire"

// ReplicaConfig is what differs between replicas.
type ReplicaConfig struct {
	// Name is the agent name, and the host name for Config.Host.
	Name string
	// Relays are the addresses to dial.
	Relays []string
	// Release is the nodeos version. Default Spring 1.2.
	Release Release
	// IgnoreVotes makes a replica that never pauses for missing votes.
	IgnoreVotes bool
	// Timing holds its durations.
	Timing Timing
	// Listen makes it listen as well: for tests without a relay.
	Listen string
	// Stale lets it produce before it has seen a fresh block: for chains without
	// other producers.
	Stale bool
	// Votes makes a producing replica hold our finalizer's key itself.
	Votes bool
}

// Replica prepares a replica of our producers. It starts on the history the
// network began with; StartBehind gives it less, or more.
func (w *Network) Replica(cfg ReplicaConfig) (*Replica, error) {
	ours, err := names(w.cfg.Ours)
	if err != nil {
		return nil, err
	}
	return w.replica(cfg, ours, cfg.Votes), nil
}

// Finalizer prepares a node that holds our finalizers' keys and never produces.
func (w *Network) Finalizer(cfg ReplicaConfig) *Replica { return w.replica(cfg, nil, true) }

func (w *Network) replica(cfg ReplicaConfig, producers []wire.Name, votes bool) *Replica {
	node := w.nodeConfig(cfg.Name)
	node.Release, node.Peers, node.Producers, node.Timing = cfg.Release, cfg.Relays, producers, cfg.Timing
	node.Stale = cfg.Stale
	if cfg.IgnoreVotes {
		node.Timing.VotePause = -1
	}
	if votes {
		for _, s := range w.cfg.Ours {
			name, err := wire.ParseName(s)
			if err != nil {
				continue
			}
			// Each host has a safety file of its own, also where two share a key.
			if v, ok := NewVoter(w.Chain, name); ok {
				node.Voters = append(node.Voters, v)
			}
		}
	}
	node.Watch = func(e Event) {
		w.Oracle.Replica(e)
		w.cfg.OnEvent(e)
	}
	r := NewReplica(node, func() []*Block { return w.alive().Blocks() })
	r.cfg.Listen = cfg.Listen
	w.mu.Lock()
	defer w.mu.Unlock()
	w.replicas = append(w.replicas, r)
	return r
}
