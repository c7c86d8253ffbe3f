package relay

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/thinrelay/thinrelay/relay/conn"
	"github.com/thinrelay/thinrelay/relay/downstream"
	"github.com/thinrelay/thinrelay/relay/ring"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// SyncDialer opens a stream to the leader that carries one range of blocks.
type SyncDialer func(context.Context) (net.Conn, error)

var (
	// ErrNoBlocks is returned when nobody is there to fetch blocks from: this
	// relay neither leads nor has a leader.
	ErrNoBlocks = errors.New("no leader to fetch blocks from")
	// errFetched ends a sync stream whose range is complete.
	errFetched = errors.New("range complete")
)

// ringChunk is how many blocks are taken from the ring at a time.
const ringChunk = 64

// fetcher gets ranges of blocks for replicas that are far behind: from the
// ring what it holds, the rest from an upstream, through the leader if need be.
type fetcher struct{ n *Node }

var _ downstream.Fetcher = fetcher{}

func (h *hub) fetcher() downstream.Fetcher { return fetcher{h.node} }

// Fetch implements downstream.Fetcher: it delivers blocks start to end,
// ascending and without a gap. Frames are lent.
func (f fetcher) Fetch(ctx context.Context, start, end uint32, deliver func(*wire.Frame) error) error {
	next := start
	for next <= end {
		frames, err := f.fromRing(ctx, next, min(end, next+ringChunk-1))
		if err != nil {
			return err
		}
		if len(frames) == 0 {
			return f.fromAfar(ctx, next, end, deliver)
		}
		delivered, err := deliverAll(frames, deliver)
		if err != nil {
			return err
		}
		next += delivered
	}
	return nil
}

// deliverAll lends each frame to deliver and releases it.
func deliverAll(frames []*wire.Frame, deliver func(*wire.Frame) error) (n uint32, err error) {
	defer release(frames)
	for _, f := range frames {
		if err := deliver(f); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func release(frames []*wire.Frame) {
	for _, f := range frames {
		f.Release()
	}
}

// fromRing returns the blocks of the main chain from start on that the ring
// holds, at most up to end, each with a reference.
func (f fetcher) fromRing(ctx context.Context, start, end uint32) ([]*wire.Frame, error) {
	var frames []*wire.Frame
	h := f.n.hub
	ok := h.call(ctx, func() {
		tip := h.front()
		if tip == nil || tip.Block.Num() < start {
			return
		}
		var chain []*ring.Entry
		for e := h.ring.Ancestor(tip, min(end, tip.Block.Num())); e != nil && e.Block.Num() >= start; e = h.ring.Parent(e) {
			chain = append(chain, e)
		}
		if len(chain) == 0 || chain[len(chain)-1].Block.Num() != start {
			return
		}
		for i := len(chain) - 1; i >= 0; i-- {
			frames = append(frames, chain[i].Frame.Retain())
		}
	})
	if !ok {
		return nil, context.Cause(ctx)
	}
	return frames, nil
}

// fromAfar fetches from an upstream, or from the leader.
func (f fetcher) fromAfar(ctx context.Context, start, end uint32, deliver func(*wire.Frame) error) error {
	if d := f.n.dialer.Load(); d != nil {
		return d.Fetch(ctx, start, end, func(b *wire.Frame) error {
			f.n.cfg.Meter.SyncBlocks(1)
			return deliver(b)
		})
	}
	if f.n.cfg.DialSync == nil {
		return ErrNoBlocks
	}
	nc, err := f.n.cfg.DialSync(ctx)
	if err != nil {
		return fmt.Errorf("fetch blocks %d to %d from the leader: %w", start, end, err)
	}
	return fetchOver(ctx, nc, start, end, deliver)
}

// doubtSync takes it that a replica, if it was syncing, hung up on what was fetched from afar:
// the next time another upstream is asked first.
func (h *hub) doubtSync(syncing bool) {
	if d := h.node.dialer.Load(); d != nil && syncing {
		d.Doubt()
	}
}

// fetchOver asks a leader for a range on a stream made for it.
func fetchOver(ctx context.Context, nc net.Conn, start, end uint32, deliver func(*wire.Frame) error) error {
	c := conn.New(nc, conn.Config{})
	c.Start()
	q := wire.Encode(&wire.SyncRequest{Start: start, End: end})
	c.Send(conn.Control, q)
	q.Release()
	next := start
	err := c.Serve(ctx, func(f *wire.Frame) error {
		defer f.Release()
		if f.Type() != wire.TypeBlock {
			return nil
		}
		if err := deliver(f); err != nil {
			return err
		}
		if next++; next > end {
			return errFetched
		}
		return nil
	})
	if errors.Is(err, errFetched) {
		return nil
	}
	return fmt.Errorf("fetch blocks %d to %d from the leader, stopped at %d: %w", start, end, next, err)
}

// ServeSync is the leader's end of such a stream.
func (n *Node) ServeSync(ctx context.Context, nc net.Conn) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c := conn.New(nc, conn.Config{Logger: n.cfg.Logger.Named("sync")})
	c.Start()
	asked := make(chan wire.SyncRequest, 1)
	served := make(chan struct{})
	go func() {
		defer close(served)
		select {
		case q := <-asked:
			err := fetcher{n}.Fetch(ctx, q.Start, q.End, func(f *wire.Frame) error {
				return c.SendWait(ctx, conn.Sync, f)
			})
			if err != nil {
				c.Close(err)
			}
		case <-ctx.Done():
		}
	}()
	err := c.Serve(ctx, func(f *wire.Frame) error {
		defer f.Release()
		if f.Type() != wire.TypeSyncRequest {
			return nil
		}
		q, err := wire.ParseSyncRequest(f.Body())
		if err != nil {
			return err
		}
		select {
		case asked <- q:
		default:
		}
		return nil
	})
	cancel(err)
	<-served
	return err
}
