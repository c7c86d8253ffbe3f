// Package gate is the emit rule: it decides whether a block that one of our
// replicas signed may leave the cluster, must wait, or is refused.
//
// It guarantees that, whatever the other members of the group do, at most one
// block per height is ever granted by the cluster as a whole (promise S1 in
// docs/design.md, which holds the whole argument). It is pure: it reads no
// clock, does no I/O and starts no goroutine; its caller owns it and calls it
// from one goroutine. It never decides which replica should speak (that is
// liveness, and the director's) and never looks at the network.
package gate

import "github.com/thinrelay/thinrelay/fsm"

// Block is what the rule needs to know of a block of ours.
type Block struct {
	ID       fsm.BlockID
	Previous fsm.BlockID
	// Slot is the block's timestamp in slots of 500 ms.
	Slot uint32
	// Source is the nodeos process that signed and sent it.
	Source fsm.NodeID
	// Watched says that the relay which took the block from Source had been
	// listening to Source since before it knew Previous, and that this is the
	// first child of Previous it heard from Source. Only such a block may use
	// a right inherited from an earlier leader: that leader heard the same
	// first child, or none.
	Watched bool
}

// Parent is what this relay knows of a block's parent.
type Parent struct {
	// Public: the parent is on the network's side, sent by an upstream.
	Public bool
	// Slot is the parent's timestamp in slots.
	Slot uint32
}

// Gate applies the emit rule for one relay. The zero value is a follower's
// gate that knows no mark; use New for readability.
type Gate struct {
	state fsm.State
	// term is the leadership this relay holds; 0 while it does not lead.
	term uint64
	// proposed is the transition under way. While there is one, nothing else
	// is granted: its outcome decides what may follow.
	proposed    fsm.Transition
	outstanding bool
	// used is the child of usedParent that this relay has granted as usedBy's. It
	// outlives leaderships: what was sent stays sent.
	used       fsm.BlockID
	usedParent fsm.BlockID
	usedBy     fsm.NodeID
	// disowned is a mark whose right this relay declared unused in the term
	// disownedIn, in a leadership that ended before the outcome was known.
	// Should the same term begin anew, the declaration may still reach the log.
	disowned   fsm.Mark
	disownedIn uint64
}

// New returns the gate of a relay that does not lead and knows no mark.
func New() *Gate { return &Gate{} }

// Lead opens the gate for the leadership of term. The caller has passed the
// start-up barrier: every entry of an earlier term that will ever commit has
// been handed to Applied. Of its own term that need not be so: after a
// hand-over that failed, a relay leads the same term again, while a proposal
// made before may still be on its way.
func (g *Gate) Lead(term uint64) {
	g.Follow()
	g.term = term
}

// Follow closes the gate: the leadership is over.
func (g *Gate) Follow() {
	if g.outstanding && g.proposed.Unused && g.proposed.To != g.proposed.From {
		g.disowned, g.disownedIn = g.proposed.From, g.proposed.Term
	}
	g.term = 0
	g.outstanding = false
}

// Applied tells the gate the state the group has agreed on. States arrive in
// the order in which they were applied; some may be left out.
func (g *Gate) Applied(s fsm.State) {
	g.state = s
	// Resolve may leave the mark as it is: then the term alone tells that it was applied. Of one that moves it the
	// term tells nothing: an earlier one of that term may have left the mark as it is.
	if g.outstanding && (g.proposed.From != s.Mark || g.proposed.To == s.Mark && s.Term == g.proposed.Term) {
		g.outstanding = false
	}
}

// State returns the last state the gate was told of.
func (g *Gate) State() fsm.State { return g.state }

// Leading reports whether this relay may grant anything: it leads, and no
// entry of a later leadership has been applied.
func (g *Gate) Leading() bool { return g.term != 0 && g.state.Term <= g.term }

// Outstanding reports whether a proposal is under way.
func (g *Gate) Outstanding() bool { return g.outstanding }

// Sent reports whether this relay has granted the block with the given id
// under the right that the mark gives, or the mark already names it: such a block
// may be sent again. One granted under a right that Resolve has taken away since
// may not.
func (g *Gate) Sent(id fsm.BlockID) bool {
	return id == g.state.Mark.Last || id == g.used && g.spent()
}

// spent reports whether this relay has used the right that the mark gives. One that it used on the
// same block for another source is gone: only Resolve takes a right away that was used.
func (g *Gate) spent() bool {
	return g.usedParent == g.state.Mark.Last && g.usedBy == g.state.Mark.Source
}

// Inherited reports whether the right to follow the mark was given by an
// earlier leader, which may have used it.
func (g *Gate) Inherited() bool { return g.state.Term != g.term }

// Offer asks whether block b may leave. parent is what is known of b's parent.
//
// Emit: the caller must send b now, and propose the returned transition beside
// the send. Reserve: the caller must propose the transition and offer b again
// once it is applied. Wait: offer b again after the next Applied. Refuse: b
// may not leave; a later change of the mark may still allow it when the reason
// says so (see Reason).
func (g *Gate) Offer(b Block, parent Parent) Verdict {
	mark := g.state.Mark
	switch {
	case !g.Leading():
		return refuse(NotLeader)
	case b.ID == mark.Last, g.outstanding && b.ID == g.used:
		return refuse(Duplicate)
	case b.ID.Num() <= mark.Last.Num():
		return refuse(Height)
	case g.outstanding:
		return Verdict{Action: Wait, Reason: Pending}
	case b.Previous == mark.Last:
		return g.offerChild(b)
	case !parent.Public:
		return refuse(Unlinked)
	default:
		return g.offerReserve(fsm.Mark{Last: b.Previous, Slot: parent.Slot, Source: b.Source})
	}
}

// offerChild judges a child of the mark: clause (a) of the emit rule.
func (g *Gate) offerChild(b Block) Verdict {
	mark := g.state.Mark
	again := g.spent() && b.ID == g.used // sent before, by a leadership that lost its proposal
	switch {
	case g.spent() && !again:
		return refuse(Height)
	case b.Source != mark.Source, g.disownedIn == g.term && g.disowned == mark:
		return refuse(Source)
	case b.Slot <= mark.Slot:
		return refuse(Slot)
	case g.Inherited() && !b.Watched && !again:
		return refuse(Source)
	}
	g.used, g.usedParent, g.usedBy = b.ID, mark.Last, b.Source
	return g.propose(Emit, fsm.Mark{Last: b.ID, Slot: b.Slot, Source: b.Source}, false)
}

// offerReserve asks to move the mark to another block of the network.
func (g *Gate) offerReserve(to fsm.Mark) Verdict {
	t, ok := g.Move(to)
	if !ok {
		return refuse(Height)
	}
	return Verdict{Action: Reserve, Reason: Pending, Propose: t}
}

// Move prepares the transition that makes to the mark: a reservation when
// to.Last is a higher block of the network, a change of source when it is the
// mark's own height. It returns false when the rule forbids it now. Once it
// has returned true the old right is given up: nothing is granted under it
// again in this term, and the caller must propose the transition or give up
// leadership.
func (g *Gate) Move(to fsm.Mark) (fsm.Transition, bool) {
	mark := g.state.Mark
	if !g.Leading() || g.outstanding || to == mark {
		return fsm.Transition{}, false
	}
	sameHeight := to.Last.Num() == mark.Last.Num()
	switch {
	case to.Last.Num() < mark.Last.Num():
		return fsm.Transition{}, false
	case sameHeight && g.Inherited():
		return fsm.Transition{}, false
	case sameHeight && g.spent():
		return fsm.Transition{}, false
	case sameHeight && g.disownedIn == g.term && g.disowned.Height() == mark.Height():
		return fsm.Transition{}, false // or the mark could come back to the one disowned
	}
	return g.propose(Reserve, to, sameHeight).Propose, true
}

// Resolve prepares the transition that gives the right to follow an inherited
// mark to source, although an earlier leader may have used it. It returns false
// when the right is not inherited, or this relay has used it. What makes it safe
// is for the caller to know: see fsm.Transition.Unresolved.
func (g *Gate) Resolve(source fsm.NodeID) (fsm.Transition, bool) {
	mark := g.state.Mark
	if !g.Leading() || g.outstanding || !g.Inherited() || g.spent() {
		return fsm.Transition{}, false
	}
	to := mark
	to.Source = source
	g.proposed = fsm.Transition{From: mark, To: to, Term: g.term, Unused: true, Unresolved: true}
	g.outstanding = true
	return g.proposed, true
}

// propose records the transition under way.
func (g *Gate) propose(a Action, to fsm.Mark, unused bool) Verdict {
	g.proposed = fsm.Transition{From: g.state.Mark, To: to, Term: g.term, Unused: unused}
	g.outstanding = true
	return Verdict{Action: a, Propose: g.proposed}
}
