package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/simnet"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// drillStep is one thing done in the middle of a round of ours.
type drillStep struct {
	name string
	do   func(context.Context) (what string, ok bool)
}

// drill does, in one round of ours each: kill the active replica, step down,
// kill the leader; and says what each cost.
func (w *demoWorld) drill(ctx context.Context) {
	steps := []drillStep{
		{"active replica killed", w.killActive},
		{"planned step-down", w.stepDown},
		{"leader killed", w.killLeader},
	}
	for _, s := range steps {
		round, ok := w.awaitMidRound(ctx)
		if !ok {
			w.view.line("no time left for: "+s.name, "")
			return
		}
		what, ok := s.do(ctx)
		if !ok {
			continue
		}
		w.view.line("DRILL  "+what, "")
		if !pause(ctx, time.Until(w.net.Chain.Clock.TimeOf(round+director.RoundSlots))+1500*time.Millisecond) {
			return
		}
		cost := w.tally.round(round)
		cost.Name = s.name
		w.tally.drilled(cost)
		w.view.line(fmt.Sprintf("DRILL  %s cost %s", s.name, cost), "")
	}
}

// awaitMidRound waits for a random moment between the third and the eighth slot
// of our next round, and returns the round's first slot.
func (w *demoWorld) awaitMidRound(ctx context.Context) (wire.Slot, bool) {
	clock := w.net.Chain.Clock
	first := w.now()/director.RoundSlots*director.RoundSlots + director.RoundSlots
	for !w.ours(first) {
		first += director.RoundSlots
	}
	moment := clock.TimeOf(first + 2).Add(time.Duration(rand.Int64N(int64(5 * clock.Length))))
	return first, pause(ctx, time.Until(moment))
}

func (w *demoWorld) ours(s wire.Slot) bool { return w.net.Chain.ProducerAt(s).String() == "bpa" }

// killActive kills the replica that speaks. It stays down: a killed nodeos
// needs a snapshot.
func (w *demoWorld) killActive(context.Context) (string, bool) {
	var victim *simnet.Replica
	for _, r := range w.replicas {
		if r.Name() == w.net.Oracle.Speaker() && r.Alive() {
			victim = r
		}
	}
	if victim == nil {
		return "", false
	}
	victim.Kill()
	return "kill -9 " + victim.Name() + ", the active replica, in the middle of our round", true
}

// stepDown hands leadership over.
func (w *demoWorld) stepDown(ctx context.Context) (string, bool) {
	l := w.leader()
	if l == nil {
		return "", false
	}
	out, err := api{l.member}.StepDown(ctx, "", 5*time.Second)
	if err != nil {
		return fmt.Sprintf("step-down of %s failed: %v", l.name, err), true
	}
	gap := "not measured"
	if out.GapMS != nil {
		gap = fmt.Sprintf("%d ms", *out.GapMS)
	}
	return fmt.Sprintf("%s handed over to %s in the middle of our round; gap %s", out.From, out.To, gap), true
}

// killLeader unplugs the leader.
func (w *demoWorld) killLeader(context.Context) (string, bool) {
	l := w.leader()
	if l == nil {
		return "", false
	}
	l.plug.pull()
	return "kill -9 " + l.name + ", the leader, in the middle of our round", true
}
