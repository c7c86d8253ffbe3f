package relay

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/thinrelay/thinrelay/relay/conn"
	"github.com/thinrelay/thinrelay/relay/downstream"
	"github.com/thinrelay/thinrelay/relay/upstream"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// eventKind says what an event is.
type eventKind uint8

const (
	evFrame eventKind = iota
	evUp
	evDown
)

// event is what a connection's reader tells the hub. Exactly one of replica,
// up and link names the peer. A frame comes with its reference.
type event struct {
	kind    eventKind
	replica *downstream.Replica
	up      *upstream.Peer
	link    *Link
	frame   *wire.Frame
	block   wire.Block // of a block frame: parsed by the reader
	trx     [32]byte   // of a transaction: its key, which takes the reader 6 ms for the largest
	at      time.Time  // when the frame was read
	counted *conn.Conn // the connection among whose waiting frames it counts; nil: none
	err     error
}

func (e *event) release() {
	if e.frame != nil {
		e.frame.Release()
	}
}

// post hands a frame to the hub: transactions to the bulk inbox, dropped when
// it is full, all else to the urgent one, waiting for room: in the inbox, and in
// what one connection may have there, or one that floods it would make our blocks
// wait for a thousand of its frames. Blocks are parsed
// here, on the reader's goroutine. The error is a peer's fault: malformed
// bytes. ctx is the connection's.
func (h *hub) post(ctx context.Context, e event) error {
	e.at = time.Now()
	switch e.frame.Type() {
	case wire.TypeTransaction, typeNote:
		if !e.presentable() {
			e.release()
			return nil
		}
		if e.frame.Type() == wire.TypeTransaction {
			e.trx = wire.TrxKey(e.frame.Body())
		}
		h.postBulk(e)
		return nil
	case wire.TypeBlock:
		b, err := wire.ParseBlock(e.frame.Body())
		if err != nil {
			e.release()
			return fmt.Errorf("block: %w", err)
		}
		e.block = b
		if e.replica != nil && h.handleNow(&e) {
			return nil
		}
	}
	if c := e.conn(); c.Enqueue(ctx) {
		e.counted = c
	}
	h.postUrgent(ctx, e)
	return nil
}

// conn returns the connection that the event is of.
func (e *event) conn() *conn.Conn {
	switch {
	case e.replica != nil:
		return e.replica.Conn()
	case e.up != nil:
		return e.up.Conn()
	}
	return e.link.conn
}

// postBulk hands a frame to the bulk inbox, or drops it.
func (h *hub) postBulk(e event) {
	size := int64(e.frame.Len())
	if h.bulky.Add(size) <= inboxBytes {
		select {
		case h.bulk <- e:
			return
		default:
		}
	}
	h.bulky.Add(-size)
	if e.frame.Type() == wire.TypeTransaction {
		h.cfg.Meter.TransactionDropped()
	}
	e.release()
}

// presentable reports whether a transaction may be shown to peers. One that
// they cannot decode would make every one of them close on us; it is dropped
// without a word, for it may have come from further away than its sender. So is
// one that would inflate to more than its connection may ask for; what another relay
// passes on was rationed there, for each of its peers.
func (e *event) presentable() bool {
	if e.frame.Type() != wire.TypeTransaction {
		return true
	}
	if e.link != nil {
		_, err := wire.CheckTransaction(e.frame.Body(), math.MaxInt)
		return err == nil
	}
	c := e.conn()
	cost, err := wire.CheckTransaction(e.frame.Body(), c.Inflatable())
	c.Inflated(cost)
	return err == nil
}

// postUrgent waits for room in the urgent inbox, or for the end of ctx.
func (h *hub) postUrgent(ctx context.Context, e event) {
	h.queued.Add(1)
	select {
	case h.urgent <- e:
	case <-ctx.Done():
		h.queued.Add(-1)
		e.release()
	}
}

// handleUrgent handles an event of the urgent inbox.
func (h *hub) handleUrgent(e *event) {
	h.handle(e)
	h.queued.Add(-1)
	if e.counted != nil {
		e.counted.Dequeue()
	}
}

// handleNow handles an event on the goroutine of its reader, without waking the
// hub's, which costs more than all that is done for a small block. It does so
// only when that goroutine sleeps and no urgent event waits, so that events of
// one peer keep their order; else it returns false. What the group has agreed on
// is taken over first, as before every decision of a hub that was asleep.
func (h *hub) handleNow(e *event) bool {
	if h.queued.Load() != 0 || !h.turn.TryLock() {
		return false
	}
	defer h.turn.Unlock()
	if h.queued.Load() != 0 {
		return false
	}
	h.onApplied()
	h.handle(e)
	return true
}

// handle dispatches one event. The frame's reference is the hub's: handlers
// that keep the frame retain it.
func (h *hub) handle(e *event) {
	switch {
	case e.replica != nil:
		h.fromReplica(e)
	case e.up != nil:
		h.fromUpstream(e)
	case e.link != nil:
		h.fromLink(e)
	}
	e.release()
}
