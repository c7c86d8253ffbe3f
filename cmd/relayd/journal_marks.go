package main

import (
	"slices"
	"time"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// othersKept is of how many blocks of the network it is remembered whose they are. The mark rests on one that is new when it is moved there.
const othersKept = 512

// markLog remembers what a mark does not tell: whether its block is ours, and when it left.
type markLog struct {
	ours   sent
	others [othersKept]other
	next   int
	mark   other // where the mark rests, of others
}

// sent is the last block of ours that left the group, as far as this member knows.
type sent struct {
	block  wire.Block
	source wire.ID
	at     time.Time // zero: another member sent it
}

// other is a block of another producer.
type other struct {
	id       wire.ID
	producer wire.Name
}

func (l *markLog) forwarded(r relay.Record) { l.ours = sent{r.Block, r.Source, r.At} }

// network notes a block that this member did not send.
func (l *markLog) network(r relay.Record, ours []string) {
	switch {
	case !slices.Contains(ours, r.Block.Producer.String()):
		l.others[l.next] = other{r.Block.ID, r.Block.Producer}
		l.next = (l.next + 1) % othersKept
	case !r.Source.IsZero() && r.Block.ID != l.ours.block.ID:
		l.ours = sent{block: r.Block, source: r.Source}
	}
}

// producer says whose block the mark rests on when it is known to be another's.
func (l *markLog) producer(id wire.ID) (wire.Name, bool) {
	if i := slices.IndexFunc(l.others[:], func(o other) bool { return o.id == id }); i >= 0 {
		l.mark = l.others[i] // the mark may rest there for longer than the list goes back
	}
	return l.mark.producer, l.mark.id == id && l.mark.producer != 0
}

// resting is what is known of the mark's block.
func (j *journal) resting(id wire.ID) (last sent, producer string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if name, ok := j.marks.producer(id); ok {
		producer = name.String()
	}
	return j.marks.ours, producer
}
