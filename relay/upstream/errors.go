package upstream

import (
	"errors"
	"fmt"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// Why a connection to an upstream ended, or a fetch failed.
var (
	// ErrWrongChain is returned when the peer's handshake names another chain id than ours.
	ErrWrongChain = errors.New("peer is on another chain")
	// ErrClosedEarly is returned when the peer accepted the connection and closed it before its handshake, as nodeos
	// does above p2p-max-nodes-per-host and max-clients (net_plugin.cpp:2780-2838).
	ErrClosedEarly = errors.New("peer closed the connection before its handshake")
	// ErrHandshakeTimeout is returned when the peer did not send a handshake in time.
	ErrHandshakeTimeout = errors.New("no handshake in time")
	// ErrHandshake is returned for a handshake that contradicts itself.
	ErrHandshake = errors.New("handshake makes no sense")
	// ErrChainUnknown is returned when the chain id is not configured and the peer does not tell its own before it has
	// seen ours.
	ErrChainUnknown = errors.New("chain id is not known and the peer does not tell it")
	// ErrNotLearned is returned when the chain id learned from the peer was not accepted.
	ErrNotLearned = errors.New("chain id of the peer was not accepted")
	// ErrOwnHandshake is returned when the peer answers with our own node id or, as relays do, with the go_away "self".
	ErrOwnHandshake = errors.New("address leads back to a relay")
	// ErrEarlyFrame is returned for a message that has no place before the handshake, or for too many bytes of them.
	ErrEarlyFrame = errors.New("unexpected message before the handshake")
	// ErrMessage is returned for a message that does not decode.
	ErrMessage = errors.New("malformed message")
	// ErrFlood is returned when the peer sends handshakes and notices faster than any nodeos.
	ErrFlood = errors.New("too many handshakes and notices")
	// ErrLied is the reason for closing a peer that alone has told blocks over which replicas hung up.
	ErrLied = errors.New("peer sent blocks that no other has and that replicas hung up on")
	// ErrSlow is returned when the peer has not taken what is queued for it, so that a handshake found no room.
	ErrSlow = errors.New("peer does not read")

	// ErrConfig is returned by Run for a Config that cannot work.
	ErrConfig = errors.New("upstream configuration")
	// ErrNoSource is returned by Fetch when no upstream is left that can serve the next block.
	ErrNoSource = errors.New("no upstream can serve these blocks")
	// ErrBusy is returned by Fetch when too many fetches wait already.
	ErrBusy = errors.New("too many block fetches at once")
	// ErrStalled is returned when a source sent nothing useful for too long.
	ErrStalled = errors.New("source stalled")
	// ErrUnlinked is returned when a source sent a block that is malformed, out of sequence or does not link.
	ErrUnlinked = errors.New("source sent a block that does not follow")
)

// errIdle ends a sync connection that nobody needs any more.
var errIdle = errors.New("sync connection is no longer needed")

// GoAway is the error of a connection that the peer ended with a go_away message.
type GoAway struct{ Reason wire.GoAwayReason }

// Error names the reason as nodeos does.
func (g GoAway) Error() string { return fmt.Sprintf("peer sent go_away: %s", g.Reason) }
