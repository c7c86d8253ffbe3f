//go:build e2e

package e2e_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// A chaos run over containers: make chaos DOCKER=1 SEED=7 FAULTS=20.
var (
	chaosFaults = flag.Int("faults", 0, "chaos: how many faults; 0: no run")
	chaosSeed   = flag.Uint64("seed", 1, "chaos: seed of the schedule; 0: a random one")
)

// hit is what is done to a container, and for how long.
type hit struct {
	name, service string
	mend          func()
	until         time.Time
}

// TestChaos kills, pauses and cuts off containers by a seed, up to three at once, heals them, and goes on when the group is whole again. The
// oracle at the upstreams looks for two blocks of a height and for blocks that do not link.
func TestChaos(t *testing.T) {
	if *chaosFaults == 0 {
		t.Skip("no faults asked for: make chaos DOCKER=1")
	}
	if *chaosSeed == 0 {
		*chaosSeed = rand.Uint64()>>40 + 1
	}
	s := sharedStack(t)
	began, counts := time.Now(), map[string]int{}
	say := func(format string, args ...any) {
		fmt.Printf("%7.1fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
	say("seed %d, %d faults; to see it again: make chaos DOCKER=1 SEED=%d FAULTS=%d", *chaosSeed, *chaosFaults, *chaosSeed, *chaosFaults)
	for done, wave := 0, 1; done < *chaosFaults; wave++ {
		s.awaitWhole(time.Minute)
		r := rand.New(rand.NewPCG(*chaosSeed, uint64(wave)))
		now := s.roles()
		var hits []hit
		for range min(1+r.IntN(3), *chaosFaults-done) {
			h, ok := s.hit(r, now, hits)
			if !ok {
				continue
			}
			done++
			counts[h.name]++
			hits = append(hits, h)
			say("wave %-3d %-10s %s for %s", wave, h.name, h.service, time.Until(h.until).Round(100*time.Millisecond))
			at(time.Now().Add(time.Duration(r.Int64N(int64(2 * second)))))
		}
		for slices.SortFunc(hits, func(a, b hit) int { return a.until.Compare(b.until) }); len(hits) > 0; hits = hits[1:] {
			for time.Now().Before(hits[0].until) {
				s.oracle.read() // an upstream that will be killed forgets
				at(time.Now().Add(min(time.Until(hits[0].until), second)))
			}
			hits[0].mend()
		}
		healed := time.Now()
		s.awaitWhole(time.Minute)
		say("wave %-3d %-10s after %s", wave, "whole", time.Since(healed).Round(100*time.Millisecond))
		s.until("a block of ours of a slot after that is final", time.Minute, 200*time.Millisecond, func() bool {
			s.oracle.read()
			return s.oracle.since(wire.SlotAt(healed))
		})
		if s.oracle.promises(t); t.Failed() {
			break
		}
	}
	before, after := s.oracle.judge(s.oracle.from)
	s.oracle.promises(t)
	verdict := "PASS"
	if t.Failed() {
		verdict = "FAIL"
	}
	say("%s  %v; slots of ours %d, lost %d", verdict, counts, before.slots+after.slots, before.lost+after.lost)
}

// hit breaks something that is well.
func (s *stack) hit(r *rand.Rand, now roles, under []hit) (hit, bool) {
	who := []func(roles) string{leader, leader, follower, active, active, standby, upstream, finalizer}
	service := who[r.IntN(len(who))](now)
	if service == "" || slices.ContainsFunc(under, func(h hit) bool { return h.service == service }) {
		return hit{}, false
	}
	h := hit{service: service}
	lasts := 500*time.Millisecond + time.Duration(r.Int64N(int64(9*second)))
	switch r.IntN(3) {
	case 0:
		h.name = "kill"
		s.oracle.read() // what an upstream has seen dies with it
		s.kill(service)
		h.mend = func() { s.start(service) }
	case 1:
		h.name = "pause"
		s.pause(service)
		h.mend = func() { s.unpause(service) }
	default:
		h.name = "cut"
		networks := between(service)
		if regionOf[service] != "" {
			networks = home(service)
		} else if service == "seed1" || slices.Contains(relays, service) && r.IntN(2) == 0 {
			networks = outside(service)
		}
		h.mend = s.cut(service, networks...)
	}
	h.until = time.Now().Add(lasts)
	return h, true
}
