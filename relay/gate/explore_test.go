package gate_test

import (
	"os"
	"strings"
	"testing"
	"time"
)

// An exploration is a corner of what can happen, small enough to be looked at completely.
type exploration struct {
	name   string
	bounds bounds
}

// explorations are made in every test run.
var explorations = []exploration{
	{"takeover", bounds{heights: 3, terms: 2, others: 1, logs: 3, switches: 1, crashes: 1}},
	{"forks", bounds{heights: 2, terms: 2, others: 3, logs: 3, switches: 1}},
	{"failed hand-over", bounds{heights: 2, terms: 2, others: 1, logs: 3, switches: 1, pauses: 1, crashes: 1}},
	{"late proposal", bounds{heights: 2, terms: 2, others: 1, logs: 3, switches: 1, pauses: 1, lateLands: true}},
	{"three leaders", bounds{heights: 2, terms: 3, others: 1, logs: 2}},
	{"replay", bounds{heights: 2, terms: 2, others: 1, logs: 5, switches: 1, crashes: 1, replay: true}},
	{"two children", bounds{heights: 2, terms: 2, others: 1, logs: 3, switches: 1, pauses: 1, twoBlocks: true, heardAll: true}},
	{"back and forth", bounds{heights: 1, terms: 2, logs: 4, switches: 3, pauses: 2, lateLands: true}},
	{"bad slots", bounds{heights: 2, terms: 2, others: 1, logs: 3, switches: 1, badSlots: true}},
	{"unresolved", bounds{heights: 2, terms: 3, logs: 3, resolves: 2}},
	{"unresolved, late proposal", bounds{heights: 1, terms: 2, others: 1, logs: 3, switches: 1, pauses: 1, resolves: 2, lateLands: true}},
}

// wide are made when THINRELAY_EXPLORE is "large": some minutes and 2 GB.
var wide = []exploration{
	{"three leaders, three heights", bounds{heights: 3, terms: 3, others: 1, logs: 3, switches: 1}},
	{"three leaders, crashes", bounds{heights: 2, terms: 3, others: 1, logs: 3, switches: 1, crashes: 2}},
	{"four leaders", bounds{heights: 2, terms: 4, others: 1, logs: 2}},
	{"takeover, forks", bounds{heights: 3, terms: 2, others: 2, logs: 3, switches: 2, crashes: 1}},
	{"late proposal, three heights", bounds{heights: 3, terms: 2, others: 1, logs: 3, switches: 1, pauses: 1, lateLands: true}},
	{"late proposal, twice", bounds{heights: 2, terms: 2, others: 1, logs: 3, switches: 2, pauses: 2, crashes: 1, lateLands: true}},
	{"unresolved, late, three leaders", bounds{heights: 1, terms: 3, others: 1, logs: 3, switches: 2, pauses: 2, crashes: 1, resolves: 2, lateLands: true}},
	{"unresolved, three times", bounds{heights: 2, terms: 4, others: 1, logs: 3, resolves: 3}},
	{"replay, three leaders", bounds{heights: 2, terms: 3, others: 1, logs: 5, switches: 1, crashes: 1, replay: true}},
}

// TestExplore looks at every state within its bounds: S1, S2 and S3 hold in each of them, and the places where they could break
// have been visited.
func TestExplore(t *testing.T) {
	if racing {
		t.Skip("one goroutine, twenty million steps")
	}
	list, limit := explorations, 4_000_000
	if os.Getenv("THINRELAY_EXPLORE") == "large" {
		list, limit = append(list[:len(list):len(list)], wide...), 12_000_000
	}
	var all coverage
	var states, transitions int
	began := time.Now()
	for _, x := range list {
		r := explore(x.bounds, limit)
		t.Logf("%-29s %9d states, %9d transitions, depth %d, %s", x.name, r.states, r.transitions, r.depth, r.took.Round(time.Millisecond))
		if r.wrong != "" {
			t.Errorf("%s: %s\n%s", x.name, r.wrong, r.trace)
		}
		if !r.complete && limit == 4_000_000 {
			t.Errorf("%s: more than %d states", x.name, limit)
		} else if !r.complete {
			t.Logf("%s: stopped at %d states, depth %d", x.name, r.states, r.depth)
		}
		all.add(&r.seen)
		states, transitions = states+r.states, transitions+r.transitions
	}
	t.Logf("%d states, %d transitions in %s", states, transitions, time.Since(began).Round(time.Millisecond))
	for what, n := range all.reached() {
		if n == 0 {
			t.Errorf("never reached: %s", what)
		}
		t.Logf("%9d times: %s", n, what)
	}
}

// What a test run cannot break, it does not check: a leader that begins without the barrier does break S1.
func TestExploreWithoutBarrier(t *testing.T) {
	r := explore(bounds{heights: 2, terms: 2, others: 1, logs: 5, switches: 1, replay: true, noBarrier: true}, 1_000_000)
	if !strings.HasPrefix(r.wrong, "S1") {
		t.Fatalf("got %q after %d states, want S1 broken", r.wrong, r.states)
	}
	t.Logf("%s, after %d states:\n%s", r.wrong, r.states, r.trace)
}

// Nor does it check S2, if it cannot break that: a supply that leaves out what the network lacks of a block's ancestors does.
func TestExploreWithoutAncestors(t *testing.T) {
	r := explore(bounds{heights: 2, terms: 2, others: 1, logs: 3, crashes: 1, noParents: true}, 1_000_000)
	if !strings.HasPrefix(r.wrong, "S2") {
		t.Fatalf("got %q after %d states, want S2 broken", r.wrong, r.states)
	}
	t.Logf("%s, after %d states:\n%s", r.wrong, r.states, r.trace)
}

// TestExploreTwoChildren shows what S1 rests on. If a source builds two children of one parent, and a leader that was given the right
// itself uses it for the second, having missed the first, then its successor may let the first: Watched protects the
// successor's choice, not the leader's. nodeos builds one child per parent (docs/p2p.md).
func TestExploreTwoChildren(t *testing.T) {
	r := explore(bounds{heights: 2, terms: 2, others: 1, logs: 3, twoBlocks: true}, 1_000_000)
	if !strings.HasPrefix(r.wrong, "S1") {
		t.Fatalf("got %q after %d states, want S1 broken: is the assumption still needed?", r.wrong, r.states)
	}
	t.Logf("%s, after %d states:\n%s", r.wrong, r.states, r.trace)
}

// TestExploreHasty shows what S1 rests on where failover.unresolved_after is set: that a leader which resolves has waited until
// whatever former leaders let go has reached the network or never will, and until they let nothing go any more.
func TestExploreHasty(t *testing.T) {
	r := explore(bounds{heights: 1, terms: 2, logs: 3, resolves: 1, hasty: true}, 1_000_000)
	if !strings.HasPrefix(r.wrong, "S1") {
		t.Fatalf("got %q after %d states, want S1 broken: is the assumption still needed?", r.wrong, r.states)
	}
	t.Logf("%s, after %d states:\n%s", r.wrong, r.states, r.trace)
}

// small are the explorations that a mutant of the rule is looked for in. What is found in them is in the others too.
var small = []exploration{
	{"failed hand-over", bounds{heights: 2, terms: 2, others: 1, logs: 3, switches: 1, pauses: 1}},
	{"two children", bounds{heights: 2, terms: 2, others: 1, logs: 3, switches: 1, pauses: 1, twoBlocks: true, heardAll: true}},
	{"bad slots", bounds{heights: 2, terms: 1, others: 1, logs: 3, switches: 1, badSlots: true}},
	{"back and forth", bounds{heights: 1, terms: 2, logs: 4, switches: 3, pauses: 2, lateLands: true}},
	{"forks", bounds{heights: 2, terms: 2, others: 2, logs: 3, switches: 1}},
	{"unresolved", bounds{heights: 1, terms: 3, logs: 3, resolves: 2}},
}

// smallLimit bounds each of them, in states.
const smallLimit = 1_500_000

// TestExploreMutant is run by TestMutants, on changed code, and says what it finds.
func TestExploreMutant(t *testing.T) {
	if os.Getenv("THINRELAY_MUTANT") == "" {
		t.Skip("is run by TestMutants")
	}
	list, limit := small, smallLimit
	if os.Getenv("THINRELAY_MUTANT") == "large" { // for those that nothing is found of
		list, limit = explorations, 4_000_000
	}
	for _, x := range list {
		if r := explore(x.bounds, limit); r.wrong != "" {
			t.Fatalf("FOUND %s (%s, %d states)\n%s", r.wrong, x.name, r.states, r.trace)
		}
	}
}
