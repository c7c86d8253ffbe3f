package downstream

import (
	"errors"

	"github.com/thinrelay/thinrelay/relay/conn"
	"github.com/thinrelay/thinrelay/relay/wire"
)

var (
	// ErrNotAllowed is the reason for an address outside the allow-list.
	ErrNotAllowed = errors.New("address is not in the allow-list")
	// ErrFull is the reason when MaxConns or MaxConnsPerAddr is reached.
	ErrFull = errors.New("too many connections")
	// ErrCrowded is the reason for a connection that had to make room: too many came without a handshake.
	ErrCrowded = errors.New("too many connections without a handshake")
	// ErrNoHandshake is the reason when the handshake did not come in time.
	ErrNoHandshake = errors.New("no handshake in time")
	// ErrNotHandshake is the reason when something else came first, or the first handshake was not of generation 1.
	ErrNotHandshake = errors.New("connection does not begin with a handshake")
	// ErrChain is the reason for a replica of another chain.
	ErrChain = errors.New("wrong chain id")
	// ErrRelay is the reason for a relay that dials this port as if it were a nodeos of the network: this one, or another.
	ErrRelay = errors.New("a relay dials this port: its upstream.peers must list nodeos of the network and no relay")
	// ErrKey is the reason for a handshake that is not signed, badly signed, or signed by a key that is not listed.
	ErrKey = errors.New("peer key refused")
	// ErrReplaced is the cause when a newer connection came from the same node_id.
	ErrReplaced = errors.New("replaced by a newer connection of the same node")
	// ErrTwice is the reason for a second connection of a node whose first one is alive.
	ErrTwice = errors.New("the node is connected here already, over a connection that answers: is this relay in its p2p-peer-address twice?")
	// ErrGoAway is the cause when the replica said go_away; the text has its reason.
	ErrGoAway = errors.New("replica said go_away")
	// ErrCancelled is the cause that ends a fetch when the replica took its sync request back.
	ErrCancelled = errors.New("sync request cancelled")
	// ErrGap is returned to a Fetcher that delivers anything but the next block.
	ErrGap = errors.New("not the next block")
)

// reason is a constant word for an error of this package, for logs and metrics.
func reason(err error) string {
	for _, r := range [...]struct {
		err  error
		word string
	}{
		{ErrNotAllowed, "not_allowed"},
		{ErrFull, "full"},
		{ErrCrowded, "crowded"},
		{ErrNoHandshake, "no_handshake"},
		{ErrNotHandshake, "not_handshake"},
		{ErrChain, "wrong_chain"},
		{ErrRelay, "relay"},
		{ErrKey, "peer_key"},
		{ErrReplaced, "replaced"},
		{ErrTwice, "twice"},
		{ErrGoAway, "go_away"},
		{wire.ErrHandshake, "bad_handshake"},
		{conn.ErrProtocol, "protocol"},
		{conn.ErrPeerClosed, "closed"},
		{conn.ErrReadTimeout, "silent"},
		{conn.ErrSlowReader, "slow_reader"},
	} {
		if errors.Is(err, r.err) {
			return r.word
		}
	}
	return "other"
}
