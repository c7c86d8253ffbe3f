package upstream

import (
	"context"
	"errors"
	"fmt"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// Deliver takes one fetched block. The frame is lent: to keep it after returning, Retain it. It may block, which slows
// the source down and costs no memory. An error ends the fetch.
type Deliver = func(*wire.Frame) error

// failures is how often each source may fail in a row before a fetch gives up, on average.
const failures = 2

// Fetch hands the blocks start to end to deliver: ascending, without a hole, each linked to the one before. The first is
// checked by its number alone. One source is used at a time, and none by two fetches at once; when it stalls, ends the
// connection or sends a block that does not follow, the next one continues where it stopped.
//
// deliver is called from one goroutine at a time, and no more once Fetch has returned. Errors: what deliver returned, the
// cause of ctx, ErrBusy, or ErrNoSource together with what the last source did. Blocks delivered before an error are good
// as far as they go.
func (d *Dialer) Fetch(ctx context.Context, start, end uint32, deliver Deliver) error {
	if start == 0 || end < start {
		return fmt.Errorf("fetch blocks %d to %d: not a range", start, end)
	}
	if err := d.enter(); err != nil {
		return err
	}
	defer d.leave()

	q := &sequence{next: start, end: end}
	avoid := make(map[*target]bool)
	var last error
	var previous *target // who delivered the block before next
	for failed := 0; !q.done(); {
		if failed > failures*len(d.targets) {
			return fmt.Errorf("fetch blocks %d to %d: %w, last: %w", q.next, end, ErrNoSource, last)
		}
		source, err := d.acquire(ctx, q.next, avoid)
		switch {
		case errors.Is(err, ErrNoSource) && last != nil:
			return fmt.Errorf("fetch blocks %d to %d: %w, last: %w", q.next, end, err, last)
		case err != nil:
			return fmt.Errorf("fetch blocks %d to %d: %w", q.next, end, err)
		}
		t, from := source.target, q.next
		err = d.fetchFrom(ctx, source, q, deliver)
		blame := err
		var undelivered deliverError
		if errors.As(err, &undelivered) || ctx.Err() != nil {
			blame = nil
		}
		t.release(blame, q.next > from)
		switch {
		case undelivered.err != nil:
			return fmt.Errorf("deliver block %d: %w", q.next, undelivered.err)
		case ctx.Err() != nil:
			return fmt.Errorf("fetch blocks %d to %d: %w", q.next, end, context.Cause(ctx))
		}
		if q.next > from {
			failed, previous = 0, t
			clear(avoid)
		} else if errors.Is(err, ErrUnlinked) && previous != nil && previous != t {
			previous.suspect() // two sources disagree: next time ask a third one first
		}
		if err != nil {
			failed, last = failed+1, err
			avoid[t] = true
			t.log.Warn("block source failed", "error", err, "next", q.next, "end", end, "delivered", q.next-from)
		}
	}
	return nil
}

// deliverError is an error of the caller's, to be told from the source's.
type deliverError struct{ err error }

func (e deliverError) Error() string { return e.err.Error() }
func (e deliverError) Unwrap() error { return e.err }

// fetchFrom gets what it can of q from one source: over a connection of its own, or over the live one when the peer
// accepts no second. It returns nil when the source gave all it has.
func (d *Dialer) fetchFrom(ctx context.Context, s standing, q *sequence, deliver Deliver) error {
	if !s.single {
		err := s.target.viaSync(ctx, s.peer, q, deliver)
		if !refusedSecond(err) {
			return err
		}
		s.target.alone()
		s.target.log.Info("upstream refuses a second connection: fetching blocks over the live one", "error", err)
	}
	return s.peer.viaLive(ctx, q, deliver)
}

// refusedSecond reports whether a sync connection failed because there is another one already.
func refusedSecond(err error) bool {
	return errors.Is(err, ErrClosedEarly) || errors.Is(err, GoAway{Reason: wire.GoAwayDuplicate})
}

func (d *Dialer) enter() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fetches >= d.config.MaxFetches {
		return ErrBusy
	}
	d.fetches++
	return nil
}

func (d *Dialer) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fetches--
}
