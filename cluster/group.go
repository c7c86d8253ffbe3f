package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/thinrelay/thinrelay/cluster/internal/quiet"
	"github.com/thinrelay/thinrelay/cluster/storage"
	"github.com/thinrelay/thinrelay/fsm"
)

// Group is this node's membership in the cluster.
type Group struct {
	cfg       Config
	log       hclog.Logger
	handovers chan *handover
	gone      chan string // names of leaders that are gone, see LeaderGone
	changed   broadcast
	ops       sync.WaitGroup // futures being waited for
	fatal     func(error)    // ends Run
	had       bool           // there was a log when the group was opened
	memory    *memory
	tenures   tenures
	quiet     *quiet.Limiter // of what is tried again at each tick

	mu       sync.Mutex
	store    *storage.Store
	identity storage.Identity
	entered  bool   // Run was called
	stopping bool   // no further futures
	waiting  string // why the member is not part of a group yet
	node     *node  // nil until Raft runs
	led      reigning
	parting  raft.ServerID // being removed by this leader
	callers  callers
}

// reigning is the leadership under way; zero when there is none.
type reigning struct {
	term  uint64
	since time.Time
	cause string
}

// Open opens the state of this node. It contacts nobody: [Group.Run] does. If Run is not called, Close must be.
func Open(cfg Config) (*Group, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("open group: %w", err)
	}
	store := cfg.Store
	if store == nil {
		if store, err = openStore(cfg); err != nil {
			return nil, fmt.Errorf("open group: %w", err)
		}
	}
	store.Measure(cfg.Wrote)
	had, err := store.Position()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open group: %w", err), store.Close())
	}
	return &Group{
		cfg:       cfg,
		had:       had.Index > 0,
		log:       cfg.Logger,
		memory:    newMemory(store.Identity().RaftID, position(had)),
		handovers: make(chan *handover),
		gone:      make(chan string, 1),
		quiet:     quiet.New(raftLogInterval),
		store:     store,
		identity:  store.Identity(),
		waiting:   "not started",
	}, nil
}

func openStore(cfg Config) (*storage.Store, error) {
	medium, err := storage.OpenDisk(cfg.DataDir, cfg.Node, cfg.Logger)
	if err != nil {
		return nil, err
	}
	return storage.New(medium, cfg.Node, storage.Config{WriteDeadline: cfg.WriteDeadline, Logger: cfg.Logger.Named("storage")})
}

// warnSeldom warns of what fails and is tried again at each tick, as where the disk is full: a line now and then is enough.
func (g *Group) warnSeldom(msg string, err error, args ...any) {
	ok, skipped := g.quiet.Allow(msg)
	if !ok {
		return
	}
	args = append(args, "error", err)
	if skipped > 0 {
		args = append(args, "skipped", skipped)
	}
	g.log.Warn(msg, args...)
}

// Close releases a group that was never run.
func (g *Group) Close() error {
	if !g.enter() {
		return nil
	}
	return errors.Join(g.cfg.Layer.Close(), g.store.Close())
}

// enter lets Run or Close in, whichever is first, once.
func (g *Group) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	first := !g.entered
	g.entered = true
	return first
}

// State returns the mark as far as this member knows it. Only a leader, from its barrier on, knows it to the last.
func (g *Group) State() fsm.State { return g.cfg.FSM.State() }

// Changed returns a channel that is closed when leader, term, role or membership change next.
func (g *Group) Changed() <-chan struct{} { return g.changed.wait() }

// Leader returns name and Raft address of the current leader as far as this member knows, empty when it knows none.
func (g *Group) Leader() (name, addr string) {
	n := g.running()
	if n == nil {
		return "", ""
	}
	a, id := n.raft.LeaderWithID()
	_, addr = reach(a)
	return storage.NodeOf(string(id)), addr
}

// Announce returns what the others have to know of this member: the gossip carries it to their Config.Peers.
func (g *Group) Announce() Peer {
	n := g.running()
	g.mu.Lock()
	defer g.mu.Unlock()
	p := Peer{Name: g.cfg.Node, RaftID: g.identity.RaftID, Addr: g.cfg.Advertise, ClusterID: g.identity.ClusterID, Joining: g.identity.Joining, Joins: g.cfg.Expect == 0}
	p.HasState = g.had || n != nil && n.raft.LastIndex() > 0
	return p
}

// running returns the Raft node, nil when it does not run.
func (g *Group) running() *node {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.node
}

// leadership returns the leadership under way; its term is 0 when there is none.
func (g *Group) leadership() reigning {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.led
}

func (g *Group) setLeadership(l reigning) {
	g.mu.Lock()
	g.led = l
	g.mu.Unlock()
	g.changed.notify()
}

func (g *Group) setWaiting(why string) {
	g.mu.Lock()
	changed := g.waiting != why
	g.waiting = why
	g.mu.Unlock()
	if changed && why != "" {
		g.log.Info("waiting to become a member", "reason", why)
	}
	if changed {
		g.changed.notify()
	}
}

// await starts something that raft answers with a future and waits for the answer or the end of ctx, whichever is
// first. Futures of raft can take for ever (hashicorp/raft#498), so the waiting is done by a goroutine, which the group waits for at its end.
func (g *Group) await(ctx context.Context, start func() raft.Future) (raft.Future, error) {
	g.mu.Lock()
	if g.stopping {
		g.mu.Unlock()
		return nil, ErrStopped
	}
	type answer struct {
		future raft.Future
		err    error
	}
	answers := make(chan answer, 1)
	g.ops.Go(func() {
		f := start()
		answers <- answer{f, f.Error()}
	})
	g.mu.Unlock()
	select {
	case a := <-answers:
		return a.future, translate(a.err)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// translate gives raft's errors the names of this package.
func translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader):
		return ErrNotLeader
	case errors.Is(err, raft.ErrLeadershipLost):
		return ErrLostLeadership
	case errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return ErrSteppingDown
	case errors.Is(err, raft.ErrRaftShutdown):
		return ErrStopped
	}
	return err
}
