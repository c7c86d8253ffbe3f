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
	// barrierRetry is the pause after a barrier that raft refused for now.
	barrierRetry = 20 * time.Millisecond
	// barrierTimeout is how long raft may refuse barriers before this member stops, to be started again: a leader that cannot
	// lead and does not know it is worse than none.
	barrierTimeout = 10 * time.Second
	// unableRetry is the pause before a member that is unable to lead, and that nobody can replace, tries to lead again.
	unableRetry = time.Second
)

// reign is one leadership, from the election to the end of all that was done in its name. It returns when the term is lost, when
// leadership was handed over, when handing it over failed, and when ctx ends.
func (g *Group) reign(ctx context.Context, n *node, term uint64, lead Lead) {
	start := time.Now()
	ctx, cancel := context.WithCancelCause(ctx)
	var attendants sync.WaitGroup
	defer attendants.Wait()
	defer cancel(ErrLostLeadership)
	attendants.Go(func() { g.watchTerm(ctx, n, term, cancel) })

	if err := g.barrier(ctx, n); err != nil {
		g.log.Warn("leadership not taken up", "term", term, "error", err)
		return
	}
	// The barrier may have been that of a later term, won while it waited: then this one is over.
	if now, ok := n.leading(); !ok || now != term || g.cfg.FSM.Err() != nil {
		return
	}
	cause := CauseElection
	if n.meter.handed.Load() == term {
		cause = CauseHandOver
	}
	g.setLeadership(reigning{term: term, since: start, cause: cause})
	defer g.setLeadership(reigning{})
	g.log.Info("leading", "term", term, "cause", cause, "mark", g.State().Mark, "took", time.Since(start))

	led := make(chan error, 1)
	go func() { led <- lead(ctx, term) }()
	attendants.Go(func() { g.reconcile(ctx, n) })
	attendants.Go(func() { g.seekBetter(ctx, n) })
	end := func(cause error) { // and only then anything else
		cancel(cause)
		<-led
		attendants.Wait()
	}
	select {
	case err := <-led:
		led <- err
		if ctx.Err() == nil {
			end(ErrSteppingDown)
			g.giveAway(context.WithoutCancel(ctx), n, err)
		} else {
			end(ErrLostLeadership)
		}
	case h := <-g.handovers:
		end(ErrSteppingDown)
		g.setLeadership(reigning{})
		h.done <- g.handOver(h, n)
	case <-ctx.Done():
		end(context.Cause(ctx))
	}
	g.log.Info("leadership ended", "term", term, "cause", context.Cause(ctx), "lasted", time.Since(start))
}

// watchTerm ends the leadership when its term is over.
func (g *Group) watchTerm(ctx context.Context, n *node, term uint64, cancel context.CancelCauseFunc) {
	for {
		changed := g.changed.wait()
		if now, ok := n.leading(); !ok || now != term {
			cancel(ErrLostLeadership)
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// barrier waits until all that was committed before is applied here.
func (g *Group) barrier(ctx context.Context, n *node) error {
	for start := time.Now(); ; {
		_, err := g.await(ctx, func() raft.Future { return n.raft.Barrier(enqueueTimeout) })
		if err == nil || ctx.Err() != nil {
			return err
		}
		// A hand-over that failed a moment ago keeps raft from taking entries for a while.
		if !errors.Is(err, ErrSteppingDown) && !errors.Is(err, raft.ErrEnqueueTimeout) {
			return err
		}
		if time.Since(start) > barrierTimeout {
			g.fatal(fmt.Errorf("raft takes no entries: %w: %w", err, ErrHung))
		}
		if !pause(ctx, barrierRetry) {
			return context.Cause(ctx)
		}
	}
}

// giveAway hands leadership to whoever is ready, since this member is unable to lead. When all of them have just been found unable as
// well, it waits a moment first, so that leadership does not race through the group. If nobody takes it, the member waits, and will
// try to lead again.
func (g *Group) giveAway(ctx context.Context, n *node, why error) {
	if why == nil {
		why = errors.New("leading ended by itself")
	}
	g.log.Error("unable to lead, handing over", "error", why)
	if targets, err := g.targets(n, ""); err == nil && g.tenures.passing(storage.NodeOf(string(targets[0].ID)), time.Now()) {
		g.pauseWhileLeading(n)
	}
	r := g.handOver(&handover{ctx: ctx}, n)
	if r.err == nil || !errors.Is(r.err, ErrNotTransferred) && !errors.Is(r.err, ErrNoTarget) {
		return
	}
	g.log.Error("nobody took over, trying to lead again", "error", r.err, "in", unableRetry)
	g.pauseWhileLeading(n)
}

// pauseWhileLeading waits a moment, or until leadership is lost.
func (g *Group) pauseWhileLeading(n *node) {
	timer := time.NewTimer(unableRetry)
	defer timer.Stop()
	for {
		changed := g.changed.wait()
		if _, ok := n.leading(); !ok {
			return
		}
		select {
		case <-changed:
		case <-timer.C:
			return
		}
	}
}

// pause waits and says whether ctx allows to go on.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// String names a leadership in logs.
func (l reigning) String() string { return fmt.Sprintf("term %d since %s", l.term, l.since) }
