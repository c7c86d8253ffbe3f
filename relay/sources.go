package relay

import (
	"time"

	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// source is a replica, wherever in the group it is connected: at this relay,
// at others, or both. Only the leader's view of remote ones is complete.
type source struct {
	id       wire.ID
	name     string
	observer bool
	local    *replica
	remote   []*link   // the relays it is connected to, beside this one
	home     *link     // the one that feeds it; nil: this relay, if any
	fed      uint64    // the ordinal of the last block known when home began to
	voting   wire.Slot // when it last voted
	votes    int       // how often in that slot
}

// mayVote counts a vote of the source. It reports whether that is not too many: they would
// fill the queues of upstreams and links, where our blocks have to go.
func (s *source) mayVote(now wire.Slot) bool {
	if s.voting != now {
		s.voting, s.votes = now, 0
	}
	s.votes++
	return s.votes <= slotVotes
}

// sourceOf returns the source, made if need be.
func (h *hub) sourceOf(id wire.ID, name string, observer bool) *source {
	s := h.sources[id]
	if s == nil {
		s = &source{id: id}
		h.sources[id] = s
	}
	s.name, s.observer = name, observer
	return s
}

// dropSource forgets a source that is connected nowhere.
func (h *hub) dropSource(s *source) {
	if s.local == nil && len(s.remote) == 0 {
		delete(h.sources, s.id)
	}
}

// sourceName returns the replica's agent name, or the start of its id.
func (h *hub) sourceName(id wire.ID) string {
	if s := h.sources[id]; s != nil {
		return s.name
	}
	if (id == wire.ID{}) {
		return ""
	}
	return id.String()[:8]
}

// fit reports whether the replica can be active: connected, a producer, and
// at the head of the chain.
func (h *hub) fit(id wire.ID) bool {
	s := h.sources[id]
	return s != nil && h.fitSource(s)
}

func (h *hub) fitSource(s *source) bool {
	switch {
	case s.observer:
		return false
	case s.home != nil:
		return s.home.attached[s.id].fit && !s.home.pulse.silent
	}
	return s.local != nil && s.local.fit()
}

// candidates lists the replicas for the director. Where all are silent the fault is
// ours, or of the lines that they share, and to choose another one would not help.
func (h *hub) candidates() []director.Replica {
	list := make([]director.Replica, 0, len(h.sources))
	fit := false
	for _, s := range h.sources {
		if !s.observer {
			list = append(list, director.Replica{ID: s.id, Name: s.name, Fit: h.fitSource(s) || h.speaks(s)})
			fit = fit || h.fitSource(s)
		}
	}
	for i := range list {
		if s := h.sources[list[i].ID]; !fit && s.silent() {
			list[i].Fit = true
		}
	}
	return list
}

// onActive tells everyone that the active replica changed: it is handed the
// last votes at once, so that it need not wait for new ones.
func (h *hub) onActive(cause director.Cause) {
	active := h.dir.Active()
	h.round.since = time.Now()
	h.forgetReached()
	h.record(Record{Kind: ActiveChange, Source: active, Name: h.sourceName(active), Cause: cause})
	h.sendRosters()
	if s := h.sources[active]; s != nil {
		h.replayVotes(s)
	}
}
