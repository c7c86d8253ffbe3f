package proctest_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/thinrelay/thinrelay/relay/simnet"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// trial is one thing done to the group, in a round of ours.
type trial struct {
	at   time.Time
	what string
	gap  time.Duration // from at to the next block that left
	late time.Duration // of that block, after its slot's time; negative: early
}

// ourSlot reports whether a slot is ours: every other round is.
func (g *group) ourSlot(s wire.Slot) bool {
	return g.net.Chain.ProducerAt(s) == g.net.Chain.Producers[0]
}

// round is the span of time in which the blocks of the round of ours that is
// under way, or next, are built and sent.
func (g *group) round(now time.Time) (begin, end time.Time) {
	clock := g.net.Chain.Clock
	s := clock.SlotAt(now) + 1
	for !g.ourSlot(s) {
		s++
	}
	first := s - s%roundSlots
	return clock.TimeOf(first - 1), clock.TimeOf(first + roundSlots - 1)
}

// moment waits for a random moment of a round of ours: this one if enough of it
// is left, else the next.
func (g *group) moment() {
	const enough = time.Second
	begin, end := g.round(time.Now().Add(enough))
	if now := time.Now(); begin.Before(now) {
		begin = now
	}
	at := begin.Add(time.Duration(g.random.Int64N(int64(end.Sub(begin)))))
	pass(time.Until(at))
}

// strike waits for a random moment of a round of ours, and for who leads then.
func (g *group) strike() (leader string, at time.Time) {
	g.t.Helper()
	for {
		g.moment()
		if leader, _ = g.leads(); leader != "" {
			return leader, time.Now()
		}
	}
}

// measured completes a trial with the first block that left after it.
func (g *group) measured(tr trial) trial {
	g.t.Helper()
	var e emission
	until(g.t, 40*time.Second, "a block leaves after "+tr.what, func() (ok bool) { e, ok = g.emitted.after(tr.at); return ok })
	tr.gap, tr.late = e.at.Sub(tr.at), e.at.Sub(g.net.Chain.Clock.TimeOf(e.slot))
	return tr
}

// slotOf is the slot whose block was due next at a moment.
func (g *group) slotOf(t time.Time) wire.Slot { return g.net.Chain.Clock.SlotAt(t) + 1 }

// begin starts a scenario: the group is whole, and nothing has happened yet.
func (g *group) begin() {
	g.t.Helper()
	g.settle()
	g.net.Oracle.Begin(g.slotOf(time.Now()) + 1)
}

// verdict waits until all that was done is final, checks that no promise was
// broken, prints the figures, and returns the slots that were lost.
func (g *group) verdict(trials []trial) (simnet.Report, []simnet.SlotOutcome) {
	g.t.Helper()
	g.settle()
	end := g.slotOf(time.Now())
	until(g.t, time.Minute, "the scenario's slots are final", func() bool {
		v, ok := g.net.Upstream(0).View()
		return ok && v.Root.Slot > end
	})
	r := g.net.Report()
	if r.Double != 0 || r.Unlinked != 0 || r.Invalid != 0 {
		g.t.Errorf("%d heights with two blocks, %d unlinked, %d invalid, want none: %+v %+v", r.Double, r.Unlinked, r.Invalid, r.Doubles, r.Unlinkeds)
	}
	if r.Left < r.Emitted {
		g.t.Errorf("%d blocks were seen leaving, of %d slots they arrived: not all connections are looked at", r.Left, r.Emitted)
	}
	var lost []simnet.SlotOutcome
	for _, s := range r.Slots {
		if !s.OnChain {
			lost = append(lost, s)
		}
	}
	g.t.Logf("%d trials in %d slots of ours: %d lost, %d late, %d double, %d unlinked, %d signed beside; fork switches %d (seed %d)",
		len(trials), r.SlotsOurs, len(lost), r.Late, r.Double, r.Unlinked, r.SignedExtra, r.ForkSwitches, g.seeds[0])
	if len(trials) > 0 {
		var gaps, lates []time.Duration
		for _, tr := range trials {
			gaps, lates = append(gaps, tr.gap), append(lates, tr.late)
		}
		g.t.Logf("to the next block: %s; that block after its slot's time: %s", spread(gaps), spread(lates))
	}
	for _, s := range lost {
		g.t.Logf("lost: slot %d of its round (slot %d, emitted %v), after %s", s.Index, s.Slot, s.Emitted, g.before(trials, s.Slot))
	}
	return r, lost
}

// before names the last trial before a slot was due.
func (g *group) before(trials []trial, s wire.Slot) string {
	name := "no trial"
	for _, tr := range trials {
		if due := g.net.Chain.Clock.TimeOf(s); tr.at.Before(due) {
			name = fmt.Sprintf("%s at slot %d, %s before it was due", tr.what, g.slotOf(tr.at)%roundSlots, due.Sub(tr.at).Round(time.Millisecond))
		}
	}
	return name
}

// spread is the distribution of durations in a line.
func spread(d []time.Duration) string {
	d = slices.Clone(d)
	slices.Sort(d)
	at := func(p int) time.Duration { return d[min(len(d)-1, len(d)*p/100)].Round(time.Millisecond) }
	var b strings.Builder
	fmt.Fprintf(&b, "n %d, min %s, p50 %s, p90 %s, p99 %s, max %s", len(d), d[0].Round(time.Millisecond), at(50), at(90), at(99), d[len(d)-1].Round(time.Millisecond))
	return b.String()
}

// overLimit reports that something took longer, or cost more slots, than is
// promised. That fails a run that measures (THINRELAY_E2E). In a short run, on
// a machine that does other things as well, it is a line to read: an election
// takes as long as the machine makes it. Double or unlinked blocks fail always.
func (g *group) overLimit(format string, args ...any) {
	g.t.Helper()
	if long {
		g.t.Errorf(format, args...)
		return
	}
	g.t.Logf("over the limit: "+format, args...)
}
