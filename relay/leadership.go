package relay

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/thinrelay/thinrelay/fsm"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/upstream"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// ErrProposal is returned by Lead when the group did not take a proposal: what
// was sent beside it stands, but no more may follow.
var ErrProposal = errors.New("the group did not take the mark")

// ErrStoodStill is returned by Lead when this process has stood still for so long that
// another leader may have gone by unresolved_after.
var ErrStoodStill = errors.New("this relay has stood still for too long to know that it leads")

// leadership is one term of leading, as the hub sees it.
type leadership struct {
	term     uint64
	began    time.Time
	proposes chan fsm.Transition // capacity 1: the gate lets one be under way
	fail     context.CancelCauseFunc
}

// Lead makes this relay the one that emits, for one term, until ctx ends or
// the group refuses a proposal. The caller has passed the group's barrier. It
// holds the upstream connections for exactly that time; when it returns they
// are closed and nothing more is emitted.
func (n *Node) Lead(ctx context.Context, term uint64, group Proposer) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l := &leadership{term: term, began: time.Now(), proposes: make(chan fsm.Transition, 1), fail: cancel}
	dialer := upstream.New(n.upstreamConfig())
	if !n.hub.call(n.done, func() { n.hub.startLead(l) }) {
		return context.Cause(n.done)
	}
	n.dialer.Store(dialer)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := l.propose(ctx, group); err != nil {
			cancel(err)
		}
	})
	wg.Go(func() {
		n.awaitChain(ctx)
		cancel(dialer.Run(ctx, upSink{n}))
	})
	<-ctx.Done()
	wg.Wait()
	n.dialer.CompareAndSwap(dialer, nil)
	err := context.Cause(ctx)
	n.hub.call(n.done, func() { n.hub.endLead(l, err) })
	return err
}

// awaitChain gives replicas a moment to tell the chain id when none is known:
// asking an upstream for it takes seconds (see upstream.Config.Learned).
func (n *Node) awaitChain(ctx context.Context) {
	moment := time.NewTimer(time.Second)
	defer moment.Stop()
	select {
	case <-n.cfg.Chain.Known():
	case <-moment.C:
	case <-ctx.Done():
	}
}

// propose carries proposals to the group, one at a time, until one fails.
func (l *leadership) propose(ctx context.Context, group Proposer) error {
	for {
		select {
		case t := <-l.proposes:
			if err := group.Propose(ctx, t); err != nil {
				return fmt.Errorf("%w: %w", ErrProposal, err)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// propose hands a transition to the group. The gate allows one at a time, so
// the channel has room, but for a leadership whose last proposal failed while
// an earlier one came through late: that one is over.
func (h *hub) propose(t fsm.Transition) {
	select {
	case h.lead.proposes <- t:
	default:
		h.lead.fail(ErrProposal)
	}
}

// startLead begins a leadership in the hub.
func (h *hub) startLead(l *leadership) {
	h.onApplied()
	h.endGap()
	h.lead = l
	h.gate.Lead(l.term)
	h.endOverslept(time.Now())
	h.round.reset(h.clock.SlotAt(time.Now()))
	h.record(Record{Kind: Leading, Term: l.term, Name: h.cfg.Name})
	mark := h.gate.State().Mark
	// Who holds the mark goes on. A follower will say so if it is connected
	// there (onAttach).
	h.dir.Adopt(wire.ID(mark.Source))
	if h.sources[wire.ID(mark.Source)] != nil {
		h.onActive(director.CauseLeading)
	}
	for _, r := range h.replicaSet {
		h.unmute(r)
	}
	h.sendRosters()
	h.decide()
	h.pump()
}

// endLead ends it. Upstreams are gone by now.
func (h *hub) endLead(l *leadership, err error) {
	h.lead = nil
	h.ended, h.successor = time.Now(), time.Time{}
	h.gate.Follow()
	h.dir.Adopt(wire.ID{})
	for _, k := range h.linkSet {
		k.conn.Close(errNotLeader)
	}
	for _, r := range h.replicaSet {
		r.muted = true
	}
	if h.leader != nil {
		// The successor was found while this leadership was still ending: its roster
		// was not for a leader, and what replicas sent since then was not passed up.
		h.introduce(h.leader)
	}
	h.record(Record{Kind: Following, Term: l.term, Name: h.cfg.Name, Err: err})
}
