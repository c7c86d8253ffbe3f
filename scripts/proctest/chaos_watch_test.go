package proctest_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/relay/control"
	"github.com/thinrelay/thinrelay/relay/simnet"
)

// watch looks for broken promises from the outside: what the oracle says, the
// marks that members tell, and processes that crash.
type watch struct {
	effects
	c    *chaos
	stop chan struct{}
	done sync.WaitGroup

	mu         sync.Mutex
	seen       map[string]sighting // by relay: its last answer
	terms      map[uint64]uint32   // by term: the highest mark its leader told
	lowered    int
	violations int
	halted     bool     // something else is so wrong that there is no use in going on
	first      string   // the promise broken first
	events     []moment // of the network, the last few
}

// sighting is what a relay has answered.
type sighting struct {
	at     time.Time
	pid    int
	status control.Status
}

// watchEvery is how often members and oracle are asked.
const watchEvery = 100 * time.Millisecond

// recent is how old an answer may be to be believed.
const recent = 600 * time.Millisecond

func newWatch(c *chaos) *watch {
	return &watch{c: c, stop: make(chan struct{}), seen: make(map[string]sighting), terms: make(map[uint64]uint32)}
}

func (w *watch) start(t *testing.T) {
	for _, r := range w.c.relays {
		w.done.Go(func() { w.every(func() { w.marks(r) }) })
	}
	w.done.Go(func() { w.every(w.oracle) })
	t.Cleanup(func() {
		close(w.stop)
		w.done.Wait()
	})
}

func (w *watch) every(do func()) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			do()
		case <-w.stop:
			return
		}
	}
}

// marks asks a relay for its mark. Within a process it must not fall; and what a
// leader holds, once it holds upstreams, must not be lower than what the leaders
// of earlier terms have told.
func (w *watch) marks(r *relay) {
	before, asked := r.pid(), time.Now()
	s, ok := r.status()
	if ok {
		w.clocks.answer(r.name, asked.Round(0), s.Time, time.Now().Round(0))
		w.loners.told(s)
	}
	if !ok || before == 0 || r.pid() != before {
		return
	}
	w.mu.Lock()
	last := w.seen[r.name]
	w.seen[r.name] = sighting{time.Now(), before, s}
	mark := height(s)
	fault := ""
	if last.pid == before && mark < height(last.status) {
		fault = fmt.Sprintf("the mark of %s falls from #%d to #%d", r.name, height(last.status), mark)
	}
	if s.Leader == r.name && holdsUpstreams(s) {
		for term, highest := range w.terms {
			if term < s.Term && mark < highest {
				fault = fmt.Sprintf("%s leads term %d with mark #%d, the leader of term %d had #%d", r.name, s.Term, mark, term, highest)
			}
		}
		w.terms[s.Term] = max(w.terms[s.Term], mark)
	}
	if fault != "" {
		w.lowered++
	}
	w.mu.Unlock()
	if fault != "" {
		w.report("S3: "+fault, time.Now())
	}
}

// height is that of the mark a member tells.
func height(s control.Status) uint32 {
	if s.Forwarded == nil {
		return 0
	}
	return s.Forwarded.Num
}

// holdsUpstreams reports whether the member that answers emits: its barrier has passed.
func holdsUpstreams(s control.Status) bool {
	for _, m := range s.Members {
		if m.Name == s.Node {
			return strings.HasSuffix(m.Upstream, " connected")
		}
	}
	return false
}

// highest is the highest mark that a leader has told.
func (w *watch) highest() (mark uint32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.terms {
		mark = max(mark, m)
	}
	return mark
}

// oracle asks the oracle.
func (w *watch) oracle() {
	doubles, unlinked := w.c.net.Oracle.Violations()
	votes, _, _ := w.c.net.Oracle.Votes()
	w.mu.Lock()
	n := w.violations
	w.violations = len(doubles) + len(unlinked) + len(votes)
	w.mu.Unlock()
	if n > 0 || len(doubles)+len(unlinked)+len(votes) == 0 {
		return
	}
	for _, v := range doubles {
		w.report(fmt.Sprintf("S1: %s gets a second block of height %d from %s: %.16s beside %.16s", v.Node, v.Height, v.Relay, v.ID, v.Other), time.Now())
		return
	}
	if len(unlinked) == 0 {
		v := votes[0]
		w.report(fmt.Sprintf("votes: %s gets one from %s for %d (%.16s) that is not for a later slot than the last, %.16s, or for a block that nobody has", v.Node, v.Relay, v.Height, v.ID, v.Other), time.Now())
		return
	}
	v := unlinked[0]
	w.report(fmt.Sprintf("S2: %s gets block %d (%.16s) from %s without its parent %.16s", v.Node, v.Height, v.ID, v.Relay, v.Other), time.Now())
}

// halt reports what ends the run.
func (w *watch) halt(what string, at time.Time) {
	w.mu.Lock()
	w.halted = true
	w.mu.Unlock()
	w.report(what, at)
}

// panicked looks for a crash in what a relay has written last.
func (w *watch) panicked(name, text string) {
	for _, word := range []string{"panic: ", "fatal error: ", "[signal SIG"} {
		if strings.Contains(text, word) {
			w.halt(name+" crashed:\n"+text, time.Now())
			return
		}
	}
}

// broken reports whether a promise was broken for good.
func (w *watch) broken() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.violations > 0 || w.lowered > 0 || w.halted
}

// event takes what happens in the network.
func (w *watch) event(e simnet.Event) {
	w.effects.event(e)
	text := ""
	switch {
	case e.Block == nil:
	case e.Kind == simnet.Received && !e.Inside && strings.HasPrefix(e.Node, "up-"):
		text = fmt.Sprintf("gets #%d %.16s from %s, linked %v", e.Block.Num(), e.Block.ID, e.Peer, e.Linked)
	case e.Kind == simnet.Produced:
		text = fmt.Sprintf("signs #%d %.16s on %.16s, slot %d", e.Block.Num(), e.Block.ID, e.Block.Previous, e.Block.Slot)
	}
	if text == "" {
		return
	}
	const most = 400
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, moment{e.Time, e.Node, text})
	if len(w.events) > 2*most {
		w.events = append([]moment(nil), w.events[most:]...)
	}
}

// leads is the member that says it leads, by what the members have told lately.
func (c *chaos) leads() (name string, s control.Status) {
	c.watch.mu.Lock()
	defer c.watch.mu.Unlock()
	for n, have := range c.watch.seen {
		if got := have.status; time.Since(have.at) < recent && got.Leader == n && got.Quorum.OK && got.Term >= s.Term {
			name, s = n, got
		}
	}
	return name, s
}
