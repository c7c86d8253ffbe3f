package main

import (
	"slices"
	"time"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/upstream"
)

const (
	// connectLimit is how long a leader may be without an upstream that accepts its
	// TCP connections: long enough to learn the chain (1 s), to ask a silent peer for
	// it (2.5 s), and for a handshake from the other side of the world.
	connectLimit = 5 * time.Second
	// unfitFirst is how long a member counts as unable to reach an upstream after it
	// has led and none took it. It doubles with each such leadership, up to
	// unfitMost: when no member is taken, leadership moves more and more seldom.
	unfitFirst = time.Minute
	unfitMost  = 8 * time.Minute
	// takenFor is how long an upstream must have been connected to clear that.
	takenFor = 10 * time.Second
)

// office is what a member has found out about itself by leading. That an
// upstream accepts a TCP connection does not mean that it takes us: it may be
// full, or refuse this address.
type office struct {
	term   uint64    // the last leadership
	bare   time.Time // since when no upstream is connected in it, and one accepts TCP
	failed bool      // that was for too long
	fails  int       // such leaderships, one after another
	until  time.Time // it counts as unfit until then, unless an upstream is connected
	common bool      // another leader reached none either meanwhile
	well   time.Time // since when one does, or that is not known
}

// judge says whether this member is of use as leader. reached says whether an
// upstream has spoken or accepted a TCP connection just now.
func (o *office) judge(now time.Time, s relay.Status, reached bool) bool {
	switch {
	case !s.Leading:
		return reached && !now.Before(o.until)
	case s.Term != o.term:
		o.term, o.bare, o.failed = s.Term, now, false
	}
	switch {
	case connected(s.Upstreams) > 0:
		o.bare, o.failed, o.until = now, false, time.Time{}
		if taken(s.Upstreams, now) {
			o.fails = 0
		}
		return reached
	case !reached:
		o.bare = now
		return false
	case now.Sub(o.bare) >= connectLimit:
		if !o.failed {
			o.failed, o.common = true, false
			o.fails++
		}
		o.until = now.Add(unfitFor(o.fails))
	}
	return !now.Before(o.until)
}

// heard takes what another member that leads tells of itself: known is false where none does. Where that one reached no upstream either and does now, the
// trouble was the upstreams' and is over. It does so for longer than it takes to find out that none takes it. As long as it is taken, and was all the time, the
// trouble is ours.
func (o *office) heard(now time.Time, reaches, known bool) {
	switch {
	case !now.Before(o.until):
		o.common = false
	case !known:
		o.well = now
	case !reaches:
		o.common, o.well = true, now
	case o.common && now.Sub(o.well) >= takenFor:
		o.until = time.Time{}
	}
}

// unfitFor is how long a member counts as unfit after so many failures.
func unfitFor(fails int) time.Duration {
	d := unfitFirst
	for range fails - 1 {
		if d *= 2; d >= unfitMost {
			return unfitMost
		}
	}
	return d
}

// taken reports whether an upstream has been connected for a while.
func taken(list []upstream.PeerStatus, now time.Time) bool {
	return slices.ContainsFunc(list, func(u upstream.PeerStatus) bool {
		return u.State == upstream.Connected && now.Sub(u.Since) >= takenFor
	})
}
