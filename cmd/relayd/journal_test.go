package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/control"
	"github.com/thinrelay/thinrelay/relay/gate"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// diary is a journal, and what is told to it from a moment on.
type diary struct {
	*journal
	from time.Time
}

func newDiary() diary {
	return diary{newJournal(DefaultConfig(), control.NewMetrics("test"), hclog.NewNullLogger(), parts{}), time.Date(2026, 11, 25, 1, 0, 0, 0, time.UTC)}
}

func (d diary) tell(after time.Duration, r relay.Record) {
	r.At = d.from.Add(after)
	d.observe(r)
}

// TestRefusalsWithoutCause drops refusals from status when it is forgotten what explains them: a few hand-overs crowded out the start of the
// group, in which every replica signs, and preflight blamed the standbys for it.
func TestRefusalsWithoutCause(t *testing.T) {
	d := newDiary()
	refusals := func() (n int) {
		_, events, _ := d.snapshot(0)
		for _, e := range events {
			if e.Kind == control.KindRefused {
				n++
			}
		}
		return n
	}
	d.tell(0, relay.Record{Kind: relay.Leading, Term: 2})
	d.tell(time.Second, relay.Record{Kind: relay.Refused, Name: "nodeos-b", Reason: gate.Height})
	if got := refusals(); got != 1 {
		t.Errorf("%d refusals beside what explains them, want 1", got)
	}
	for i := range recentEvents {
		d.tell(20*time.Second+time.Duration(i), relay.Record{Kind: relay.UpstreamUp, Name: "seed1:9876"})
	}
	if got := refusals(); got != 0 {
		t.Errorf("%d refusals without what explains them, want none", got)
	}
	d.tell(time.Minute, relay.Record{Kind: relay.Refused, Name: "nodeos-b", Reason: gate.Height})
	if got := refusals(); got != 1 {
		t.Errorf("%d refusals long after a change, want 1", got)
	}
}

// TestBlocksCompleted adds to the node's list when blocks left and from whom, and those that were refused.
func TestBlocksCompleted(t *testing.T) {
	d := newDiary()
	bpa, err := wire.ParseName("bpa")
	if err != nil {
		t.Fatal(err)
	}
	slot := d.clock.SlotAt(d.from) + 1
	id := wire.ID{0, 0, 0, 7, 1}
	d.tell(100*time.Millisecond, relay.Record{Kind: relay.Forwarded, Block: wire.Block{ID: id, Slot: slot, Producer: bpa}, Name: "nodeos-a", Lead: 400 * time.Millisecond})
	d.tell(600*time.Millisecond, relay.Record{Kind: relay.Refused, Block: wire.Block{ID: wire.ID{0, 0, 0, 7, 2}, Slot: slot, Producer: bpa}, Name: "nodeos-b", Reason: gate.Height})

	got := d.completed([]control.Block{{ID: id.String(), State: control.BlockForwarded, Source: "fin-1"}, {ID: "aa", State: control.BlockNetwork}, {ID: "bb", State: control.BlockForwarded, Source: "nodeos-b"}})
	if len(got) != 4 {
		t.Fatalf("%d blocks, want 4: %+v", len(got), got)
	}
	if b := got[0]; b.Source != "nodeos-a" || b.LeadMS == nil || *b.LeadMS != 400 || !b.Seen.Equal(d.from.Add(100*time.Millisecond)) {
		t.Errorf("forwarded: %+v", b)
	}
	if b := got[1]; b.LeadMS != nil {
		t.Errorf("not forwarded here: %+v", b)
	}
	if b := got[2]; b.Source != "" || b.LeadMS != nil {
		t.Errorf("sent by another member: %+v", b)
	} else if js, err := json.Marshal(b); err != nil || strings.Contains(string(js), "seen") {
		t.Errorf("a moment that is not known is told: %s, %v", js, err)
	}
	if b := got[3]; b.Producer != "bpa" || b.State != control.BlockRefused || b.Source != "nodeos-b" || b.LeadMS == nil || *b.LeadMS > 0 || b.Reason != "height" {
		t.Errorf("refused: %+v", b)
	}
}

// TestRoundOfTheFuture goes on with the rounds after a block of the far future, which any upstream may tell, and after the clock was set back:
// nothing older was taken, so that no slot was missed any more, in status, for the alarms and in the count of a hand-over.
func TestRoundOfTheFuture(t *testing.T) {
	bpa, err := wire.ParseName("bpa")
	if err != nil {
		t.Fatal(err)
	}
	for name, lie := range map[string]relay.Record{
		"a block that an upstream told":  {Kind: relay.Network, Block: wire.Block{ID: wire.ID{0, 0, 0, 9}, Producer: bpa}},
		"a slot missed by a wrong clock": {Kind: relay.Missed},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDiary()
			d.cfg.Producers = []string{"bpa"}
			now := d.clock.SlotAt(d.from)
			first := now - now%12 + 12
			lie.Block.Slot = first + 12*1000
			ahead := time.Duration(0)
			if lie.Kind == relay.Missed {
				ahead = 12 * 1000 * wire.SlotInterval
			}
			d.tell(ahead, lie)
			for i := range wire.Slot(12) {
				d.tell(d.clock.TimeOf(first+i+1).Sub(d.from), relay.Record{Kind: relay.Missed, Block: wire.Block{Slot: first + i}})
			}
			if n := d.missedBetween(d.from, d.from.Add(time.Minute)); n != 12 {
				t.Errorf("%d slots of the round are missed, want all 12", n)
			}
			_, _, r := d.snapshot(first + 11)
			if r == nil || !r.Live || r.Slots[0].State != control.SlotMissed {
				t.Errorf("status shows %+v, want the round that runs", r)
			}
		})
	}
}

// TestLogOfAFlood has a replica send blocks that are refused, as many as a line carries: they are a few lines of the log.
func TestLogOfAFlood(t *testing.T) {
	var log strings.Builder
	d := newDiary()
	d.log = hclog.New(&hclog.LoggerOptions{Output: &log})
	for range 5000 {
		d.tell(0, relay.Record{Kind: relay.Refused, Name: "nodeos-b", Reason: gate.NotOurs})
	}
	d.tell(time.Second, relay.Record{Kind: relay.Refused, Name: "nodeos-b", Reason: gate.NotOurs})
	if got := strings.Count(log.String(), "\n"); got != linesASecond+2 {
		t.Errorf("%d lines, want %d", got, linesASecond+2)
	}
	if !strings.Contains(log.String(), "left_out=4900") {
		t.Error("it is not said how many were left out")
	}
}
