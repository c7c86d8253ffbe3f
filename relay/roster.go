package relay

import (
	"slices"
	"time"

	"github.com/thinrelay/thinrelay/relay/conn"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/ring"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// without returns set less x; order is kept.
func without[T comparable](set []T, x T) []T {
	if i := slices.Index(set, x); i >= 0 {
		return slices.Delete(set, i, i+1)
	}
	return set
}

// sendFeed sends a message of the feed. A full queue ends the link: its state
// would no longer be whole, and a new one starts from the beginning.
func (h *hub) sendFeed(k *link, t wire.Type, body []byte) bool {
	h.buf = body[:0]
	f := wire.RawFrame(t, body)
	ok := k.conn.Send(conn.Control, f)
	f.Release()
	if !ok {
		k.conn.Close(conn.ErrSlowReader)
	}
	return ok
}

// announce tells where a block comes from.
func (h *hub) announce(k *link, o origin) bool {
	return h.sendFeed(k, typeOrigin, appendOrigin(h.buf[:0], o))
}

// passUp sends a replica's block to the leader. When the leader has it from
// elsewhere, it is told of this source alone.
func (h *hub) passUp(e *ring.Entry, o ring.Origin) {
	k := h.leader
	if k == nil {
		return
	}
	if e.Has(k.number) {
		h.announce(k, origin{block: e.Block.ID, source: o.ID, watched: o.Watched, emitted: e.Emitted})
		return
	}
	h.give(&k.peer, e)
}

// passVoteUp sends a vote of a node of ours to the leader.
func (h *hub) passVoteUp(f *wire.Frame, source wire.ID) {
	if h.leader != nil {
		h.sendOurVote(h.leader, f, source)
	}
}

// sendOurVote sends a vote of a node of ours, announced as such. Where only the
// announcement found room, it would make the next vote of others one of ours.
func (h *hub) sendOurVote(k *link, f *wire.Frame, source wire.ID) {
	if h.sendFeed(k, typeOurs, append(h.buf[:0], source[:]...)) && !k.conn.Send(conn.Control, f) {
		k.conn.Close(conn.ErrSlowReader)
	}
}

// sendAttach tells the leader of a replica here, and of its state.
func (h *hub) sendAttach(r *replica) {
	if k := h.leader; k != nil {
		h.sendFeed(k, typeAttach, appendAttach(h.buf[:0], attach{
			id: r.id, chain: r.r.Handshake().ChainID, name: r.name, observer: r.observer, fit: r.fit(), silent: r.pulse.silent,
		}))
	}
}

// sendDetach tells the leader that a replica here is gone.
func (h *hub) sendDetach(d detach) {
	if k := h.leader; k != nil {
		h.sendFeed(k, typeDetach, appendDetach(h.buf[:0], d))
	}
}

// onAttach takes note of a replica at a follower.
func (h *hub) onAttach(k *link, a attach) {
	if k.l.up {
		return
	}
	h.cfg.Chain.Hear(a.chain)
	news := h.sources[a.id] == nil
	s := h.sourceOf(a.id, a.name, a.observer)
	_, known := k.attached[a.id]
	k.attached[a.id] = presence{a.fit, a.silent}
	if !known {
		s.remote = append(s.remote, k)
		h.record(Record{Kind: ReplicaUp, Source: a.id, Name: a.name, Text: "at " + k.name})
	}
	if news && h.lead != nil && a.id == h.dir.Active() {
		h.onActive(director.CauseLeading)
	}
	h.sendRosters()
}

// onDetach takes note that a replica is gone from a follower. One that has hung up is the judge of what it was given.
func (h *hub) onDetach(k *link, d detach) {
	if s := h.sources[d.id]; s != nil {
		name, fit, votes := s.name, k.attached[d.id].fit, s.home == k && h.hearsVotes(d.id, s.observer)
		h.detach(k, d.id)
		if !d.severed {
			h.hungUp(k.number, name)
			h.doubtSync(!fit)
			if votes {
				h.votes.doubt(time.Now())
			}
		}
	}
	h.sendRosters()
}

// detach forgets that a replica is connected to a follower.
func (h *hub) detach(k *link, id wire.ID) {
	s := h.sources[id]
	if s == nil {
		return
	}
	delete(k.attached, id)
	s.remote = without(s.remote, k)
	if s.home == k {
		s.home = nil
	}
	h.record(Record{Kind: ReplicaDown, Source: id, Name: s.name, Text: "at " + k.name})
	h.dropSource(s)
}

// sendRosters decides which relay feeds which replica, and tells the
// followers: see settle.
func (h *hub) sendRosters() {
	if h.lead == nil {
		return
	}
	for _, s := range h.sources {
		h.settle(s)
	}
	for _, k := range h.linkSet {
		r := roster{term: h.lead.term, active: h.dir.Active(), lib: h.lib(), ups: uint8(min(len(h.upSet), 255))}
		for id := range k.attached {
			if s := h.sources[id]; s != nil && s.home == k {
				r.feed = append(r.feed, id)
			}
		}
		h.sendFeed(k, typeRoster, appendRoster(h.buf[:0], r))
	}
}

// onRoster does what the leader says: who is active, whom to feed.
func (h *hub) onRoster(k *link, r roster) {
	if k != h.leader || h.lead != nil || r.term < h.heardTerm {
		return
	}
	h.heardTerm = r.term
	changed := h.dir.Active() != r.active
	if r.ups > 0 && h.successor.IsZero() {
		h.successor = time.Now()
	}
	if r.ups > 0 && k.alone {
		h.endGap()
		h.spare.led = k.served
	}
	k.alone, k.served = r.ups == 0, k.served || r.ups > 0
	h.dir.Adopt(r.active)
	h.heardLIB = max(h.heardLIB, r.lib)
	for _, local := range h.replicaSet {
		if !slices.Contains(r.feed, local.id) {
			local.muted = true
		} else if local.muted {
			h.unmute(local)
			changed = changed || local.id == r.active
		}
	}
	if s := h.sources[r.active]; changed && s != nil && s.local != nil && !s.local.muted {
		h.replayVotes(s)
	}
}
