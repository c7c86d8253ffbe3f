package control_test

import (
	"regexp"
	"testing"
	"time"
)

// settles is how long after a change of the active replica a standby may sign: nodeos stops when it has heard no vote for 6 s. preflight takes 10.
const settles = 10 * time.Second

// TestBlockRefusedWaitsForTheGate leaves out what standbys cannot help signing: soon after the active replica or the leader has changed, or a
// replica has come. So a change has to be remembered for longer than a refusal, by at least what a scrape and the settling take.
func TestBlockRefusedWaitsForTheGate(t *testing.T) {
	var rules alertRules
	strict(t, "alerts.yml", &rules)
	for _, group := range rules.Groups {
		for _, r := range group.Rules {
			if r.Alert != "RelayBlockRefused" {
				continue
			}
			windows := map[string]time.Duration{}
			for _, m := range regexp.MustCompile(`(thinrelay_\w+)(?:\{[^}]*\})?\[(\w+)\]`).FindAllStringSubmatch(r.Expr, -1) {
				d, err := time.ParseDuration(m[2])
				if err != nil {
					t.Fatal(err)
				}
				windows[m[1]] = d
			}
			const scrape = time.Minute // the longest interval that anybody would take
			for _, change := range []string{"thinrelay_active_switches_total", "thinrelay_failovers_total", "thinrelay_replicas"} {
				if least := windows["thinrelay_refused_total"] + scrape + settles; windows[change] < least {
					t.Errorf("%s: looks back %s for %s, want %s or more\n%s", r.Alert, windows[change], change, least, r.Expr)
				}
			}
			return
		}
	}
	t.Error("no such alert")
}
