package simnet

import (
	"context"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// Config describes a network. The zero value is a running network of two
// producers beside ours, bpa, and two upstream peers on the loopback interface.
type Config struct {
	// Seed makes keys and chain id. Processes that belong together need the same.
	Seed string
	// Ours are the producers behind the relays. Default: bpa.
	Ours []string
	// Others are the network's own producers. Default: bpb, bpc.
	Others []string
	// Extra are finalizers beside one per producer; they live on the first
	// upstream. Default: boot, so that finality survives the loss of our finalizer.
	Extra []string
	// Upstreams is the number of listening nodes. Default 2.
	Upstreams int
	// Release is the nodeos version of the network's nodes. Default Spring 1.2.
	Release Release
	// SlotLength is the time between blocks. Default 500 ms.
	SlotLength time.Duration
	// Anchor is the time of the slot that the real chain has then, for other slot
	// lengths. Processes that belong together need the same. Default: now.
	Anchor time.Time
	// Legacy makes a chain from before Savanna.
	Legacy bool
	// LegacyLag is how far LIB trails there.
	LegacyLag uint32
	// NoSignatures saves the cost of signing, see Rules.
	NoSignatures bool
	// History is the number of blocks the chain has at the start. Default 1.
	History int
	// Load is the number of transactions per slot. With none, replicas of one
	// producer sign identical blocks.
	Load float64
	// Host gives each node its own network identity by its name. Default: TCP for
	// all.
	Host func(name string) Transport
	// Listen is the address an upstream listens on. Default 127.0.0.1:0 with TCP,
	// ":9876" with Host.
	Listen func(i int) string
	// BlockNacks is the upstreams' and producers' setting, see NodeConfig.
	BlockNacks bool
	// NoBlockLog is the upstreams' setting, see NodeConfig.
	NoBlockLog bool
	// MaxNodesPerHost is the upstreams' limit. Default 1, as in nodeos.
	MaxNodesPerHost int
	// Timing holds the durations of the network's nodes.
	Timing Timing
	// OnEvent is told everything that happens at any node, from the nodes'
	// goroutines, concurrently. It must not block and must not call a node.
	OnEvent func(Event)
	// Logger gets the nodes' logs.
	Logger hclog.Logger
}

func (c Config) withDefaults() Config {
	if c.Seed == "" {
		c.Seed = "thinrelay"
	}
	if len(c.Ours) == 0 {
		c.Ours = []string{"bpa"}
	}
	if c.Others == nil {
		c.Others = []string{"bpb", "bpc"}
	}
	if c.Extra == nil {
		c.Extra = []string{"boot"}
	}
	if c.Upstreams == 0 {
		c.Upstreams = 2
	}
	if c.History < 1 {
		c.History = 1
	}
	if c.Listen == nil {
		addr := "127.0.0.1:0"
		if c.Host != nil {
			addr = ":9876"
		}
		c.Listen = func(int) string { return addr }
	}
	if c.Host == nil {
		c.Host = func(string) Transport { return TCP{} }
	}
	if c.OnEvent == nil {
		c.OnEvent = func(Event) {}
	}
	return c
}

// Network is a running simulated network.
type Network struct {
	// Chain is the network's chain, for replicas and for checks.
	Chain *Chain
	// Oracle has seen what reached the upstreams.
	Oracle *Oracle

	cfg       Config
	history   []*Block
	producers map[string]*Node
	stop      context.CancelFunc
	wg        sync.WaitGroup

	mu        sync.Mutex
	upstreams []*Node
	voters    map[wire.Name]*Voter
	replicas  []*Replica
}

// New builds a network; Start runs it. Inside a synctest bubble, whose clock
// begins at slot 0, New first waits, which takes no time there, until the
// history has room before now.
func New(cfg Config) (*Network, error) {
	cfg = cfg.withDefaults()
	if room := epoch.Add(time.Duration(cfg.History+10*roundSlots) * wire.SlotInterval); time.Now().Before(room) {
		time.Sleep(time.Until(room))
	}
	ours, err := names(cfg.Ours)
	if err != nil {
		return nil, err
	}
	rules, err := cfg.Rules()
	if err != nil {
		return nil, err
	}
	chain, err := NewChain(rules)
	if err != nil {
		return nil, err
	}
	w := &Network{
		Chain: chain, Oracle: NewOracle(chain, ours), cfg: cfg,
		producers: make(map[string]*Node), voters: make(map[wire.Name]*Voter),
	}
	history, err := chain.History(cfg.History, chain.Clock.SlotAt(time.Now())-1)
	if err != nil {
		return nil, err
	}
	w.history = history
	for _, b := range history {
		w.Oracle.polls.knows(b)
	}
	return w, w.build()
}

// Rules are the chain rules of this network, for replicas in other processes:
// NewChain(rules) there gives the same chain.
func (c Config) Rules() (Rules, error) {
	c = c.withDefaults()
	schedule, err := names(append(append([]string(nil), c.Ours...), c.Others...))
	if err != nil {
		return Rules{}, err
	}
	extra, err := names(c.Extra)
	if err != nil {
		return Rules{}, err
	}
	if c.Anchor.IsZero() {
		c.Anchor = time.Now()
	}
	return Rules{
		Seed: c.Seed, Producers: schedule, Finalizers: append(append([]wire.Name(nil), schedule...), extra...),
		Clock: NewClock(c.SlotLength, c.Anchor), Legacy: c.Legacy, LegacyLag: c.LegacyLag, NoSignatures: c.NoSignatures,
	}, nil
}

func names(in []string) (out []wire.Name, err error) {
	for _, s := range in {
		name, err := wire.ParseName(s)
		if err != nil {
			return nil, fmt.Errorf("producer %q: %w", s, err)
		}
		out = append(out, name)
	}
	return out, nil
}

// build makes the nodes: a silent one per producer, and the upstreams.
func (w *Network) build() error {
	for _, name := range w.cfg.Others {
		producer, err := wire.ParseName(name)
		if err != nil {
			return err
		}
		cfg := w.nodeConfig(name)
		cfg.Producers, cfg.Stale = []wire.Name{producer}, true
		cfg.Voters = []*Voter{w.voter(producer)}
		if w.producers[name], err = NewNode(cfg); err != nil {
			return err
		}
	}
	for i := range w.cfg.Upstreams {
		n, err := w.newUpstream(i, w.cfg.Listen(i), w.history)
		if err != nil {
			return err
		}
		w.upstreams = append(w.upstreams, n)
	}
	return nil
}

func (w *Network) nodeConfig(name string) NodeConfig {
	return NodeConfig{
		Name: name, Chain: w.Chain, Release: w.cfg.Release, Transport: w.cfg.Host(name), Blocks: w.history,
		BlockNacks: w.cfg.BlockNacks, Timing: w.cfg.Timing, Logger: w.cfg.Logger,
		Watch: func(e Event) {
			w.Oracle.Upstream(e)
			w.cfg.OnEvent(e)
		},
	}
}

// voter is the one use of a finalizer's key: its safety file survives restarts.
func (w *Network) voter(name wire.Name) *Voter {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.voters[name] == nil {
		w.voters[name], _ = NewVoter(w.Chain, name)
	}
	return w.voters[name]
}

// Start runs the nodes, connects each with each other, and begins the load.
func (w *Network) Start() error {
	ctx, stop := context.WithCancel(context.Background())
	w.stop = stop
	w.Oracle.Begin(w.Chain.Clock.SlotAt(time.Now()) + 1)
	nodes := w.nodes()
	for i, n := range nodes {
		if err := n.Start(); err != nil {
			for _, started := range nodes[:i] {
				started.Close()
			}
			stop()
			return err
		}
		for _, other := range nodes[:i] {
			mesh(n, other)
		}
	}
	if w.cfg.Load > 0 {
		w.wg.Go(func() { w.load(ctx) })
	}
	return nil
}

// Close ends the network and every replica of it that still runs, and waits.
func (w *Network) Close() {
	w.mu.Lock()
	replicas := w.replicas
	w.mu.Unlock()
	for _, r := range replicas {
		r.Kill()
	}
	if w.stop == nil {
		return
	}
	w.stop()
	w.wg.Wait()
	for _, n := range w.nodes() {
		n.Close()
	}
	for _, n := range w.producers {
		n.Close()
	}
	w.stop = nil
}

// Run is Start, a wait for the end of ctx, and Close.
func (w *Network) Run(ctx context.Context) error {
	if err := w.Start(); err != nil {
		return err
	}
	<-ctx.Done()
	w.Close()
	return nil
}

// load pushes transactions into the network, at random nodes.
func (w *Network) load(ctx context.Context) {
	every := max(time.Duration(float64(w.Chain.Clock.Length)/w.cfg.Load), time.Millisecond)
	tick := time.NewTicker(every)
	defer tick.Stop()
	random := mathrand.New(mathrand.NewPCG(nameSeed(w.cfg.Seed), 2))
	life := max(10*time.Second, 20*w.Chain.Clock.Length)
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			nodes := w.nodes()
			nodes[random.IntN(len(nodes))].Push(newTx(fmt.Sprintf("%s %d", w.cfg.Seed, i), time.Now().Add(life)))
		}
	}
}

// ErrUnknownNode is returned for names that no node has.
var ErrUnknownNode = errors.New("unknown node")

// Producer is the node of one of the network's own producers.
func (w *Network) Producer(name string) (*Node, error) {
	n := w.producers[name]
	if n == nil {
		return nil, fmt.Errorf("producer %q: %w", name, ErrUnknownNode)
	}
	return n, nil
}

// Report judges our slots by the final chain of the first upstream that lives: up to its
// last irreversible block, or to its head on a legacy chain, whose finality is
// minutes behind.
func (w *Network) Report() Report {
	up := w.alive()
	main := up.Blocks()
	if v, ok := up.View(); ok && !w.cfg.Legacy {
		for len(main) > 0 && main[len(main)-1].Num() > v.Root.Num() {
			main = main[:len(main)-1]
		}
	}
	return w.Oracle.Report(main)
}
