package main

import (
	"slices"
	"time"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/control"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// round is the last round of ours that something is known of: twelve slots.
type round struct {
	known    bool
	number   uint32 // first slot / 12
	producer string
	slots    [director.RoundSlots]control.Slot
}

// at returns the slot's place, after turning to its round; nil for an older one,
// and for one of the far future, after which all would be older. A round that is
// of the far future itself, since the clock was set back, is given up.
func (r *round) at(s wire.Slot, at time.Time, clock relay.Clock) *control.Slot {
	number, last := uint32(s)/director.RoundSlots, uint32(clock.SlotAt(at)+relay.AheadOfTime)/director.RoundSlots
	if number > last || r.known && number < r.number && r.number <= last {
		return nil
	}
	if !r.known || number != r.number {
		*r = round{known: true, number: number, producer: r.producer}
		for i := range r.slots {
			slot := number*director.RoundSlots + uint32(i)
			r.slots[i] = control.Slot{Slot: slot, Time: clock.TimeOf(wire.Slot(slot)), State: control.SlotPending}
		}
	}
	return &r.slots[uint32(s)%director.RoundSlots]
}

// forwarded notes that a block of ours left.
func (r *round) forwarded(rec relay.Record, clock relay.Clock) {
	s := r.at(rec.Block.Slot, rec.At, clock)
	if s == nil {
		return
	}
	r.producer = rec.Block.Producer.String()
	lead := rec.Lead.Milliseconds()
	s.State, s.Num, s.ID, s.Source, s.LeadMS = control.SlotForwarded, rec.Block.Num(), rec.Block.ID.String(), rec.Name, &lead
	if rec.Lead < -time.Millisecond {
		s.State = control.SlotLate
	}
}

// missed notes that a slot passed without a block. The block may still come.
func (r *round) missed(rec relay.Record, clock relay.Clock) {
	if s := r.at(rec.Block.Slot, rec.At, clock); s != nil && s.State == control.SlotPending {
		s.State = control.SlotMissed
	}
}

// network notes a block of ours that this member did not forward: while it
// follows, the leader did.
func (r *round) network(rec relay.Record, ours []string, clock relay.Clock) {
	producer := rec.Block.Producer.String()
	if !slices.Contains(ours, producer) {
		return
	}
	s := r.at(rec.Block.Slot, rec.At, clock)
	if s == nil || s.State == control.SlotForwarded || s.State == control.SlotLate {
		return
	}
	r.producer = producer
	s.State, s.Num, s.ID = control.SlotForwarded, rec.Block.Num(), rec.Block.ID.String()
	if rec.Source.IsZero() {
		s.State = control.SlotOther
	}
}

// view is the round for status, nil before the first.
func (r *round) view(now wire.Slot) *control.Round {
	if !r.known {
		return nil
	}
	return &control.Round{
		Producer: r.producer, Live: uint32(now)/director.RoundSlots == r.number, Number: r.number,
		Slots: slices.Clone(r.slots[:]),
	}
}
