package upstream

import (
	"fmt"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// view is a root and a head, as one side of a connection tells them to the other.
type view struct{ root, head wire.ID }

// viewOf is what a handshake tells. A number that contradicts its id makes the handshake invalid.
func viewOf(h *wire.Handshake) (view, error) {
	if h.RootNum != h.RootID.Num() || h.HeadNum != h.HeadID.Num() {
		return view{}, fmt.Errorf("%w: root %d and head %d are not the numbers of their ids", ErrHandshake, h.RootNum, h.HeadNum)
	}
	return view{root: h.RootID, head: h.HeadID}, nil
}

// sane is v if it may be announced, else nothing: a root above the head is answered with go_away (net_plugin.cpp:3235).
func (v view) sane() view {
	if v.head.IsZero() || v.root.Num() > v.head.Num() {
		return view{}
	}
	return v
}

// echoNeeded reports whether a peer that has told us `told` must hear its own words again, given what we said last. All
// that nodeos decides about a peer follows from the peer's last handshake (net_plugin.cpp:2217-2319), so ours must not
// grow old in one of three ways:
//   - a head above its own: it takes us for a source of blocks and asks for them;
//   - a root above its own: it sends us no block up to that root;
//   - a head under its root: it takes us for far behind, and a peer it believes to be syncing gets nothing live.
//
// Otherwise silence is best: every handshake makes it decide again.
func echoNeeded(said, told view) bool {
	return said.head.Num() > told.head.Num() ||
		said.root.Num() > told.root.Num() ||
		said.head.Num() < told.root.Num()
}
