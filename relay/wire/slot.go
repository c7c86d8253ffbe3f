package wire

import "time"

// Slot is a block timestamp: half seconds since 2000-01-01T00:00:00Z.
type Slot uint32

// SlotInterval is the length of a slot on every public Antelope chain.
const SlotInterval = 500 * time.Millisecond

// slotEpoch is 2000-01-01T00:00:00Z in milliseconds since 1970.
const slotEpoch = 946684800000

// SlotAt is the slot that has begun at t: its time is not after t and less than
// one interval away. Times before 2000 give slot 0.
func SlotAt(t time.Time) Slot {
	ms := t.UnixMilli() - slotEpoch
	if ms < 0 {
		return 0
	}
	return Slot(ms / SlotInterval.Milliseconds())
}

// Time is the nominal time of the slot, in UTC.
func (s Slot) Time() time.Time {
	return time.UnixMilli(slotEpoch + int64(s)*SlotInterval.Milliseconds()).UTC()
}
