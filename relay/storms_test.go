package relay_test

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/fsm"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/simnet"
	"github.com/thinrelay/thinrelay/relay/wire"
)

var (
	storms     = flag.Int("storms", 100, "how many seeded storms TestStorms runs")
	firstStorm = flag.Uint64("storms.first", 0, "the first seed")
)

const (
	// stormSeason is how many storms one fleet lives through.
	stormSeason = 10
	// stormAhead is how long before our round a storm begins at the earliest.
	stormAhead = 1500 * time.Millisecond
)

// A storm shakes the emit rule and nothing else: the group takes up to 1.5 s to
// agree, all replicas sign (in half of the fleets), and around the first slots of
// our round, while all of them build on one block, leaderships and sources come
// and go faster than the group agrees. Nothing is asked of liveness. The mutants of
// the rule (relay/gate/testdata) are run through the same storms, see
// scripts/proctest.
func TestStorms(t *testing.T) {
	n := *storms
	if testing.Short() || raceEnabled {
		n = min(n, 20)
	}
	var mu sync.Mutex
	total := fleetCount{faults: make(map[string]int)}
	began := time.Now()
	t.Run("from", func(t *testing.T) {
		for left, seed := n, *firstStorm; left > 0; left, seed = left-stormSeason, seed+stormSeason {
			n := min(left, stormSeason)
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s := newStorm(t, seed)
					defer s.close()
					s.run(seed, n)
					mu.Lock()
					defer mu.Unlock()
					total.add(s.fleetCount)
				})
				if t.Failed() {
					t.Logf("replay: go test ./relay -run TestStorms -storms.first %d -storms %d", seed, n)
				}
			})
		}
	})
	fmt.Fprintln(os.Stderr, total.line("storms", time.Since(began)))
}

// storm is a fleet in a storm.
type storm struct {
	*schedule
	commit time.Duration
	slots  slotWatch
	// divided: each relay reaches one upstream, and these tell one another late, so
	// that a new leader does not hear from the network what the last one has sent.
	divided bool
}

func newStorm(t *testing.T, seed uint64) *storm {
	rng := rand.New(rand.NewPCG(seed, 21))
	shapes := [][][]int{
		{{0}, {1}, {2}},
		{{0, 1, 2}, {0, 1, 2}, {0, 1, 2}},
		{{0, 1}, {1, 2}, {2, 0}},
		{{1}, {1}, {2}},
	}
	w := &storm{commit: between(rng, 10*time.Millisecond, 1500*time.Millisecond)}
	all := rng.IntN(2) == 0
	cfg := fleetConfig{
		seed: seed, relays: 3, load: 3, dials: shapes[rng.IntN(len(shapes))], finalizer: []int{0, 1, 2},
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

// ahead is what has to be under way before our round begins, and what follows
// from it. It returns how many other things are to happen in the storm.
func (w *storm) ahead() int {
	switch w.rng.IntN(4) {
	case 0:
		w.faults["fork-at-tip"]++
		w.note("the network forks at the tip")
		for _, name := range []string{"bpb", "bpc"} {
			if n, err := w.net.Producer(name); err == nil {
				n.Equivocate(1 + w.rng.IntN(3))
			}
		}
		time.Sleep(w.upTo(2 * stormAhead)) // fake time
	case 1:
		w.twins()
		return 0
	case 2:
		w.late()
	default:
		time.Sleep(w.upTo(2 * stormAhead)) // fake time
	}
	return 3 + w.rng.IntN(6)
}

// twins: the replicas sign twice, and while the group is about to agree on the
// first of the two a hand-over fails. Leadership stays where it is: that two
// leaders use two children of one process is beyond the promise (docs/design.md).
func (w *storm) twins() {
	w.faults["twins"]++
	w.note("all replicas sign twice in the first slots")
	for _, r := range w.replicas {
		if n := r.Node(); n != nil {
			n.Equivocate(3)
		}
	}
	if !w.await(func(t fsm.Transition) bool { return t.To.Source == t.From.Source && t.To.Height() == t.From.Height()+1 }) {
		return
	}
	w.handOver()
	if w.rng.IntN(2) == 0 {
		w.freeze(w.speaker())
	}
}

// late: the replica whose turn it is does not sign, and goes on, or a hand-over
// fails, while the group is about to agree on another one.
func (w *storm) late() {
	r := w.speaker()
	if r == nil {
		return
	}
	w.faults["replica-freeze"]++
	w.note("freeze %s before the round", r.Name())
	r.Freeze()
	defer r.Thaw()
	if !w.await(func(t fsm.Transition) bool { return t.Unused }) {
		return
	}
	if w.rng.IntN(2) == 0 {
		w.handOver()
	}
	time.Sleep(w.upTo(w.commit)) // fake time
	w.note("thaw %s", r.Name())
}

// await waits for a proposal of a kind to be under way, a round at most.
func (w *storm) await(kind func(fsm.Transition) bool) bool {
	for range 700 {
		if t, ok := w.group.proposed(); ok && kind(t) {
			return true
		}
		time.Sleep(5 * time.Millisecond) // fake time
	}
	return false
}

// handOver fails: the leader ends its work and begins it anew, in the same term.
func (w *storm) handOver() {
	leader, _ := w.group.current()
	if leader == nil || leader.led == nil {
		return
	}
	w.faults["hand-over-fails"]++
	term := leader.led.term
	leader.resign()
	w.note("the hand-over by %s fails", leader.name)
	time.Sleep(w.upTo(min(w.commit, 300*time.Millisecond))) // fake time
	leader.lead(term, false)
}

// freeze stops a replica for up to two seconds.
func (w *storm) freeze(r *simnet.Replica) {
	if r == nil {
		return
	}
	w.faults["replica-freeze"]++
	d := between(w.rng, 50*time.Millisecond, 2*time.Second)
	w.note("freeze %s for %s", r.Name(), d)
	r.Freeze()
	time.AfterFunc(d, r.Thaw)
}

// amid waits, more often than not, until the group is about to agree on something.
func (w *storm) amid() {
	if w.rng.IntN(3) == 0 {
		return
	}
	if w.await(func(fsm.Transition) bool { return true }) {
		time.Sleep(w.upTo(w.commit)) // fake time
	}
}

// divide takes an upstream from each relay, and lets the upstreams lag.
func (w *storm) divide() {
	for _, m := range w.members {
		w.mem.CutBoth(m.name, fmt.Sprintf("up-%d", 1+w.rng.IntN(len(w.net.Addrs()))))
	}
	for i := range w.net.Addrs() {
		w.net.Upstream(i).Lag(between(w.rng, 200*time.Millisecond, 3*time.Second))
	}
}

// between is a duration between two bounds, the shorter the likelier.
func between(r *rand.Rand, low, high time.Duration) time.Duration {
	return time.Duration(float64(low) * math.Exp(r.Float64()*math.Log(float64(high)/float64(low))))
}

// run goes through n storms.
func (w *storm) run(first uint64, n int) {
	rounds(2)
	w.net.Oracle.Begin(w.now())
	for seed := first; seed < first+uint64(n) && !w.t.Failed(); seed++ {
		w.rng = rand.New(rand.NewPCG(seed, 22))
		w.log = nil
		begin := time.Now()
		w.awaitSlot(0, stormAhead)
		if w.divided {
			w.divide()
		}
		for n := w.ahead(); n > 0; n-- {
			w.tend()
			w.strike()
			time.Sleep(w.upTo(max(w.commit, 100*time.Millisecond))) // fake time
		}
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
	got := w.net.Report()
	w.emitted, w.missed, w.double, w.unlinked = got.Emitted, got.Missed, got.Double, got.Unlinked
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
	case w.group.fallen() != "":
		return "S3: " + w.group.fallen()
	case w.slots.broken() != "":
		return "slot: " + w.slots.broken()
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

// strike does one thing.
func (w *storm) strike() {
	leader, _ := w.group.current()
	kind := ""
	switch w.rng.IntN(14) {
	case 0:
		if leader != nil {
			kind = "kill"
			w.amid()
			w.note("kill leader %s", leader.name)
			leader.kill()
			w.group.elect(nil)
			time.Sleep(w.upTo(w.commit)) // fake time
			w.promote()
		}
	case 1, 2:
		if leader != nil {
			kind = "stale-leader"
			w.amid()
			if w.rng.IntN(2) == 0 {
				w.isolate(leader)
			}
			w.depose(leader)
			time.Sleep(w.upTo(100 * time.Millisecond)) // fake time
			w.promote()
		}
	case 3, 4:
		w.amid()
		w.handOver()
	case 5:
		if leader != nil {
			kind = "step-down"
			w.note("step down %s", leader.name)
			w.group.elect(nil)
			leader.resign()
			w.promote()
		}
	case 6, 7, 8:
		r := w.anyReplica()
		if sp := w.speaker(); sp != nil && w.rng.IntN(3) > 0 {
			r = sp
		}
		w.freeze(r)
	case 9:
		if r := w.speaker(); r != nil && r.Node() != nil {
			kind = "source-switch"
			d := between(w.rng, 50*time.Millisecond, 2*time.Second)
			w.note("%s is told not to produce for %s", r.Name(), d)
			n := r.Node()
			n.Pause()
			time.AfterFunc(d, n.Resume)
		}
	case 10:
		if leader != nil {
			kind = "partition"
			w.isolate(leader)
		}
	case 11:
		kind = "fork-at-tip"
		w.fork()
	case 12:
		if r := w.speaker(); r != nil && r.Node() != nil {
			kind = "backdate"
			w.note("%s signs its next block for the slot of its parent", r.Name())
			r.Node().Backdate(1)
		}
	case 13:
		kind = "replica-restart"
		r := w.anyReplica()
		w.note("restart %s", r.Name())
		r.Kill()
		time.Sleep(w.upTo(500 * time.Millisecond)) // fake time
		w.startReplica(r)
	}
	if kind != "" {
		w.faults[kind]++
	}
}

// isolate cuts the links of a relay and the others.
func (w *storm) isolate(m *member) {
	w.note("cut the links of %s", m.name)
	for _, o := range w.members {
		if o != m {
			w.mem.CutBoth(m.name, o.name)
		}
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
	if e.Kind == simnet.Received && !e.Inside && ok && parent >= b.Slot && e.Node[:3] == "up-" && w.first == "" {
		w.first = fmt.Sprintf("%s gets block %d of slot %d on one of slot %d", e.Node, b.Num(), b.Slot, parent)
	}
}

func (w *slotWatch) broken() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.first
}
