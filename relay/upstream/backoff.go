package upstream

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/thinrelay/thinrelay/relay/conn"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// stable is how long a connection must have lasted for the back-off to start anew after it.
const stable = 10 * time.Second

// cause is a family of reasons for which a connection ended, with the pace at which it is tried again.
type cause struct {
	name         string
	first, limit time.Duration
	grudge       time.Duration // how long a connection must last for it to be forgotten; 0: stable
	alarm        bool          // someone has to change something: said loudly, each time
	hint         string        // what to look at
}

var (
	causeLost = cause{name: "lost", first: 100 * time.Millisecond, limit: 5 * time.Second}
	causeBusy = cause{name: "refused by peer", first: time.Second, limit: 30 * time.Second}
	causeShut = cause{
		name: "closed early", first: 2 * time.Second, limit: 30 * time.Second,
		hint: "the peer closes us on sight: ask its operator for p2p-max-nodes-per-host >= 4, max-clients and the firewall",
	}
	causeMute = cause{
		name: "no handshake", first: 2 * time.Second, limit: 30 * time.Second,
		hint: "something listens there and says nothing: is it the p2p port of a nodeos?",
	}
	causeBroken = cause{
		name: "protocol", first: 5 * time.Second, limit: time.Minute,
		hint: "what listens there does not speak this protocol, or it is hostile",
	}
	causeUnwanted = cause{
		name: "go_away", first: 5 * time.Second, limit: time.Minute,
		hint: "the peer refuses what it got from us: its log says what",
	}
	causeChain = cause{
		name: "wrong chain", first: 5 * time.Minute, limit: 5 * time.Minute, alarm: true,
		hint: "compare chain_id with the peer's get_info",
	}
	causeUnknown = cause{
		name: "chain unknown", first: 5 * time.Second, limit: time.Minute, alarm: true,
		hint: "set chain_id: this peer does not tell its own first",
	}
	causeAuth = cause{
		name: "authentication", first: 5 * time.Minute, limit: 5 * time.Minute, alarm: true,
		hint: "the peer wants a known key: give it the public key of peer_key_file as peer-key",
	}
	causeForked = cause{
		name: "forked", first: 5 * time.Minute, limit: 5 * time.Minute, alarm: true,
		hint: "the peer's irreversible blocks are not ours: one side is on a dead fork",
	}
	causeLied = cause{
		name: "lies", first: 10 * time.Second, limit: 5 * time.Minute, grudge: time.Hour,
		hint: "replicas hang up on blocks that this peer alone sends: ask its operator, or take another",
	}
	causeSelf = cause{
		name: "self", first: 5 * time.Minute, limit: 5 * time.Minute, alarm: true,
		hint: "list nodeos of the network in upstream.peers, and no relay",
	}
)

// causeOf sorts the error that ended a connection.
func causeOf(err error) cause {
	var bye GoAway
	switch {
	case errors.Is(err, ErrChainUnknown):
		return causeUnknown
	case errors.As(err, &bye):
		return causeOfGoAway(bye.Reason)
	case errors.Is(err, ErrWrongChain):
		return causeChain
	case errors.Is(err, ErrOwnHandshake):
		return causeSelf
	case errors.Is(err, ErrLied):
		return causeLied
	case errors.Is(err, ErrClosedEarly):
		return causeShut
	case errors.Is(err, ErrHandshakeTimeout):
		return causeMute
	}
	for _, e := range []error{
		conn.ErrProtocol, ErrHandshake, ErrEarlyFrame, ErrMessage, ErrFlood, ErrNotLearned,
	} {
		if errors.Is(err, e) {
			return causeBroken
		}
	}
	return causeLost
}

func causeOfGoAway(r wire.GoAwayReason) cause {
	switch r {
	case wire.GoAwayWrongChain:
		return causeChain
	case wire.GoAwayAuthentication:
		return causeAuth
	case wire.GoAwayForked:
		return causeForked
	case wire.GoAwaySelf:
		return causeSelf
	case wire.GoAwayNone, wire.GoAwayDuplicate, wire.GoAwayBenign, wire.GoAwayWrongVersion:
		return causeBusy
	}
	return causeUnwanted
}

// backoff counts the failures of one peer. A different cause, or a connection that held, starts it anew.
type backoff struct {
	name  string
	tries int
}

// next is the time to wait before trying again: doubled with each failure of the same kind up to the limit, and spread
// by a quarter to both sides so that relays which lost a peer together do not come back together.
func (b *backoff) next(c cause, lasted time.Duration) time.Duration {
	if c.name != b.name || lasted >= max(stable, c.grudge) {
		b.name, b.tries = c.name, 0
	}
	d := c.limit
	if b.tries < 16 { // 16 doublings exceed every limit
		d = min(c.first<<b.tries, c.limit)
	}
	b.tries++
	return d*3/4 + rand.N(d/2+1)
}
