package main

import (
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/fsm"
	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// TestForwardedAge takes the time of sending for the block that this member sent, and the slot's for one that another leader did.
func TestForwardedAge(t *testing.T) {
	clock := relay.SystemClock{}
	const slot = 1_697_741_975
	id := wire.ID{0, 0, 1, 0x9f, 7}
	n := relay.Status{At: clock.TimeOf(slot).Add(2 * time.Second)}
	n.State.Mark = fsm.Mark{Last: fsm.BlockID(id), Slot: slot}
	for name, tt := range map[string]struct {
		last sent
		want int64
	}{
		"sent here":               {sent{id, clock.TimeOf(slot).Add(-300 * time.Millisecond)}, 2300},
		"sent by another":         {sent{}, 2000},
		"sent by another, of two": {sent{wire.ID{0, 0, 1, 0x10}, clock.TimeOf(slot - 300)}, 2000},
	} {
		if got := forwarded(n, clock, tt.last).AgeMS; got != tt.want {
			t.Errorf("%s: %d ms ago, want %d", name, got, tt.want)
		}
	}
}
