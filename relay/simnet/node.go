package simnet

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// NodeConfig describes one nodeos process.
type NodeConfig struct {
	// Name is the agent name, and what reports call the node.
	Name string
	// Chain is the network's chain.
	Chain *Chain
	// Release is the nodeos version. Default: Spring 1.2.
	Release Release
	// Transport carries everything but Mesh. Default: TCP.
	Transport Transport
	// Listen is the p2p-listen-endpoint; empty: does not listen.
	Listen string
	// Peers are the addresses to dial (p2p-peer-address).
	Peers []string
	// Producers are the producer names this node signs for.
	Producers []wire.Name
	// Voters are the finalizers whose keys this node holds. They outlive the
	// node, as the safety file does.
	Voters []*Voter
	// Blocks is the chain to start with, from block 1 or a snapshot's block on.
	// Default: the genesis block.
	Blocks     []*Block
	NoBlockLog bool // block-log-retain-blocks=0: only the last of them is served
	// Fork is the branch above Blocks that the node had as its head when it ended: nothing of it is
	// irreversible.
	Fork []*Block
	// Stale lets the node produce before it has seen a fresh block (enable-stale-production).
	Stale bool
	// BlockNacks turns on Spring 1.1's block_nack and block_notice
	// (p2p-disable-block-nack=false, nodeos's default): a peer that has had three
	// blocks in a row already gets notices, and may see the next block one slot
	// late. Networks that know of it turn it off.
	BlockNacks bool
	// MaxNodesPerHost bounds incoming connections from one address
	// (p2p-max-nodes-per-host). Default 1, as in nodeos; negative: no bound.
	MaxNodesPerHost int
	// Timing holds the durations. Default: DefaultTiming.
	Timing Timing
	// Seed makes the node's choices under load repeatable. Default: from Name.
	Seed uint64
	// Watch is told what happens, from the node's own goroutine. It must not
	// block and must not call the node. Default: nobody is.
	Watch func(Event)
	// Logger gets connection ends and the like, at debug level.
	Logger hclog.Logger
}

// ErrNodeConfig is returned for a node that cannot exist.
var ErrNodeConfig = errors.New("invalid node configuration")

// Node is one simulated nodeos process. All its state belongs to one goroutine.
type Node struct {
	cfg     NodeConfig
	chain   *Chain
	rel     release
	timing  Timing
	id      wire.ID
	started time.Time
	log     hclog.Logger

	box      *mailbox
	gate     gate
	done     chan struct{}
	ctx      context.Context // of dials; ends with the node
	cancel   context.CancelFunc
	wg       sync.WaitGroup
	listener net.Listener

	// What follows is the loop's.
	rand    *mathrand.Rand
	db      *forkDB
	head    *entry // applied
	peers   []*peer
	serial  uint64
	perHost map[string]int
	have    map[wire.ID]bool // blocks validated and not older than the root
	cache   []*Block         // unlinkable, where the release keeps them
	early   map[wire.ID][]earlyVote
	noRetry map[string]wire.GoAwayReason // by the address dialled: why the last connection ended, as long as the process lives
	pool    pool
	sync    syncer
	prod    producing
	votes   voteClock
	faults  faults
	mark    watermark
}

// NewNode prepares a node; Start runs it.
func NewNode(cfg NodeConfig) (*Node, error) {
	if cfg.Chain == nil || cfg.Name == "" {
		return nil, fmt.Errorf("%w: chain and name are needed", ErrNodeConfig)
	}
	if cfg.Transport == nil {
		cfg.Transport = TCP{}
	}
	if cfg.Logger == nil {
		cfg.Logger = hclog.NewNullLogger()
	}
	if cfg.Watch == nil {
		cfg.Watch = func(Event) {}
	}
	if cfg.MaxNodesPerHost == 0 {
		cfg.MaxNodesPerHost = 1
	}
	if len(cfg.Blocks) == 0 {
		cfg.Blocks = []*Block{cfg.Chain.Genesis}
	}
	if cfg.Seed == 0 {
		cfg.Seed = nameSeed(cfg.Name)
	}
	rel := cfg.Release.facts()
	rel.nacks = rel.nacks && cfg.BlockNacks
	n := &Node{
		cfg: cfg, chain: cfg.Chain, rel: rel, timing: cfg.Timing.withDefaults(cfg.Chain.Clock),
		log: cfg.Logger.Named(cfg.Name), box: newMailbox(), done: make(chan struct{}),
		rand:    mathrand.New(mathrand.NewPCG(cfg.Seed, 1)),
		perHost: make(map[string]int), have: make(map[wire.ID]bool), early: make(map[wire.ID][]earlyVote),
		pool: newPool(), noRetry: make(map[string]wire.GoAwayReason),
	}
	if _, err := rand.Read(n.id[:]); err != nil {
		return nil, fmt.Errorf("draw node id: %w", err)
	}
	n.db = newForkDB(cfg.Chain, cfg.Release.forkChoice(cfg.Chain.Legacy), cfg.Blocks)
	n.db.bare = cfg.NoBlockLog
	n.head = n.db.root
	for _, b := range cfg.Fork {
		e, _, err := n.db.add(b)
		if err != nil || e == nil {
			return nil, fmt.Errorf("load %s: %w", b, errors.Join(ErrBlock, err))
		}
		n.head, n.have[b.ID] = e, true
	}
	n.prod.enabled = cfg.Stale
	n.prod.timer = time.NewTimer(time.Hour)
	n.prod.timer.Stop()
	return n, nil
}

func nameSeed(name string) (seed uint64) {
	for _, r := range name {
		seed = seed*131 + uint64(r)
	}
	return seed + 1
}

// Start opens the listener, dials the peers and runs until Close.
func (n *Node) Start() error {
	ctx, cancel := context.WithCancel(context.Background())
	if n.cfg.Listen != "" {
		l, err := n.cfg.Transport.Listen(n.cfg.Listen)
		if err != nil {
			cancel()
			return fmt.Errorf("listen for %s: %w", n.cfg.Name, err)
		}
		n.listener = l
		n.wg.Go(func() { n.accept(l) })
	}
	n.ctx, n.cancel = ctx, cancel
	n.started = time.Now()
	n.wg.Go(n.run)
	n.box.put(event{call: func() {
		for _, addr := range n.cfg.Peers {
			n.dial(addr)
		}
		n.startBlock()
	}})
	return nil
}

// Close ends the process at once, as kill -9 does: what was not on a socket is
// lost. It waits for everything the node has started. One goroutine at a time
// may call it.
func (n *Node) Close() {
	if n.cancel == nil || n.ctx.Err() != nil {
		return // never started, or closed
	}
	n.cancel()
	if n.listener != nil {
		_ = n.listener.Close() // only the accept loop cares, and it ends
	}
	close(n.done)
	n.gate.open()
	n.wg.Wait()
}

// Freeze stops the process as SIGSTOP does: its sockets stay open and nothing
// in it moves. Thaw lets it go on where it was.
func (n *Node) Freeze() { n.gate.close() }

// Thaw ends a Freeze.
func (n *Node) Thaw() { n.gate.open() }

// Addr is the address it listens on; empty if it does not.
func (n *Node) Addr() string {
	if n.listener == nil {
		return ""
	}
	return n.listener.Addr().String()
}

// Name is the agent name.
func (n *Node) Name() string { return n.cfg.Name }

// ID is the node id of its handshakes.
func (n *Node) ID() wire.ID { return n.id }

// do runs f in the node's loop and waits for it. It reports false if the node
// has ended.
func (n *Node) do(f func()) bool {
	ran := make(chan struct{})
	if !n.box.put(event{call: func() { f(); close(ran) }}) {
		return false
	}
	select {
	case <-ran:
		return true
	case <-n.done:
		return false
	}
}

// run is the node's loop.
func (n *Node) run() {
	keepalive := time.NewTicker(n.timing.KeepAlive)
	defer keepalive.Stop()
	defer n.shutdown()
	for {
		var due, tick bool
		select {
		case <-n.done:
			return
		case <-n.box.ready:
		case <-n.prod.timer.C:
			due = true
		case <-keepalive.C:
			tick = true
		}
		if !n.gate.wait(n.done) {
			return
		}
		if due {
			n.wake()
		}
		if tick {
			n.heartbeat()
		}
		for _, e := range n.box.take() {
			n.handle(e)
		}
	}
}

func (n *Node) handle(e event) {
	switch e.kind {
	case eventCall:
		e.call()
	case eventFrame:
		if !e.peer.closed {
			n.frame(e.peer, e.payload)
		}
		e.peer.link.done()
	case eventRoom:
		if !e.peer.closed {
			n.serve(e.peer)
		}
	case eventEnd:
		n.drop(e.peer, e.err)
	}
}

// shutdown closes what is open when the loop ends.
func (n *Node) shutdown() {
	n.prod.timer.Stop()
	for _, p := range n.peers {
		p.link.end(false)
	}
	n.box.close()
}

// View is a node's state at one moment.
type View struct {
	Head, ForkHead, Root *Block
	Peers, Connected     int
	Paused               string // why it does not produce; empty: it does, or it is not its turn
	Pool                 int
	Syncing              bool
	Stalled              int // sync requests that it did not serve, for StallSync
}

// View looks at the node. It reports false if the node has ended.
func (n *Node) View() (v View, ok bool) {
	ok = n.do(func() {
		v = View{
			Head: n.head.Block, ForkHead: n.db.best.Block, Root: n.db.root.Block, Peers: len(n.peers),
			Paused: n.prod.paused, Pool: len(n.pool.order), Syncing: n.sync.state == libCatchup,
			Stalled: n.faults.stalled,
		}
		for _, p := range n.peers {
			if p.connected {
				v.Connected++
			}
		}
	})
	return v, ok
}

// Blocks is the node's chain up to its head, oldest first.
func (n *Node) Blocks() (out []*Block) {
	n.do(func() { out = n.chainTo(n.head) })
	return out
}

// irreversible is the node's chain up to its last irreversible block.
func (n *Node) irreversible() (out []*Block) {
	n.do(func() { out = append(out, n.db.log...) })
	return out
}

// chainTo is the chain up to e. It is the loop's, or whoever's comes after it.
func (n *Node) chainTo(e *entry) []*Block {
	out := append([]*Block(nil), n.db.log...)
	for e := e; e != n.db.root; e = e.parent {
		out = append(out, e.Block)
	}
	slices.Reverse(out[len(n.db.log):])
	return out
}
