package relay

import (
	"time"

	"github.com/thinrelay/thinrelay/relay/conn"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// wakeAfter is how long a replica that has got all it was told to sync to may take
// to say where it is.
const wakeAfter = 2 * time.Second

// tellAgain is when a replica that was told to sync and has asked for nothing is told once more. A nodeos that
// syncs from somewhere else heeds no notice until nothing has come of that for 5 s (net_plugin.cpp:2143-2163), and
// when that connection then ends it asks nobody by itself, if a block of ours made it forget its source (2498-2503).
// It is for the relay that feeds it to say so.
const tellAgain = 6 * time.Second

// startSync tells a replica that is too far behind for the ring to ask for
// blocks up to the last irreversible one, or to one that is still here when finality
// has fallen behind what the ring holds: with the other it would still lack the rest.
// Not so while the ring has just begun, and what is below it is on its way.
func (h *hub) startSync(r *replica) {
	tip, lib := h.front(), h.lib()
	if lowest := h.ring.Lowest(); tip != nil && lib < lowest && tip.Block.Num()-lowest > 2*linkBack {
		lib = lowest + (tip.Block.Num()-lowest)/2
	}
	if tip == nil || lib <= r.floor {
		return // nothing final to sync to yet
	}
	h.setSyncing(r, true)
	r.target, r.quiet = lib, time.Now()
	n := wire.Notice{
		KnownTrx:    wire.IDList{Mode: wire.ModeLastIrrCatchUp, Pending: lib},
		KnownBlocks: wire.IDList{Mode: wire.ModeLastIrrCatchUp, Pending: tip.Block.Num(), IDs: []wire.ID{tip.Block.ID}},
	}
	if r.version >= wire.ProtoBlockRange {
		n.KnownBlocks.IDs = append(n.KnownBlocks.IDs, wire.StartID(1))
	}
	f := wire.Encode(&n)
	r.conn.Send(conn.Control, f)
	f.Release()
}

// wake gives live blocks again to a replica that has been given all it was to sync
// to, and is silent. A nodeos says where it is when it has applied the target or a
// block above it (net_plugin.cpp:2490-2519), which may take longer. One that had all of them already,
// without our knowing, waits for the next block, which nobody else can send it.
func (h *hub) wake(r *replica, now time.Time) {
	if !r.syncing {
		return
	}
	queued := r.conn.Stats()
	switch served, open := r.r.Served(); {
	case open || queued.QueuedFrames+queued.QueuedSync != 0:
		r.quiet = now
	case served >= r.target && now.Sub(r.quiet) > wakeAfter:
		r.floor, r.woken = max(r.floor, served), true
		h.setSyncing(r, false)
		h.catchUp(r)
	case now.Sub(r.quiet) > tellAgain && !r.muted:
		r.quiet = now
		h.startSync(r)
	}
}
