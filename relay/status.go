package relay

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/thinrelay/thinrelay/fsm"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/ring"
	"github.com/thinrelay/thinrelay/relay/upstream"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// Status is what a node knows at one moment.
type Status struct {
	At      time.Time
	Leading bool
	Term    uint64 // while leading
	Mode    director.Mode
	Active  wire.ID
	State   fsm.State
	// Tip is the highest public block; false while there is none.
	Tip    wire.Block
	HasTip bool
	LIB    uint32
	// NextRound is when our next round begins; zero while the schedule is not
	// known, or while a round of ours runs.
	NextRound time.Time
	// InRound: the current slot is ours.
	InRound   bool
	Replicas  []ReplicaStatus
	Upstreams []upstream.PeerStatus
	Links     []LinkStatus
	// Ended is when this relay last stopped leading, Successor when it first
	// saw a later leader that had an upstream: the gap between the two.
	Ended, Successor time.Time
	// Unresolved is since when this leader lets nothing out, because it cannot know whether the next block was sent; zero: it does not wait.
	Unresolved time.Time
	// Heard is when an upstream last said something, while leading.
	Heard     time.Time
	RingLen   int
	RingBytes int
	// LostRecords counts the records the observer was too slow for.
	LostRecords uint64
}

// ReplicaStatus is one replica, connected here or (on the leader) elsewhere.
type ReplicaStatus struct {
	ID       wire.ID
	Name     string
	Relay    string // the relay that feeds it
	Addr     string // empty when it is not connected here
	Version  int
	Active   bool
	Observer bool
	Behind   bool
	Syncing  bool
	RTT      time.Duration
}

// LinkStatus is one stream to another relay.
type LinkStatus struct {
	Name   string
	Leader bool // it leads to the leader
	RTT    time.Duration
	Behind bool
}

// BlockStatus is a block of ours in the ring.
type BlockStatus struct {
	Block   wire.Block
	Source  wire.ID
	Name    string
	Emitted bool
	Network bool
}

// Status returns what the node knows now; false when it is not running.
func (n *Node) Status(ctx context.Context) (Status, bool) {
	var s Status
	if !n.hub.call(ctx, func() { s = n.hub.status() }) {
		return s, false
	}
	if d := n.dialer.Load(); d != nil {
		s.Upstreams = d.Statuses()
	}
	return s, true
}

// Blocks returns up to limit blocks of ours, the newest first.
func (n *Node) Blocks(ctx context.Context, limit int) []BlockStatus {
	var list []BlockStatus
	n.hub.call(ctx, func() { list = n.hub.ourBlocks(limit) })
	return list
}

func (h *hub) status() Status {
	now := time.Now()
	s := Status{
		At: now, Leading: h.lead != nil, Mode: h.mode(), Active: h.dir.Active(), State: h.gate.State(),
		LIB: h.lib(), RingLen: h.ring.Len(), RingBytes: h.ring.Bytes(), LostRecords: h.lostRecords,
		Ended: h.ended, Successor: h.successor,
	}
	if h.lead != nil {
		s.Term, s.Unresolved = h.lead.term, h.round.stuck
	}
	if tip := h.ring.Tip(); tip != nil {
		s.Tip, s.HasTip = tip.Block, true
	}
	slot := h.clock.SlotAt(now) + 1
	s.InRound = h.sched.Ours(slot)
	if next, ok := h.sched.NextRound(slot); ok && !s.InRound {
		s.NextRound = h.clock.TimeOf(next)
	}
	for _, u := range h.upSet {
		if u.heard.After(s.Heard) {
			s.Heard = u.heard
		}
	}
	for _, src := range h.sources {
		s.Replicas = append(s.Replicas, h.replicaStatus(src))
	}
	slices.SortFunc(s.Replicas, func(a, b ReplicaStatus) int { return cmp.Compare(a.Name, b.Name) })
	for _, k := range h.links {
		s.Links = append(s.Links, LinkStatus{Name: k.name, Leader: k.l.up, RTT: k.conn.RTT(), Behind: k.behind || k.pulse.silent})
	}
	slices.SortFunc(s.Links, func(a, b LinkStatus) int { return cmp.Compare(a.Name, b.Name) })
	return s
}

func (h *hub) replicaStatus(src *source) ReplicaStatus {
	r := ReplicaStatus{
		ID: src.id, Name: src.name, Active: src.id == h.dir.Active(), Observer: src.observer, Relay: h.cfg.Name,
	}
	if l := src.local; l != nil {
		r.Addr, r.Version, r.RTT = l.r.Addr().String(), l.version, l.conn.RTT()
		r.Behind, r.Syncing = l.behind || l.pulse.silent, l.syncing
		return r
	}
	if src.home != nil {
		r.Relay = src.home.name
		r.Behind = !src.home.attached[src.id].fit || src.home.pulse.silent
	}
	return r
}

func (h *hub) ourBlocks(limit int) []BlockStatus {
	var list []BlockStatus
	tip := h.ring.Tip()
	if tip == nil {
		return nil
	}
	for num := tip.Block.Num() + 1; num >= h.ring.Lowest() && num > 0 && len(list) < limit; num-- {
		h.ring.At(num, func(e *ring.Entry) bool {
			if h.sched.IsOurs(e.Block.Producer) && (e.Emitted || e.Network) {
				id := firstOrigin(e)
				list = append(list, BlockStatus{e.Block, id, h.sourceName(id), e.Emitted, e.Network})
			}
			return len(list) < limit
		})
	}
	return list
}
