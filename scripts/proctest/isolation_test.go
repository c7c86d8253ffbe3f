package proctest_test

import (
	"fmt"
	"slices"
	"time"
)

// isolations cuts the leader off, without a word to anybody: from the other
// relays, from its upstreams, from our replicas. At most two blocks are lost
// each time.
func (g *group) isolations() {
	everyReplica := append(slices.Clone(replicaNames), "fin-1")
	for _, cut := range []struct {
		from    string
		parties []string
	}{
		{"the others", relayNames},
		{"its upstreams", upstreamNames},
		{"its replicas", everyReplica},
	} {
		var trials []trial
		g.begin()
		for range runs(1, 15) {
			leader, at := g.strike()
			others := slices.DeleteFunc(slices.Clone(cut.parties), func(p string) bool { return p == leader })
			g.fabric.isolate(leader, others...)
			trials = append(trials, g.measured(trial{at: at, what: fmt.Sprintf("%s cut off from %s", leader, cut.from)}))
			pass(5 * time.Second) // what was sent into the cut has been given up by now
			g.settle()
		}
		g.t.Logf("the leader is cut off from %s:", cut.from)
		r, lost := g.verdict(trials)
		if most := 2 * len(trials); len(lost) > most {
			g.overLimit("%d of %d slots lost by cutting %d leaders off from %s, want at most %d", len(lost), r.SlotsOurs, len(trials), cut.from, most)
		}
	}
}
