package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var groupSeeds = flag.Int("group.seeds", groupSchedules, "how many seeded schedules TestGroupSchedules runs")

var groupFirst = flag.Uint64("group.first", 1, "the first seed")

// groupSeason is how many schedules one group lives through, one after another.
const groupSeason = 10

// speaksAgain is how long after the last fault of a schedule a group may take
// until groupBlocks blocks of ours are final and no member lacks the mark there was.
const (
	speaksAgain = 65 * time.Second
	groupBlocks = 12
)

// Whole members - node, Raft, mutual TLS, links - in fake time, on a network
// that is cut, delayed and killed by seeded schedules, under transactions.
//
// A schedule is a sequence of faults of its own, after which all is healed, and a verdict
// of its own: the group speaks again, an oracle outside has seen no second block of a
// height, none that does not link, and no vote of a finalizer's key by one member for a slot
// that is not later than the last, and no member's mark has ever fallen. A
// group lives through several, since starting one costs as much as a schedule.
func TestGroupSchedules(t *testing.T) {
	began := time.Now()
	total := simTally{faults: make(map[string]int)}
	var mu sync.Mutex
	t.Run("from", func(t *testing.T) {
		for left, seed := *groupSeeds, *groupFirst; left > 0; left, seed = left-groupSeason, seed+groupSeason {
			n := min(left, groupSeason)
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					season := runSeason(t, seed, n)
					mu.Lock()
					defer mu.Unlock()
					total.add(season)
				})
				if t.Failed() {
					t.Logf("replay: go test ./cmd/relayd -run TestGroupSchedules -group.first %d -group.seeds %d", seed, n)
				}
			})
		}
	})
	fmt.Fprintln(os.Stderr, total.line("members", time.Since(began)))
}

// runSeason puts one group through n schedules.
func runSeason(t *testing.T, first uint64, n int) (season simTally) {
	g := newSimGroup(t, first)
	defer g.close()
	g.speaks("at the start")
	for seed := first; seed < first+uint64(n) && !t.Failed(); seed++ {
		g.schedule(seed)
		season.schedules++
	}
	r := g.net.Report()
	season.double, season.unlinked, season.lowered, season.blocks = r.Double, r.Unlinked, g.marks.lowered(), r.Emitted
	season.faults = g.counts
	if r.Left < r.Emitted {
		t.Errorf("the oracle has seen %d blocks leave, and blocks of %d slots arrive: it does not look at all connections", r.Left, r.Emitted)
	}
	return season
}

// schedule does a few things to the group, heals all, and judges.
func (g *simGroup) schedule(seed uint64) {
	g.rng = rand.New(rand.NewPCG(seed, 0))
	g.forget()
	g.trouble.ended = make(chan struct{})
	g.note("schedule %d", seed)
	if g.fin2 != nil {
		g.startReplica(g.fin2)
	}
	pace := []time.Duration{300 * time.Millisecond, 1500 * time.Millisecond, 4 * time.Second, 8 * time.Second}[g.rng.IntN(4)]
	for range 3 + g.rng.IntN(4) {
		g.sleep(pace)
		g.fault()
	}
	g.sleep(pace)
	g.healAll()
	g.speaks(fmt.Sprintf("after schedule %d", seed))
}

// speaks waits until blocks of ours are final again, and then judges.
func (g *simGroup) speaks(when string) {
	from, began, mark := g.net.Chain.Clock.SlotAt(time.Now()), time.Now(), g.marks.height()
	for {
		time.Sleep(2 * time.Second)
		g.startDead()
		r := g.net.Report()
		after := 0
		for _, s := range r.Slots {
			if s.Slot > from && s.OnChain {
				after++
			}
		}
		late := time.Since(began) > speaksAgain
		lacking := g.lacking(mark)
		err := g.marks.failed()
		votes, _, _ := g.net.Oracle.Votes()
		if r.Double > 0 || r.Unlinked > 0 || len(votes) > 0 || r.Invalid > 0 || err != nil || late {
			g.t.Errorf("%s: double=%d %v unlinked=%d %v votes=%v invalid=%d marks=%v, blocks since=%d, members below #%d: %v; faults:\n%s\n%s",
				when, r.Double, r.Doubles, r.Unlinked, r.Unlinkeds, votes, r.Invalid, err, after, mark, lacking, g.story(), g.stateText())
			return
		}
		if after >= groupBlocks && len(lacking) == 0 {
			return
		}
	}
}

// lacking returns the members that do not hold a mark of that height yet.
func (g *simGroup) lacking(height uint32) (names []string) {
	for _, n := range simNames {
		if m := g.member(n); m == nil || m.group.State().Mark.Height() < height {
			names = append(names, n)
		}
	}
	return names
}
