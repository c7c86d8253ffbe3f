package upstream

import (
	"fmt"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// sequence is the rest of a fetch: the blocks next to end, of which the first must follow prev.
type sequence struct {
	next, end uint32
	prev      wire.ID // zero: nothing delivered yet, any block of the right number will do
}

func (q *sequence) done() bool { return q.next > q.end }

// follows parses a block and returns its id if it is the next one.
func (q *sequence) follows(body []byte) (wire.ID, error) {
	b, err := wire.ParseBlock(body)
	switch {
	case err != nil:
		return wire.ID{}, fmt.Errorf("%w: %w", ErrUnlinked, err)
	case b.Num() != q.next:
		return wire.ID{}, fmt.Errorf("%w: block %d, want %d", ErrUnlinked, b.Num(), q.next)
	case !q.prev.IsZero() && b.Previous != q.prev:
		return wire.ID{}, fmt.Errorf("%w: block %d links to %s, want %s", ErrUnlinked, b.Num(), b.Previous.Short(), q.prev.Short())
	}
	return b.ID, nil
}

// advance moves past the block that follows returned.
func (q *sequence) advance(id wire.ID) {
	q.prev = id
	q.next++
}
