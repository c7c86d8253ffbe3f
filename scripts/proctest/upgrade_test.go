package proctest_test

import "time"

// upgrades restarts one member after the other, as an operator does, under
// load: nothing is lost.
func (g *group) upgrades() {
	var trials []trial
	for range runs(1, 10) {
		for _, name := range relayNames {
			g.moment()
			at := time.Now()
			g.relays[name].stop(g.t)
			g.relays[name].start(g.t)
			trials = append(trials, g.measured(trial{at: at, what: "restart of " + name}))
			g.settle()
		}
	}
	if _, lost := g.verdict(trials); len(lost) > 0 {
		g.overLimit("%d slots lost by restarts, want none", len(lost))
	}
}
