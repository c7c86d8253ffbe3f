package relay_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/thinrelay/thinrelay/fsm"
	"github.com/thinrelay/thinrelay/relay"
)

var (
	errDeposed = errors.New("not the leader")
	errLost    = errors.New("leadership lost while committing")
)

// group stands in for the Raft group: one log that all members agree on, terms
// that only grow, and a leader that the test appoints. It keeps Raft's
// promises and no more: an entry that was under way when the leader was deposed
// may be committed or not, a deposed leader may learn of it late or hang, and a
// cut-off member learns nothing.
type group struct {
	mu      sync.Mutex
	rng     *rand.Rand
	state   fsm.State
	term    uint64
	leader  *member
	pending *proposal
	loose   []*proposal // under way, and nobody waits for them
	falls   int         // how often the mark fell: S3
	members []*member
	// commit is how long the group takes to agree.
	commit time.Duration
	// stalled is until when nothing is agreed on.
	stalled time.Time
	// lag is how much later than the leader the others learn of it.
	lag time.Duration
	// fate is what becomes of the next proposal that nobody waits for any more.
	fate fate
}

// fate is what becomes of a proposal that nobody waits for.
type fate uint8

const (
	anyFate fate = iota
	lost         // it was never handed to the log
	held         // it is on its way until land
)

type proposal struct {
	t    fsm.Transition
	term uint64
}

func newGroup(seed uint64) *group {
	return &group{rng: rand.New(rand.NewPCG(seed, 7)), commit: 3 * time.Millisecond}
}

// State returns what the group has agreed on.
func (g *group) State() fsm.State {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state
}

// current returns the leader and its term; nil while there is none.
func (g *group) current() (*member, uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.leader, g.term
}

// elect appoints m, or nobody, for a new term. What was under way is decided
// before the new leader's barrier passes.
func (g *group) elect(m *member) uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range append(g.loose, g.pending) {
		if p != nil && g.rng.IntN(2) == 0 {
			_ = g.apply(p) // nobody waits for it
		}
	}
	g.loose, g.pending, g.fate = nil, nil, anyFate
	g.term++
	g.leader = m
	return g.term
}

// apply commits an entry and tells the members; g.mu is held.
func (g *group) apply(p *proposal) error {
	next, err := g.state.Apply(p.t, p.term)
	if err != nil {
		return err
	}
	if next.Mark.Height() < g.state.Mark.Height() {
		g.falls++
	}
	g.state = next
	for _, m := range g.members {
		if m == g.leader || g.lag == 0 {
			g.deliver(m)
			continue
		}
		time.AfterFunc(g.lag, func() {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.deliver(m)
		})
	}
	return nil
}

// leave is for an entry whose proposer no longer waits for it. While its term
// lasts (a hand-over that failed) it is still on its way, in any order with what
// the same leader proposes anew; or it was never handed to the log.
func (g *group) leave(e *proposal, by *member) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pending != e || g.term != e.term {
		return
	}
	f := g.fate
	g.pending, g.fate = nil, anyFate
	if f == lost || f == anyFate && g.rng.IntN(3) == 0 {
		return
	}
	g.loose = append(g.loose, e)
	if f == held {
		return
	}
	time.AfterFunc(time.Duration(g.rng.Int64N(int64(2*g.commit))), func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.leader == by {
			g.landed(e)
		}
	})
}

// stall keeps the group from agreeing on anything for a while.
func (g *group) stall(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stalled = time.Now().Add(d)
}

// landed: an entry that nobody waits for has reached the log; g.mu is held.
func (g *group) landed(e *proposal) {
	if i := slices.Index(g.loose, e); i >= 0 && g.term == e.term {
		g.loose = slices.Delete(g.loose, i, i+1)
		_ = g.apply(e) // nobody waits for it
	}
}

// destine says what becomes of the next proposal that nobody waits for.
func (g *group) destine(f fate) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fate = f
}

// land lets what was held longest reach the log, if its term lasts.
func (g *group) land() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.loose) > 0 {
		g.landed(g.loose[0])
	}
}

// proposed is the proposal that is under way, if there is one.
func (g *group) proposed() (t fsm.Transition, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pending == nil {
		return t, false
	}
	return g.pending.t, true
}

// lose forgets the proposal that is under way: it was never handed to the log.
func (g *group) lose() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pending = nil
}

// lowered is how often the mark has fallen.
func (g *group) lowered() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.falls
}

// deliver tells a member the newest state; g.mu is held.
func (g *group) deliver(m *member) {
	if m.node != nil && !m.cut {
		m.node.Applied(g.state)
	}
}

// cut hides the group from a member, or shows it again.
func (g *group) cut(m *member, cut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	m.cut = cut
	g.deliver(m)
}

// proposer is one leadership's way to the group.
type proposer struct {
	g    *group
	m    *member
	term uint64
	hang bool // a lost proposal ends with the leadership only
}

var _ relay.Proposer = (*proposer)(nil)

// Propose implements relay.Proposer.
func (p *proposer) Propose(ctx context.Context, t fsm.Transition) error {
	e := &proposal{t, p.term}
	p.g.mu.Lock()
	leads := p.g.term == p.term && p.g.leader == p.m && !p.m.cut
	if leads {
		p.g.pending = e
	}
	wait := max(p.g.commit, time.Until(p.g.stalled))
	p.g.mu.Unlock()
	if !leads {
		return p.lost(ctx, errDeposed)
	}
	select {
	case <-time.After(wait):
	case <-ctx.Done():
		p.g.leave(e, p.m)
		return context.Cause(ctx)
	}
	p.g.mu.Lock()
	if p.g.pending != e || p.m.cut {
		p.g.mu.Unlock()
		return p.lost(ctx, errLost)
	}
	defer p.g.mu.Unlock()
	p.g.pending = nil
	return p.g.apply(e)
}

func (p *proposer) lost(ctx context.Context, err error) error {
	if p.hang {
		<-ctx.Done()
	}
	return err
}
