package relay

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"github.com/thinrelay/thinrelay/fsm"
	"github.com/thinrelay/thinrelay/relay/downstream"
	"github.com/thinrelay/thinrelay/relay/upstream"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// Node is one relay. Run serves replicas until its context ends; Lead, the
// link methods and Applied are called by whoever joins the node to a group,
// while Run runs.
type Node struct {
	cfg    Config
	hub    *hub
	dialer atomic.Pointer[upstream.Dialer] // set while this relay leads
	done   context.Context                 // ends with Run
	end    context.CancelCauseFunc
}

// New returns a node that is not running yet.
func New(cfg Config) *Node {
	cfg = cfg.withDefaults()
	n := &Node{cfg: cfg, hub: newHub(cfg)}
	n.hub.node = n
	n.done, n.end = context.WithCancelCause(context.Background())
	return n
}

// Run accepts replicas on ln until ctx ends or the listener fails, and returns
// when every connection is closed and every goroutine has ended. It is called
// once.
func (n *Node) Run(ctx context.Context, ln net.Listener) error {
	var observer, hub sync.WaitGroup
	observer.Go(func() { observe(n.hub.records, n.cfg.Observe) })
	hub.Go(func() { n.hub.run(n.done) })

	err := downstream.Serve(ctx, ln, n.downstreamConfig(), replicaSink{n})
	n.end(context.Cause(ctx))
	hub.Wait()
	close(n.hub.records)
	observer.Wait()
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("serve replicas: %w", err)
	}
	return nil
}

// Applied tells the node the state the group has agreed on. It never blocks;
// calls come in the order of the states.
func (n *Node) Applied(s fsm.State) { n.hub.tell(s) }

// Reachable reports whether an outside peer accepts a TCP connection: what a
// follower tells the group about its fitness to lead. All peers are tried at
// once, so that one that is silent does not use up the others' time.
func (n *Node) Reachable(ctx context.Context) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var reached atomic.Bool
	var probes sync.WaitGroup
	for _, addr := range n.cfg.Upstream.Peers {
		probes.Go(func() {
			if upstream.Probe(ctx, n.cfg.Upstream.Dial, addr) {
				reached.Store(true)
				cancel() // one is enough
			}
		})
	}
	probes.Wait()
	return reached.Load()
}

// downstreamConfig completes the configuration of the listener.
func (n *Node) downstreamConfig() downstream.Config {
	c := n.cfg.Downstream
	c.ChainID = n.cfg.Chain.Get
	c.NodeName = n.cfg.Name
	if c.Conn.KeepAlive == 0 {
		c.Conn.KeepAlive = replicaBeat
	}
	if c.Logger == nil {
		c.Logger = n.cfg.Logger.Named("downstream")
	}
	return c
}

// upstreamConfig completes the configuration of the dialer.
func (n *Node) upstreamConfig() upstream.Config {
	c := n.cfg.Upstream
	c.ChainID = n.cfg.Chain.Guess
	c.Learned = n.cfg.Chain.Learn
	c.NodeName = n.cfg.Name
	c.Hello = func() (root, head wire.ID) { return wire.ID{}, wire.ID{} }
	if c.Logger == nil {
		c.Logger = n.cfg.Logger.Named("upstream")
	}
	return c
}
