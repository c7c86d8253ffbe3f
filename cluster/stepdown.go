package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/thinrelay/thinrelay/cluster/storage"
)

const (
	// handoverTries is how often a hand-over is tried (as Nomad does).
	handoverTries = 3
	// handoverTimeout is how long tries are begun.
	handoverTimeout = 15 * time.Second
	// handoverRetry is the pause between two tries.
	handoverRetry = 50 * time.Millisecond
	// targetWait is how long a member may take to be ready, before anything is stopped for a hand-over.
	targetWait = 1500 * time.Millisecond
	// levelInterval is how often a log is compared with ours before a hand-over.
	levelInterval = time.Millisecond
)

// Handover is the outcome of a hand-over.
type Handover struct {
	// From is the member that led.
	From string
	// To is the member seen to lead afterwards, empty when none was.
	To string
	// Took is the time from the end of the old leadership to the sight of the new leader.
	Took time.Duration
}

// handover asks for a hand-over.
type handover struct {
	ctx  context.Context
	to   string // empty: to the best
	done chan handedOver
}

type handedOver struct {
	Handover
	err error
}

// StepDown hands leadership to the named member, or to the best one that is ready when to is empty. The function given to Run has
// returned before anyone is asked to take over. It reports who leads then: with [ErrOtherWon] if not the one that was asked,
// [ErrNotTransferred] if this member still does, which then leads as if anew, [ErrNoWinner] if nobody was seen to.
func (g *Group) StepDown(ctx context.Context, to string) (Handover, error) {
	h := &handover{ctx: ctx, to: to, done: make(chan handedOver, 1)}
	for asked := false; !asked; {
		changed := g.changed.wait()
		n := g.running()
		if n == nil {
			return Handover{}, fmt.Errorf("step down: %w", ErrStopped)
		}
		switch err := g.awaitTarget(ctx, n, to); { // before anything is disturbed
		case errors.Is(err, ErrNotLeader):
			return Handover{}, fmt.Errorf("step down: %w", err)
		case err != nil:
			return Handover{From: g.cfg.Node}, fmt.Errorf("step down: %w", err)
		case ctx.Err() != nil: // with no time left leadership would end for nothing
			return Handover{}, fmt.Errorf("step down: %w", context.Cause(ctx))
		}
		select {
		case g.handovers <- h:
			asked = true
		case <-changed:
		case <-ctx.Done():
			return Handover{}, fmt.Errorf("step down: %w", context.Cause(ctx))
		}
	}
	// Once asked for there is an end, and only that is the truth.
	r := <-h.done
	if r.err != nil {
		return r.Handover, fmt.Errorf("step down: %w", r.err)
	}
	return r.Handover, nil
}

// handOver transfers leadership. The leadership's function has returned.
func (g *Group) handOver(h *handover, n *node) handedOver {
	start := time.Now()
	ctx, cancel := context.WithTimeout(h.ctx, handoverTimeout)
	defer cancel()
	result := func(to string, err error) handedOver {
		r := handedOver{Handover{From: g.cfg.Node, To: to, Took: time.Since(start)}, err}
		g.log.Info("hand-over ended", "asked", h.to, "leader", to, "took", r.Took, "error", err)
		return r
	}
	var failed error
	for try := range handoverTries {
		if try > 0 && !pause(ctx, handoverRetry) {
			break
		}
		if ctx.Err() != nil {
			break
		}
		if _, ok := n.leading(); !ok {
			break // whoever it was: not us
		}
		targets, err := g.targets(n, h.to)
		if err != nil {
			return result(g.cfg.Node, errors.Join(ErrNotTransferred, err))
		}
		target := targets[try%len(targets)]
		g.log.Info("handing over", "to", target.ID, "try", try+1)
		failed = g.transfer(n, target)
		if failed == nil {
			break
		}
		g.log.Warn("hand-over failed", "to", target.ID, "error", failed)
	}
	winner, err := g.winner(n)
	switch {
	case err != nil:
		return result("", errors.Join(err, failed))
	case winner == g.cfg.Node:
		return result(winner, errors.Join(ErrNotTransferred, failed, context.Cause(ctx)))
	case h.to != "" && winner != h.to:
		return result(winner, ErrOtherWon)
	}
	return result(winner, nil)
}

// transfer asks the target to take over. Raft refuses that while an earlier one, which it has given up, waits for its call to be answered, up to the timeout of calls:
// then it is asked again. What was asked for cannot be taken back, so it waits until raft knows the outcome, whoever else
// has stopped waiting.
func (g *Group) transfer(n *node, target raft.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*n.currentTimeouts().Election+enqueueTimeout)
	defer cancel()
	if err := g.awaitLevel(n, target.ID); err != nil {
		return err
	}
	for {
		_, err := g.await(ctx, func() raft.Future {
			return n.raft.LeadershipTransferToServer(target.ID, target.Address)
		})
		if !errors.Is(err, ErrSteppingDown) || !pause(ctx, handoverRetry) {
			return err
		}
	}
}

// awaitLevel waits until the target has all of the log. Raft would see to that as well, but badly: when it gives up waiting, what it asked
// of the replication stays in a queue of one, the next try blocks on that, and if leadership is lost then, it blocks for ever and this
// node refuses all entries of all its later leaderships (hashicorp/raft v1.8.0, leadershipTransfer, triggerDeferErrorCh; found by
// seeded schedules). Nothing is proposed meanwhile, so whoever is level stays so.
func (g *Group) awaitLevel(n *node, id raft.ServerID) error {
	t := n.currentTimeouts()
	for end := time.Now().Add(t.Election); ; time.Sleep(levelInterval) {
		term, leading := n.leading()
		if !leading {
			return ErrLostLeadership
		}
		c := n.meter.of(id, term)
		if c.match >= n.raft.LastIndex() && time.Since(c.answered) < t.Heartbeat {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%w: its log is behind", ErrNotReady)
		}
	}
}

// winner waits until someone leads, this member included, for as long as a few elections take.
func (g *Group) winner(n *node) (string, error) {
	t := n.currentTimeouts()
	timer := time.NewTimer(3 * (t.Heartbeat + t.Election))
	defer timer.Stop()
	for {
		changed := g.changed.wait()
		if _, id := n.raft.LeaderWithID(); id != "" {
			if _, leading := n.leading(); leading == (id == n.id) {
				return storage.NodeOf(string(id)), nil
			}
		}
		select {
		case <-changed:
		case <-timer.C:
			return "", ErrNoWinner
		}
	}
}

// awaitTarget waits until there is somebody to hand over to, for targetWait: whoever is not ready may be so again when a process that stood still for longer than a
// heartbeat goes on, or when the next probe reaches an upstream.
func (g *Group) awaitTarget(ctx context.Context, n *node, to string) error {
	ctx, cancel := context.WithTimeout(ctx, targetWait)
	defer cancel()
	for {
		if _, leading := n.leading(); !leading {
			return ErrNotLeader
		}
		if _, err := g.targets(n, to); !errors.Is(err, ErrNotReady) || !pause(ctx, handoverRetry) {
			return err
		}
	}
}

// targets returns the members to hand over to, best first: the named one, or all that are voters, in contact and ready. Those that
// left leadership as soon as they had it come last.
func (g *Group) targets(n *node, to string) ([]raft.Server, error) {
	term := n.raft.CurrentTerm()
	var ready []raft.Server
	var refused error
	for _, s := range n.servers() {
		name := storage.NodeOf(string(s.ID))
		if s.ID == n.id || s.Suffrage != raft.Voter || to != "" && name != to {
			continue
		}
		err := g.cfg.Ready(name)
		if c := n.meter.of(s.ID, term); err == nil && time.Since(c.answered) > n.currentTimeouts().Heartbeat {
			err = errors.New("it does not answer")
		}
		if err != nil {
			refused = errors.Join(refused, fmt.Errorf("%s: %w: %w", name, ErrNotReady, err))
			continue
		}
		ready = append(ready, s)
	}
	switch {
	case len(ready) > 0:
	case refused != nil:
		return nil, refused
	case to != "":
		return nil, fmt.Errorf("%q: %w", to, ErrNotMember)
	default:
		return nil, ErrNoTarget
	}
	prefer := g.cfg.Prefer()
	rank := func(s raft.Server) int {
		if i := slices.Index(prefer, storage.NodeOf(string(s.ID))); i >= 0 {
			return i
		}
		return len(prefer)
	}
	now := time.Now()
	passing := func(s raft.Server) int {
		if g.tenures.passing(storage.NodeOf(string(s.ID)), now) {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(ready, func(a, b raft.Server) int {
		if d := passing(a) - passing(b); d != 0 {
			return d
		}
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return int(n.meter.of(a.ID, term).rtt - n.meter.of(b.ID, term).rtt)
	})
	return ready, nil
}
