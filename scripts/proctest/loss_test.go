package proctest_test

import (
	"strings"
	"time"

	"github.com/thinrelay/thinrelay/relay/control"
)

// twoGone is the loss of two members of three. The one that is left falls
// silent, says why, and goes on when one returns.
func (g *group) twoGone() {
	for range runs(1, 10) {
		leader := g.leader()
		begin, _ := g.round(time.Now().Add(7 * time.Second)) // a round not begun
		pass(time.Until(begin.Add(time.Second)))
		var gone []*relay
		for _, name := range relayNames {
			if name != leader {
				g.relays[name].kill()
				gone = append(gone, g.relays[name])
			}
		}
		at := time.Now()
		left := g.relays[leader]
		var s control.Status
		until(g.t, 3*time.Second, "the one left knows that there is no quorum", func() (ok bool) {
			s, ok = left.status()
			return ok && !s.Quorum.OK
		})
		lease := time.Duration(s.Timeouts.LeaseMS) * time.Millisecond
		noticed := time.Since(at)
		pass(time.Until(at.Add(2500 * time.Millisecond)))
		// A block that links costs no quorum, and one more may be under way.
		if n := g.emitted.between(at.Add(lease+500*time.Millisecond), time.Now()); n != 0 {
			g.t.Errorf("%d blocks left without a quorum, after the lease of %s", n, lease)
		}
		s, _ = left.status()
		if s.Health == control.HealthOK || len(s.Problems) == 0 {
			g.t.Errorf("without a quorum the one left says %s: %v", s.Health, s.Problems)
		}
		out, code := left.ctl(g.t, "status")
		if code != 2 || !strings.Contains(strings.ToLower(out), "quorum") {
			g.t.Errorf("relayctl status without a quorum ends with %d, want 2:\n%s", code, out)
		}
		back := time.Now()
		gone[0].start(g.t)
		until(g.t, 20*time.Second, "a leader again", func() bool { name, _ := g.leads(); return name != "" })
		g.t.Logf("no quorum told after %s; a leader %s after one returned", noticed.Round(time.Millisecond), time.Since(back).Round(time.Millisecond))
		tr := g.measured(trial{at: back, what: "return of " + gone[0].name})
		g.t.Logf("the next block %s after the return", tr.gap.Round(time.Millisecond))
		g.settle()
	}
	g.verdict(nil)
}

// regions is the loss of a region: the leader and the active replica at once.
func (g *group) regions() {
	var trials []trial
	for range runs(1, 30) {
		leader, at := g.strike()
		_, s := g.leads()
		active := s.Active
		g.relays[leader].kill()
		if r := g.replicas[active]; r != nil {
			r.Kill()
		} else {
			g.t.Errorf("no active replica: %q", active)
		}
		trials = append(trials, g.measured(trial{at: at, what: "loss of " + leader + " and " + active}))
		g.settle()
	}
	_, lost := g.verdict(trials)
	g.t.Logf("%.1f blocks lost per region", float64(len(lost))/float64(len(trials)))
}
