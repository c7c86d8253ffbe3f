package simnet

import (
	"fmt"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// newUpstream makes the i-th listening node. The first holds the extra
// finalizers.
func (w *Network) newUpstream(i int, listen string, blocks []*Block) (*Node, error) {
	cfg := w.nodeConfig(fmt.Sprintf("up-%d", i+1))
	cfg.Listen, cfg.MaxNodesPerHost, cfg.Blocks, cfg.NoBlockLog = listen, w.cfg.MaxNodesPerHost, blocks, w.cfg.NoBlockLog
	if i == 0 {
		for _, name := range w.cfg.Extra {
			extra, err := wire.ParseName(name)
			if err != nil {
				return nil, fmt.Errorf("finalizer %q: %w", name, err)
			}
			cfg.Voters = append(cfg.Voters, w.voter(extra))
		}
	}
	return NewNode(cfg)
}

// nodes are all nodes of the network, producers first.
func (w *Network) nodes() (out []*Node) {
	for _, name := range w.cfg.Others {
		out = append(out, w.producers[name])
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return append(out, w.upstreams...)
}

// Upstream is the i-th listening node. After StartUpstream it is another one.
func (w *Network) Upstream(i int) *Node {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.upstreams[i]
}

// alive is the first upstream that runs; the first of all if none does.
func (w *Network) alive() *Node {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.upstreams {
		if n.ctx == nil || n.ctx.Err() == nil {
			return n
		}
	}
	return w.upstreams[0]
}

// Addrs are the addresses of the upstreams, after Start.
func (w *Network) Addrs() (out []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.upstreams {
		out = append(out, n.Addr())
	}
	return out
}

// KillUpstream ends an upstream as kill -9 does.
func (w *Network) KillUpstream(i int) { w.Upstream(i).Close() }

// StartUpstream starts an upstream that was killed, at its old address and on
// what is irreversible at another node, as from a snapshot of that.
func (w *Network) StartUpstream(i int) error {
	old := w.Upstream(i)
	var blocks []*Block
	for _, n := range w.nodes() {
		if blocks = n.irreversible(); len(blocks) > 0 {
			break
		}
	}
	n, err := w.newUpstream(i, old.Addr(), blocks)
	if err != nil {
		return err
	}
	if err := n.Start(); err != nil {
		return err
	}
	for _, other := range w.nodes() {
		if other != old {
			mesh(n, other)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.upstreams[i] = n
	return nil
}
