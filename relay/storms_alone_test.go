package relay_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/fsm"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/simnet"
)

const (
	// goOnAfter is unresolved_after in these storms.
	goOnAfter = time.Second
	// goesOnWithin bounds how long it takes a leader to go by that, and then to let blocks go.
	goesOnWithin = 10 * time.Second
)

// On a chain where nobody else produces a leader goes by unresolved_after, and takes a
// right away that another one has used. There the rule has clauses of its own, which
// other storms do not come near. No two leaders are awake together for longer than
// that: it is time alone that keeps those apart.
func TestStormsAlone(t *testing.T) {
	seasons(t, "storms-alone", "storms", *storms, *firstStorm, func(t *testing.T, seed uint64, n int) fleetCount {
		w := newStormAlone(t, seed)
		defer w.close()
		w.run(seed, n, func() {
			if w.rng.IntN(3) == 0 {
				w.unwatched()
				return
			}
			w.usurped()
		})
		return w.fleetCount
	})
}

// newStormAlone: each relay hears one replica and the finalizer's host, and standbys sign when they
// are told others' votes, or all would build on blocks of their own.
func newStormAlone(t *testing.T, seed uint64) *storm {
	rng := rand.New(rand.NewPCG(seed, 23))
	w := &storm{commit: between(rng, 20*time.Millisecond, 200*time.Millisecond), dials: [][]int{{0}, {1}, {2}}}
	cfg := fleetConfig{
		seed: seed, relays: 3, load: 3, dials: w.dials, finalizer: []int{0, 1, 2},
		mode: director.Votes, commit: w.commit, mayGiveUp: true, unresolvedAfter: goOnAfter,
		change:  func(c *simnet.Config) { c.Others = []string{} },
		replica: func(_ int, c *simnet.ReplicaConfig) { c.Stale = true },
		events:  w.slots.event,
	}
	w.schedule = &schedule{fleet: newFleet(t, cfg), fleetCount: fleetCount{faults: make(map[string]int)}, rng: rng}
	return w
}

// usurped: the leader has let a block go that got to no upstream. Another one has not heard of it from
// its replica (at times the finalizer's host tells it, which is no source), goes by unresolved_after, and lets the block of another replica go, which the
// first has not heard of. Then the first reaches an upstream again: its process was stopped all the
// time, or it leads again, for less time than unresolved_after.
func (w *storm) usurped() {
	first, _ := w.part()
	defer w.reach(first)
	defer w.group.cut(first, false)
	for i := range w.net.Addrs() {
		w.net.Upstream(i).Lag(8 * time.Second)
	}
	w.end(first)
	first.lead(w.group.elect(first), true)          // whatever becomes of what it proposes, it does not end by itself
	time.Sleep(time.Second + w.upTo(2*time.Second)) // fake time
	w.unplug(first)
	last, ok := w.agreed()
	if !ok {
		return
	}
	w.isolate(first)
	if !w.await(func(t fsm.Transition) bool { return isEmit(t) && t.From == last }) {
		return
	}
	stopped := w.rng.IntN(2) == 0
	if stopped {
		w.stop(first, 4*goOnAfter)
	} else {
		w.group.destine(lost)
		w.end(first)
	}
	second := w.members[0]
	if second == first {
		second = w.members[1]
	}
	w.note("%s leads", second.name)
	second.lead(w.group.elect(second), false)
	if !w.awaitFor(goesOnWithin/2, func(t fsm.Transition) bool { return t.Unresolved }) || !w.await(isEmit) {
		return
	}
	if stopped {
		w.reach(first)
		time.Sleep(4 * goOnAfter) // fake time
		return
	}
	w.group.destine(lost)
	w.end(second)
	w.reach(first)
	w.note("%s leads again", first.name)
	first.lead(w.group.elect(first), false)
	time.Sleep(goOnAfter * 3 / 4) // fake time
	w.end(first)
}

// stop stops the leader's process for a while. The group goes on without it, and has not heard of
// what it proposed last.
func (w *storm) stop(m *member, d time.Duration) {
	w.faults["pause"]++
	w.note("%s is stopped for %s", m.name, d)
	m.still.Store(int64(d))
	w.group.lose()
	w.group.cut(m, true)
	w.stale = append(w.stale, &staleLeader{m, m.led, time.Now().Add(d + time.Second)})
	m.led = nil
	w.group.elect(nil)
}

// unwatched: the relay that leads starts anew, and its replica, which it alone hears, has
// built on the mark meanwhile. The right goes to that replica, which has it.
func (w *storm) unwatched() {
	m, _ := w.part()
	time.Sleep(time.Second + w.upTo(2*time.Second)) // fake time
	w.agreed()
	w.isolate(m)
	w.faults["kill"]++
	w.note("kill leader %s, and start it again", m.name)
	m.kill()
	w.group.elect(nil)
	time.Sleep(500*time.Millisecond + w.upTo(time.Second)) // fake time
	m.start()
	time.Sleep(2 * time.Second) // fake time
	before := w.group.State().Mark
	m.lead(w.group.elect(m), false)
	if !w.awaitFor(goesOnWithin, func(t fsm.Transition) bool { return t.Unresolved && t.To == t.From }) {
		return
	}
	time.Sleep(goesOnWithin) // fake time
	w.tend()                 // it may have given up
	if mark := w.group.State().Mark; mark == before && m.led != nil {
		w.stuck = fmt.Sprintf("%s leads, went by unresolved_after, and lets nothing go: the mark is %s", m.name, mark)
	}
}

// agreed waits until the group has agreed on a block that has been sent, and returns the mark.
func (w *storm) agreed() (fsm.Mark, bool) {
	var t fsm.Transition
	if !w.await(func(p fsm.Transition) bool { t = p; return isEmit(p) }) {
		return fsm.Mark{}, false
	}
	for range 100 {
		if mark := w.group.State().Mark; mark == t.To {
			return mark, true
		}
		time.Sleep(5 * time.Millisecond) // fake time
	}
	return fsm.Mark{}, false
}

// unplug: a relay has no upstream until it may reach them again.
func (w *storm) unplug(m *member) {
	w.faults["cut-upstreams"]++
	w.note("%s has no upstream", m.name)
	m.hangUp(time.Hour)
}

// reach ends that.
func (w *storm) reach(m *member) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !m.away.IsZero() {
		w.note("%s reaches upstreams again", m.name)
	}
	m.away = time.Time{}
}

// end ends a leadership, and nobody leads.
func (w *storm) end(m *member) {
	w.faults["step-down"]++
	w.note("%s leads no more, the mark is %s", m.name, w.group.State().Mark)
	m.resign()
	w.group.elect(nil)
}
