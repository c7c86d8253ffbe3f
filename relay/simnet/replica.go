package simnet

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrRunning is returned when a running replica is to be started.
var ErrRunning = errors.New("replica is running")

// Replica is a nodeos that dials relays and nothing else, and that can be
// killed, stopped and started again: a producing replica if its configuration
// has Producers, a finalizer host if it has Voters and no Producers. Every start
// is a new process with a new node id.
type Replica struct {
	cfg     NodeConfig
	history func() []*Block

	mu   sync.Mutex
	node *Node
	disk []*Block
	fork []*Block // above disk, not irreversible: what a clean end leaves
}

// NewReplica prepares a replica. history is where StartBehind takes blocks from
// that the replica never had; it may be nil.
func NewReplica(cfg NodeConfig, history func() []*Block) *Replica {
	cfg.Listen = ""
	return &Replica{cfg: cfg, history: history, disk: cfg.Blocks}
}

// Name is the agent name.
func (r *Replica) Name() string { return r.cfg.Name }

// Start runs the replica on the chain it had when it ended.
func (r *Replica) Start() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.start(r.disk, r.fork)
}

// StartBehind runs it with the first n blocks of the chain only.
func (r *Replica) StartBehind(n int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	blocks := r.disk
	if len(blocks) < n && r.history != nil {
		blocks = r.history()
	}
	return r.start(blocks[:min(n, len(blocks))], nil)
}

func (r *Replica) start(blocks, fork []*Block) error {
	if r.node != nil {
		return fmt.Errorf("start %s: %w", r.cfg.Name, ErrRunning)
	}
	cfg := r.cfg
	cfg.Blocks, cfg.Fork = blocks, fork
	cfg.Seed = nameSeed(cfg.Name) + uint64(time.Now().UnixNano())
	node, err := NewNode(cfg)
	if err != nil {
		return err
	}
	if err := node.Start(); err != nil {
		return err
	}
	r.node = node
	r.tell(Started)
	return nil
}

func (r *Replica) tell(k EventKind) {
	if r.cfg.Watch != nil {
		r.cfg.Watch(Event{Time: time.Now(), Kind: k, Node: r.cfg.Name})
	}
}

// Kill ends the process as kill -9 does. Its sockets close at once. A later
// Start goes on from the last irreversible block, as from a snapshot: a nodeos
// that was killed has a dirty state and will not start on it.
func (r *Replica) Kill() { r.end(false) }

// Stop ends the process as SIGTERM does: a later Start goes on from its head.
func (r *Replica) Stop() { r.end(true) }

func (r *Replica) end(clean bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.node
	if n == nil {
		return
	}
	r.node = nil
	n.Close()
	r.disk, r.fork = n.db.log, nil // the loop has ended
	if clean {
		r.fork = n.chainTo(n.head)[len(n.db.log):]
	}
	r.tell(Killed)
}

// Freeze stops the process as SIGSTOP does.
func (r *Replica) Freeze() {
	if n := r.Node(); n != nil {
		n.Freeze()
		r.tell(Frozen)
	}
}

// Thaw lets a frozen process go on. A block whose deadline has passed meanwhile
// goes out at once.
func (r *Replica) Thaw() {
	if n := r.Node(); n != nil {
		r.tell(Thawed)
		n.Thaw()
	}
}

// Node is the running process; nil if there is none.
func (r *Replica) Node() *Node {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.node
}

// Alive reports whether the process runs, frozen or not.
func (r *Replica) Alive() bool { return r.Node() != nil }
