package relay

import (
	"time"

	"github.com/thinrelay/thinrelay/relay/conn"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// A connection may stand for half a minute before it ends: a process that was stopped, a
// line that carries nothing. Who answers our time messages hears us and is heard; who
// no longer does is fed by another relay that it is connected to, and is not to be
// active while another one answers, unless its blocks come (see speaks).
const (
	// linkBeat is how often relays ask each other, and linkSilence how long the answer may
	// stay away: two segments lost one after another, from the other side of the world.
	linkBeat    = 500 * time.Millisecond
	linkSilence = 1500 * time.Millisecond
	// replicaBeat and replicaSilence are the same for a nodeos, which may be busy.
	replicaBeat    = time.Second
	replicaSilence = 3 * time.Second
	// blink bounds what one tick adds to the silence of others: we may have stood still
	// ourselves.
	blink = 100 * time.Millisecond
	// leastFor is for how long the least that an answer took is known to be the way there: ways change.
	leastFor = time.Minute
)

// pulse is what is known of a peer's answers.
type pulse struct {
	last   conn.Answer      // the last one
	at     time.Duration    // when that was seen; see hub.awake
	least  [2]time.Duration // the least that one took since turned, and in the leastFor before
	turned time.Duration
	silent bool // the last one is long ago; who never answers at all is not meant
}

// took notes what an answer took.
func (p *pulse) took(d, awake time.Duration) {
	switch {
	case p.last.At.IsZero():
		p.least, p.turned = [2]time.Duration{d, d}, awake
	case awake-p.turned > leastFor:
		p.least, p.turned = [2]time.Duration{d, p.least[0]}, awake
	}
	p.least[0] = min(p.least[0], d)
}

// way is how long the way back is, at its best.
func (p *pulse) way() time.Duration { return min(p.least[0], p.least[1]) / 2 }

// listen looks whether an answer has come, and reports whether that changes anything.
func (p *peer) listen(awake, limit time.Duration) bool {
	if last := p.conn.Answered(); last != p.pulse.last {
		p.pulse.took(last.At.Sub(last.Asked), awake)
		p.pulse.last, p.pulse.at = last, awake
	}
	was := p.pulse.silent
	p.pulse.silent = !p.pulse.last.At.IsZero() && awake-p.pulse.at > limit
	return p.pulse.silent != was
}

// watchSilence finds out who hears us and is heard.
func (h *hub) watchSilence(now time.Time) {
	h.awake += min(now.Sub(h.ticked), blink)
	h.ticked = now
	changed := false
	for _, r := range h.replicaSet {
		if r.listen(h.awake, replicaSilence) {
			changed = true
			h.replicaState(r)
		}
	}
	for _, k := range h.linkSet {
		changed = k.listen(h.awake, linkSilence) || changed
	}
	if changed {
		h.sendRosters()
	}
	h.noteReached()
}

// wayOf returns the connection over which the replica is fed, nil when there is none.
func (h *hub) wayOf(id wire.ID) *peer {
	switch s := h.sources[id]; {
	case s == nil:
	case s.home != nil:
		return &s.home.peer
	case s.local != nil:
		return &s.local.peer
	}
	return nil
}

// wayTo returns how long a block takes to the replica, as far as is known.
func (h *hub) wayTo(id wire.ID) time.Duration {
	if p := h.wayOf(id); p != nil {
		return p.conn.RTT() / 2
	}
	return 0
}

// noteReached notes by when the newest blocks had reached the active replica, or the relay
// that feeds it: those that the mark may be moved to, see align.
func (h *hub) noteReached() {
	p := h.wayOf(h.dir.Active())
	if p == nil || p.pulse.last.At.IsZero() {
		return
	}
	e := h.believable(h.head())
	for range forkedOut + 1 {
		if e == nil || !e.Reached.IsZero() {
			return
		}
		if !e.Since.After(p.pulse.last.Asked) {
			e.Reached = p.pulse.last.At
		}
		e = h.ring.Parent(e)
	}
}

// forgetReached forgets that: of another active replica it says nothing.
func (h *hub) forgetReached() {
	e := h.believable(h.head())
	for i := 0; i <= forkedOut && e != nil; i++ {
		e.Reached = time.Time{}
		e = h.ring.Parent(e)
	}
}

// silentAt reports whether the replica is not heard over another relay.
func (s *source) silentAt(k *link) bool { return k.pulse.silent || k.attached[s.id].silent }

// silent reports whether the replica is not heard where it is fed.
func (s *source) silent() bool {
	if s.home != nil {
		return s.silentAt(s.home)
	}
	return s.local != nil && s.local.pulse.silent
}

// speaks reports whether the replica is active and not heard, while its blocks come in time: a line
// that is broken one way. To go over to another one costs two slots in our round, and none after it. In time by a clock that
// is not set back.
func (h *hub) speaks(s *source) bool {
	return s.id == h.dir.Active() && s.silent() && time.Now().Before(h.round.next)
}

// settle chooses the relay that feeds the replica: this one, if it is heard here, or the
// first that it is heard over, for as long as it is. Where it is heard nowhere it stays.
func (h *hub) settle(s *source) {
	switch {
	case s.local != nil && !s.local.pulse.silent || len(s.remote) == 0:
		s.home = nil
		return
	case s.home != nil && !s.silentAt(s.home):
		return
	}
	for _, k := range s.remote {
		if !s.silentAt(k) {
			s.home, s.fed = k, h.seq
			return
		}
	}
	if s.home == nil && s.local == nil {
		s.home, s.fed = s.remote[0], h.seq
	}
}

// fit reports whether it is at the head of the chain, as far as is known, and heard.
func (r *replica) fit() bool { return !r.syncing && !r.behind && !r.woken && !r.pulse.silent }
