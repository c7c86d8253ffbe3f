package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/thinrelay/thinrelay/cluster/storage"
)

const (
	// tendInterval is how often a member looks whether it has to found, adopt or adapt something.
	tendInterval = 250 * time.Millisecond
	// tuneInterval is how often timeouts are compared with the distances measured.
	tuneInterval = 5 * time.Second
	// removedAfter is how long a member must be missing in the committed configuration, and hear no leader, before it believes that it was
	// removed: while it catches up it passes through configurations of the past.
	removedAfter = time.Second
	// stopTimeout bounds each step of stopping.
	stopTimeout = 5 * time.Second
	// observed is the number of observations raft may be ahead of us. More are dropped, which is harmless: each only says "look again".
	observed = 64
)

// Lead is what a leader does. ctx ends with the leadership, with its cause; term is the Raft term that is led. It returns when ctx ends.
// When it returns an error before, this member is unable to lead, and leadership is handed over.
type Lead func(ctx context.Context, term uint64) error

// Run takes part in the group until ctx ends, and then returns nil, or until it cannot go on: the FSM has halted, the store has failed, the
// member was removed. It calls lead for each leadership, one at a time, and returns after the last call has returned. Layer and
// store are closed then. It can be called once. To leave without a gap, call [Group.StepDown] before ending ctx.
func (g *Group) Run(ctx context.Context, lead Lead) error {
	if !g.enter() {
		return ErrStopped
	}
	// The group's own context, so that the cause is one of ours whatever ended it.
	own, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer context.AfterFunc(ctx, func() { cancel(ErrStopped) })()
	defer cancel(ErrStopped)
	g.fatal = cancel
	// Raft may wait for the disk from its very start on, so whatever ends the group also ends that wait.
	defer context.AfterFunc(own, g.store.Abort)()
	var watching sync.WaitGroup
	defer watching.Wait()
	watching.Go(func() {
		select {
		case <-g.cfg.FSM.Halted():
			cancel(g.cfg.FSM.Err())
		case <-g.store.Failed():
			cancel(g.store.Err())
		case <-g.memory.restored:
			cancel(g.memory.failure())
		case <-own.Done():
		}
	})

	err := g.run(own, cancel, lead)
	cancel(err)
	if errors.Is(err, ErrStopped) {
		err = nil
	}
	return errors.Join(err, g.stop())
}

func (g *Group) run(ctx context.Context, cancel context.CancelCauseFunc, lead Lead) error {
	var f founder
	if err := f.await(ctx, g); err != nil {
		return err
	}
	// Before the first vote.
	if err := g.memory.await(g.recallLimit(), ctx.Done()); err != nil {
		return err
	}
	n, err := g.startNode(g.initialTimeouts(ctx))
	if err != nil {
		return err
	}
	g.mu.Lock()
	g.node = n
	g.mu.Unlock()
	g.changed.notify()

	var background sync.WaitGroup
	defer background.Wait()
	defer cancel(ErrStopped)
	background.Go(func() { g.observe(ctx, n) })
	background.Go(func() { g.tend(ctx, n, &f, cancel) })
	background.Go(func() { g.succeed(ctx, n) })
	background.Go(func() { g.renew(ctx, n) })
	for {
		changed := g.changed.wait()
		if term, ok := n.leading(); ok {
			g.reign(ctx, n, term, lead)
			changed = closed // look again at once
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		default:
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// recallLimit is how long to wait for what others remember of this member's log: not at all when it is empty.
func (g *Group) recallLimit() time.Duration {
	if has, err := g.store.HasState(); err != nil || !has {
		return 0
	}
	return g.cfg.RecallWait
}

// closed is a channel that is always ready.
var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// observe turns what raft reports into "look again". Raft's leader channel holds one value, and lost-and-regained is a second true
// after the first: so its values are not looked at, only that there is one. Whoever is woken reads state and term.
func (g *Group) observe(ctx context.Context, n *node) {
	events := make(chan raft.Observation, observed)
	observer := raft.NewObserver(events, false, func(o *raft.Observation) bool {
		switch o.Data.(type) {
		case raft.LeaderObservation, raft.RaftState, raft.PeerObservation:
			return true
		}
		return false
	})
	n.raft.RegisterObserver(observer)
	defer n.raft.DeregisterObserver(observer)
	for {
		select {
		case <-n.raft.LeaderCh():
		case <-events:
		case <-ctx.Done():
			return
		}
		_, id := n.raft.LeaderWithID()
		g.tenures.observe(storage.NodeOf(string(id)), time.Now())
		g.changed.notify()
	}
}

// tend does what has to be done now and then, leader or not.
func (g *Group) tend(ctx context.Context, n *node, f *founder, cancel context.CancelCauseFunc) {
	tick := time.NewTicker(tendInterval)
	defer tick.Stop()
	var tuned, missing time.Time
	member := false
	for {
		servers := n.servers()
		n.meter.keep(servers)
		self, present := n.self()
		switch {
		case len(servers) == 0:
			if err := f.tend(ctx, g, n); err != nil && ctx.Err() == nil {
				g.warnSeldom("cannot found the cluster", err)
			}
		case present:
			member, missing = true, time.Time{}
			why := ""
			if leader, _ := g.Leader(); leader == "" && self.Suffrage != raft.Voter {
				why = "a leader's call (when this member was removed, or its joining cut short: move data_dir away to join again)"
			}
			g.setWaiting(why)
			g.adopt(servers, n.committed.with(n.id))
		case !member:
			g.setWaiting("the leader to add this member, which is not in the configuration of its log (when it was removed, or its joining cut short: move data_dir away to join again)")
		case !n.committed.without(n.id): // a leader's word, which the next one may take back
			g.setWaiting("a leader's call: the last one was about to remove this member (when it did: move data_dir away to join again)")
		case g.Announce().Joining: // it has only passed the place where a former leader took it in, and was in nothing that it could be removed from
			g.setWaiting("a leader's call: its joining was cut short, and is taken up again")
		case missing.IsZero() || time.Since(n.raft.LastContact()) < removedAfter: // a leader calls members only
			missing = time.Now()
		case time.Since(missing) >= removedAfter:
			cancel(ErrRemoved)
			return
		}
		if now := time.Now(); now.Sub(tuned) >= tuneInterval {
			tuned = now
			g.tune(n)
		}
		g.unbind(ctx, n)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// stop ends Raft and closes layer and store. Every step is bounded, since a disk that hangs must not keep the process.
func (g *Group) stop() error {
	g.mu.Lock()
	g.stopping = true
	n := g.node
	g.mu.Unlock()
	defer g.changed.notify()
	if n == nil {
		return errors.Join(g.cfg.Layer.Close(), g.store.Close())
	}
	// Futures first: those that raft still holds when it stops are never answered. They end with the lease at the latest.
	settled := within(stopTimeout, g.ops.Wait)
	stopping := n.raft.Shutdown()
	// Then the transport, or stopping waits for calls under way; then raft itself, then what it writes to.
	err := n.meter.Close()
	done := make(chan error, 1)
	go func() { done <- stopping.Error() }()
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	stopped := true
	select {
	case serr := <-done:
		err = errors.Join(err, serr)
	case <-g.store.Failed():
		stopped = false
	case <-timer.C:
		stopped = false
	}
	g.store.Abort()
	if !stopped && !within(stopTimeout, func() { <-done }) {
		return errors.Join(err, fmt.Errorf("stop raft: %w", ErrHung))
	}
	closing := make(chan error, 1)
	if !within(stopTimeout, func() { closing <- g.store.Close() }) {
		return errors.Join(err, fmt.Errorf("close the store: %w", ErrHung))
	}
	if !settled && !within(stopTimeout, g.ops.Wait) {
		err = errors.Join(err, fmt.Errorf("end requests: %w", ErrHung))
	}
	return errors.Join(err, <-closing)
}

// within runs f and says whether it returned in time. If not, f is left running: it hangs on the disk, and the process is about to end.
func within(limit time.Duration, f func()) bool {
	done := make(chan struct{})
	go func() { f(); close(done) }()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

func joinClose(err error, closers ...func() error) error {
	for _, c := range closers {
		err = errors.Join(err, c())
	}
	return err
}
