package main

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/simnet"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// The leader is told to stop amid our round, and the replica that speaks is connected there and nowhere else: nothing is lost.
func TestStopAmidOurRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newSimGroup(t, 1)
		defer g.close()
		g.speaks("at the start")
		g.waitAtStops()
		home := g.singleHomed()
		g.speaks("with replicas of one relay each")
		g.net.Oracle.Begin(g.net.Chain.Clock.SlotAt(time.Now()))
		for i := range 4 {
			name := home[g.speaker().Name()]
			if leader, _ := g.leader(); leader != name {
				g.handOver(name, name)
			}
			g.awaitOurSlot(wire.Slot(3 + i))
			g.members[name].stop()
			<-g.members[name].ended
			g.start(name)
			g.speaks(fmt.Sprintf("after %s was stopped and started", name))
		}
		if r := g.net.Report(); r.Missed > 0 || r.SlotsOurs < 4*12 {
			t.Errorf("%d of %d slots missed, want none\n%s", r.Missed, r.SlotsOurs, g.story())
		}
	})
}

// The leader is told to stop when our next round is just far enough away, and nobody is there to hand over to, which takes a while to find out: it
// was about to stop in front of our round then. It waits for the end of the round after all.
func TestStopWithNobodyToHandOverTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newSimGroup(t, 1)
		defer g.close()
		g.speaks("at the start")
		g.waitAtStops()
		leader, _ := g.leader()
		for _, name := range simNames {
			for i := range upstreams {
				if name != leader {
					g.mem.CutBoth(name, upName(i))
				}
			}
		}
		time.Sleep(15 * time.Second) // fake time: until the leader has heard of it
		g.awaitOurSlot(0)
		time.Sleep(8700 * time.Millisecond) // fake time: rounds are twelve seconds apart
		begun := time.Now()
		g.members[leader].stop()
		<-g.members[leader].ended
		if took := time.Since(begun); took < 8800*time.Millisecond || took > 9*time.Second {
			t.Errorf("%s, with our round 3.4 s away, stopped after %s, want when its last block has left, after 8.9 s", leader, took)
		}
		for _, name := range simNames {
			for i := range upstreams {
				g.mem.HealBoth(name, upName(i))
			}
		}
		g.start(leader)
		g.speaks("after all")
	})
}

// waitAtStops restarts all members, with the patience that they have outside tests.
func (g *simGroup) waitAtStops() {
	g.patience = leavePatience
	for _, name := range simNames {
		g.kill(name)
		g.start(name)
		g.speaks("with a patient " + name)
	}
}

// singleHomed puts replicas that know one relay each in the place of those that know two, and returns their relays.
func (g *simGroup) singleHomed() map[string]string {
	home := make(map[string]string)
	for _, r := range g.reps {
		r.Kill()
	}
	g.reps = nil
	for i, name := range simNames {
		r, err := g.net.Replica(simnet.ReplicaConfig{Name: fmt.Sprintf("nodeos-%c", 'x'+i), Relays: []string{name + ":9876"}})
		if err != nil {
			g.t.Fatal(err)
		}
		g.reps = append(g.reps, r)
		home[r.Name()] = name
		g.startReplica(r)
	}
	return home
}

// awaitOurSlot waits until shortly before the given slot of our next round.
func (g *simGroup) awaitOurSlot(index wire.Slot) {
	chain := g.net.Chain
	slot := chain.Clock.SlotAt(time.Now()) + 2
	for slot%12 != 0 || chain.ProducerAt(slot).String() != "bpa" {
		slot++
	}
	time.Sleep(time.Until(chain.Clock.TimeOf(slot + index).Add(-100 * time.Millisecond))) // fake time
}
