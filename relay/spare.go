package relay

import (
	"slices"
	"time"

	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/ring"
	"github.com/thinrelay/thinrelay/relay/wire"
)

const (
	// heeded is how far below its head a nodeos hears no vote while everybody votes: that is irreversible
	// (vote_processor.hpp:213-215, fork_database.cpp:251-268).
	heeded = 2
	// gapFor is how long after a gap blocks may come that nobody has heard of meanwhile, and how long before
	// our round that is looked at.
	gapFor = 2 * time.Second
)

// spare is a standby that is woken after a gap in which nobody told this relay of the network: there was no leader,
// or none that it had a link to, or no upstream.
type spare struct {
	done   bool      // it was, after this gap
	ended  time.Time // when the gap did
	newest uint32    // the highest block that others' votes were known of then
	led    bool      // a leader was there all the while: who is active by its word is at work
}

// endGap notes that somebody tells of the network again.
func (h *hub) endGap() { h.spare = spare{ended: time.Now(), newest: h.votes.newest()} }

// wakeSpare hands a standby the votes of others at the last moment at which they count: before it is given a block that
// makes irreversible what they are for. In a gap that lasted for two blocks the votes for these were lost, and in
// our round nobody casts any before there is a block of ours. The active replica has begun it on what it had, which the
// network does not come back to, or is gone with the leader: then a standby that is woken later does not begin, and the whole
// round is lost. Where the active replica is at work all the same the spare's blocks are refused, and others stand by: so not for
// a block of ours, for which there will be votes. A follower does so as well: the leader may have no standby of its own, and what
// it says of those here comes later than the blocks.
func (h *hub) wakeSpare(r *replica, e *ring.Entry) {
	if h.spare.done || h.sched.IsOurs(e.Block.Producer) {
		return
	}
	now := time.Now()
	if now.Sub(h.spare.ended) > gapFor || h.mode() != director.Votes || !h.begins(now) {
		return
	}
	newest := h.spare.newest
	if newest == 0 || e.Block.Num() < newest+heeded || h.votes.newest() > newest {
		return
	}
	if next := h.ring.Ancestor(e, newest+heeded); next == nil || next.Has(r.number) || h.dir.Next(h.atHand(), now) != r.id {
		return
	}
	if before := h.ring.Ancestor(e, newest+heeded-1); before == nil || h.supply(&r.peer, before) != supplyDone {
		return
	}
	h.spare.done = true
	h.replayVotes(h.sources[r.id])
}

// atHand are the candidates that this relay feeds itself: no other one hears of the votes in time.
func (h *hub) atHand() []director.Replica {
	return slices.DeleteFunc(h.candidates(), func(r director.Replica) bool {
		s := h.sources[r.ID]
		return s.local == nil || s.home != nil
	})
}

// begins reports whether our round begins: its first slot is being built, or was the slot before. While the active replica
// is not at hand one that is about to begin counts as well.
func (h *hub) begins(now time.Time) bool {
	slot, ahead := h.clock.SlotAt(now), wire.Slot(1)
	if active := h.dir.Active(); !h.fit(active) && (!h.spare.led || active.IsZero()) {
		ahead += wire.Slot(gapFor / h.cfg.SlotLength)
	}
	for s := max(slot, 1) - 1; s <= slot+ahead; s++ {
		if s%director.RoundSlots == 0 && h.sched.Ours(s) && !h.sched.Ours(s-1) {
			return true
		}
	}
	return false
}

// newest returns the highest block that a vote of others is kept of.
func (v *votes) newest() (num uint32) {
	for i := range v.recent {
		if k := &v.recent[i]; k.frame != nil {
			num = max(num, k.vote.block.Num())
		}
	}
	return num
}
