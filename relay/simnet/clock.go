package simnet

import (
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// roundSlots is how many slots a producer has in a row
// (nodeos config.hpp, producer_repetitions).
const roundSlots = 12

// epoch is the time of slot 0 on every public Antelope chain.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// Clock maps slots to wall time. On a real chain a slot is 500 ms since 2000;
// a simulated one may be shorter, and then needs an anchor: slot Base is at
// Anchor. All processes of one network, relays included, need the same Clock.
type Clock struct {
	Anchor time.Time
	Base   wire.Slot
	Length time.Duration
}

// NewClock is the real chain's clock for a slot length of 500 ms or zero, and
// else one that goes on at start with the slot the real chain has then.
func NewClock(length time.Duration, start time.Time) Clock {
	if length <= 0 || length == wire.SlotInterval {
		return Clock{Anchor: epoch, Length: wire.SlotInterval}
	}
	return Clock{Anchor: start, Base: wire.SlotAt(start), Length: length}
}

// SlotAt is the slot that has begun at t: its time is not after t. Times
// before slot 0 give slot 0.
func (c Clock) SlotAt(t time.Time) wire.Slot {
	d := t.Sub(c.Anchor)
	n := int64(d / c.Length)
	if d < 0 && d%c.Length != 0 {
		n--
	}
	return wire.Slot(min(max(int64(c.Base)+n, 0), 1<<32-1))
}

// TimeOf is the nominal time of a slot.
func (c Clock) TimeOf(s wire.Slot) time.Time {
	return c.Anchor.Add(time.Duration(int64(s)-int64(c.Base)) * c.Length)
}

// Scale is a duration of the real chain at this clock's slot length.
func (c Clock) Scale(d time.Duration) time.Duration {
	if c.Length == wire.SlotInterval {
		return d
	}
	return time.Duration(float64(d) * float64(c.Length) / float64(wire.SlotInterval))
}

// blockStart is when a producer begins to build the block of slot s, if each
// block of a round takes effort: the first starts one slot length ahead of its
// time, the others without a gap (nodeos block_timing_util.hpp:55-62).
func (c Clock) blockStart(s wire.Slot, effort time.Duration) time.Time {
	first := s - s%roundSlots
	return c.TimeOf(first).Add(-c.Length + time.Duration(s%roundSlots)*effort)
}
