package proctest_test

import (
	"flag"
	"fmt"
	"testing"
)

var chaosMutants = flag.String("mutants", "", "chaos: run relayd with each mutant of the emit rule whose name matches this, for -faults faults each")

// mutantKinds are the kinds that shake the emit rule: leaders that go with a
// proposal under way, first of all those that are cut off, since they go on
// sending for a while; and replicas that go.
const mutantKinds = "cut-leader,cut-leader,cut-leader,pause-leader,kill-leader,step-down,replica-restart,replica-pause"

// TestChaosMutants takes clauses of the emit rule away, as the explorer does
// (relay/gate), and looks whether a chaos run notices. All replicas sign all
// the time, so that there is a wrong block to be sent at any moment. Not all can
// be noticed so: it fails when none is.
func TestChaosMutants(t *testing.T) {
	if *chaosMutants == "" {
		t.Skip("no mutants asked for: make chaos-mutants")
	}
	if *chaosKinds == "" {
		*chaosKinds = mutantKinds
	}
	var rows []string
	caught := 0
	for _, m := range mutants(t, *chaosMutants) {
		t.Run(m.Name, func(t *testing.T) {
			c := newChaos(t, buildAfflicted(t, m.overlay(t)), *chaosSeed, true)
			c.run(*chaosFaults)
			faults := c.struck
			row := fmt.Sprintf("| %s | %s | not within %d faults |", m.Name, m.Breaks, faults)
			if what := c.watch.first; what != "" {
				caught++
				row = fmt.Sprintf("| %s | %s | %s, after %d faults |", m.Name, m.Breaks, what[:2], faults)
			}
			rows = append(rows, row)
		})
	}
	fmt.Println("\n| mutant | the explorer finds | the chaos run |\n|---|---|---|")
	for _, r := range rows {
		fmt.Println(r)
	}
	fmt.Printf("\n%d of %d caught\n", caught, len(rows))
	if caught == 0 && len(rows) > 0 {
		t.Error("no mutant was noticed: is the oracle looking?")
	}
}
