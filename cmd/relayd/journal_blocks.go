package main

import (
	"slices"
	"time"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/control"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// leavesKept is of how many blocks of ours it is remembered when they left: as many as the API lists.
const leavesKept = 500

// blockLog remembers what the node does not of the blocks of late: when ours left, from whom, and which were refused.
type blockLog struct {
	left    [leavesKept]leave
	next    int
	refused []control.Block // newest last
}

// leave is one block that this member sent.
type leave struct {
	id     wire.ID
	at     time.Time
	lead   time.Duration
	source string
}

func (l *blockLog) forwarded(r relay.Record) {
	l.left[l.next] = leave{r.Block.ID, r.At, r.Lead, r.Name}
	l.next = (l.next + 1) % leavesKept
}

func (l *blockLog) refuse(r relay.Record, clock relay.Clock) {
	b := r.Block
	slot := clock.TimeOf(b.Slot)
	lead := slot.Sub(r.At).Milliseconds()
	l.refused = append(l.refused, control.Block{
		Num: b.Num(), ID: b.ID.String(), Previous: b.Previous.String(), Slot: uint32(b.Slot), SlotTime: slot, Producer: b.Producer.String(),
		State: control.BlockRefused, Source: r.Name, Reason: r.Reason.String(), Seen: r.At, LeadMS: &lead,
	})
	l.refused = l.refused[max(0, len(l.refused)-recentRefusals):]
}

// completed adds to the node's list what it does not know: the moments, and the refused blocks.
func (j *journal) completed(list []control.Block) []control.Block {
	j.mu.Lock() // the hub waits for it: no more than a copy is made under it
	leaves, refused := j.blocks.left, slices.Clone(j.blocks.refused)
	j.mu.Unlock()
	left := make(map[string]leave, leavesKept)
	for _, l := range leaves {
		left[l.id.String()] = l
	}
	for i := range list {
		if l, ok := left[list[i].ID]; ok {
			lead := l.lead.Milliseconds()
			list[i].Seen, list[i].LeadMS, list[i].Source = l.at, &lead, l.source
		} else if list[i].State == control.BlockForwarded {
			list[i].Source = "" // the one named brought here what another member sent
		}
	}
	for _, b := range slices.Backward(refused) {
		list = append(list, b)
	}
	return list
}
