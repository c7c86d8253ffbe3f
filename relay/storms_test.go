package relay_test

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/simnet"
	"github.com/thinrelay/thinrelay/relay/wire"
)

var (
	storms     = flag.Int("storms", 40, "how many seeded storms TestStorms and TestStormsAlone run")
	firstStorm = flag.Uint64("storms.first", 0, "the first seed")
)

// stormAhead is how long before our round a storm begins.
const stormAhead = 1500 * time.Millisecond

// A storm shakes the emit rule and nothing else: the group takes up to 1.5 s to
// agree, all replicas sign (in half of the fleets), and around the first slots of
// our round, while all of them build on one block, leaderships and sources come
// and go faster than the group agrees. Nothing is asked of liveness. The mutants of
// the rule (relay/gate/testdata) are run through the same storms, see
// scripts/proctest.
func TestStorms(t *testing.T) {
	seasons(t, "storms", "storms", *storms, *firstStorm, func(t *testing.T, seed uint64, n int) fleetCount {
		s := newStorm(t, seed)
		defer s.close()
		s.run(seed, n, s.shake)
		return s.fleetCount
	})
}

// storm is a fleet in a storm.
type storm struct {
	*schedule
	commit time.Duration
	dials  [][]int // the relays that each replica dials
	slots  slotWatch
	round  wire.Slot // the first of our round that is next
	// divided: each relay reaches one upstream, and these tell one another late, so
	// that a new leader does not hear from the network what the last one has sent.
	divided bool
	stuck   string // how nothing went on where it had to; empty if it did
}

func newStorm(t *testing.T, seed uint64) *storm {
	rng := rand.New(rand.NewPCG(seed, 21))
	shapes := [][][]int{
		{{0}, {1}, {2}},
		{{0, 1, 2}, {0, 1, 2}, {0, 1, 2}},
		{{0, 1}, {1, 2}, {2, 0}},
		{{1}, {1}, {2}},
	}
	w := &storm{commit: between(rng, 30*time.Millisecond, 1500*time.Millisecond)}
	all := rng.IntN(2) == 0
	w.dials = shapes[rng.IntN(len(shapes))]
	cfg := fleetConfig{
		seed: seed, relays: 3, load: 3, dials: w.dials, finalizer: []int{0, 1, 2},
		mode: director.Mode(rng.IntN(2)), commit: w.commit, mayGiveUp: true,
		replica: func(_ int, c *simnet.ReplicaConfig) { c.IgnoreVotes = all },
		events:  w.slots.event,
	}
	if rng.IntN(2) == 0 {
		cfg.lag = between(rng, time.Millisecond, time.Second)
	}
	w.divided = rng.IntN(3) > 0
	w.schedule = &schedule{fleet: newFleet(t, cfg), fleetCount: fleetCount{faults: make(map[string]int)}, rng: rng}
	return w
}

// between is a duration between two bounds, the shorter the likelier.
func between(r *rand.Rand, low, high time.Duration) time.Duration {
	return time.Duration(float64(low) * math.Exp(r.Float64()*math.Log(float64(high)/float64(low))))
}

// shake is one storm.
func (w *storm) shake() {
	if w.divided {
		w.divide()
	}
	for n := w.ahead(); n > 0; n-- {
		w.tend()
		w.strike()
		time.Sleep(w.upTo(max(w.commit, 100*time.Millisecond))) // fake time
	}
}

// run goes through n storms.
func (w *storm) run(first uint64, n int, shake func()) {
	rounds(2)
	w.net.Oracle.Begin(w.now())
	for seed := first; seed < first+uint64(n) && !w.t.Failed(); seed++ {
		w.rng = rand.New(rand.NewPCG(seed, 22))
		w.log = nil
		begin := time.Now()
		w.round = w.awaitSlot(0, stormAhead)
		shake()
		w.mend()
		rounds(1)
		w.tend()
		w.ran++
		if what := w.broken(); what != "" {
			w.t.Errorf("storm %d: broken: %s, after %d faults of this fleet; commit %s", seed, what, w.faulted(), w.commit)
			for _, line := range w.log {
				w.t.Log(line)
			}
			w.dump(begin, 400)
		}
	}
	w.count()
}

func (w *storm) faulted() (n int) {
	for _, k := range w.faults {
		n += k
	}
	return n
}

// broken is the promise that is broken, and how; empty if none is.
func (w *storm) broken() string {
	doubles, unlinked := w.net.Oracle.Violations()
	switch {
	case len(doubles) > 0:
		return fmt.Sprintf("S1: %+v", doubles[0])
	case len(unlinked) > 0:
		return fmt.Sprintf("S2: %+v", unlinked[0])
	case w.group.lowered() > 0:
		return fmt.Sprintf("S3: the mark has fallen, it is %s", w.group.State().Mark)
	case w.slots.broken() != "":
		return "slot: " + w.slots.broken()
	case w.stuck != "":
		return "stuck: " + w.stuck
	}
	return ""
}

// tend gives the group a leader again when the last one has given up.
func (w *storm) tend() {
	for _, m := range w.members {
		if m.led == nil {
			continue
		}
		select {
		case <-m.led.ended:
			m.led = nil
			w.note("%s has given up", m.name)
			if leader, _ := w.group.current(); leader == m {
				w.group.elect(nil)
			}
		default:
		}
	}
	if leader, _ := w.group.current(); leader == nil {
		w.promote()
	}
}

// slotWatch sees whether a block that an upstream gets has a later slot than its parent.
type slotWatch struct {
	mu    sync.Mutex
	slots map[wire.ID]wire.Slot
	first string
}

func (w *slotWatch) event(e simnet.Event) {
	if e.Block == nil || e.Kind != simnet.Produced && e.Kind != simnet.Received {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.slots == nil {
		w.slots = make(map[wire.ID]wire.Slot)
	}
	b := e.Block
	w.slots[b.ID] = b.Slot
	parent, ok := w.slots[b.Previous]
	if e.Kind == simnet.Received && !e.Inside && ok && parent >= b.Slot && strings.HasPrefix(e.Node, "up-") && w.first == "" {
		w.first = fmt.Sprintf("%s gets block %d of slot %d on one of slot %d", e.Node, b.Num(), b.Slot, parent)
	}
}

func (w *slotWatch) broken() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.first
}
