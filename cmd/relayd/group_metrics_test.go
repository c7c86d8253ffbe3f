package main

import (
	"net/http/httptest"
	"regexp"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// metric is the value of a line of a member's /metrics; false when there is none.
func (g *simGroup) metric(name, line string) (float64, bool) {
	g.t.Helper()
	w := httptest.NewRecorder()
	g.member(name).metrics.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(line) + ` (\S+)$`).FindStringSubmatch(w.Body.String())
	if found == nil {
		return 0, false
	}
	v, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		g.t.Fatal(err)
	}
	return v, true
}

// TestMetricsAreMeasured looks for those that nothing measured: deploy/alerts.yml has alarms on disks, clocks and queues, which could never come.
func TestMetricsAreMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newSimGroup(t, 1)
		defer g.close()
		g.speaks("at the start")
		time.Sleep(10 * time.Second) // fake time
		leader, _ := g.leader()
		for _, line := range []string{"thinrelay_disk_write_seconds_count", `thinrelay_transactions_total{direction="down"}`} {
			if v, _ := g.metric(leader, line); v == 0 {
				t.Errorf("%s is 0", line)
			}
		}
		gone := ""
		for _, name := range simNames {
			if name == leader {
				continue
			}
			gone = name
			if v, _ := g.metric(leader, `thinrelay_peer_rtt_seconds{peer="`+name+`"}`); v == 0 {
				t.Errorf("the round trip to %s is not measured", name)
			}
			if _, ok := g.metric(leader, `thinrelay_clock_offset_seconds{peer="`+name+`"}`); !ok {
				t.Errorf("the clock of %s is not measured", name)
			}
		}
		g.kill(gone)
		time.Sleep(5 * time.Second) // fake time
		if _, ok := g.metric(leader, `thinrelay_clock_offset_seconds{peer="`+gone+`"}`); ok {
			t.Errorf("the clock of %s is told after its end", gone)
		}
	})
}

// TestHandOversAskedForAreCounted lets RelayLeadershipMoves leave a drill out: what the members count as leaderships won is, beside the first, what
// they count as asked for, through whichever member.
func TestHandOversAskedForAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newSimGroup(t, 1)
		defer g.close()
		g.speaks("at the start")
		sum := func(lines ...string) (total float64) {
			for _, name := range simNames {
				for _, line := range lines {
					v, ok := g.metric(name, line)
					if !ok {
						t.Fatalf("%s does not serve %s", name, line)
					}
					total += v
				}
			}
			return total
		}
		won := func() float64 {
			return sum(`thinrelay_failovers_total{cause="election"}`, `thinrelay_failovers_total{cause="hand_over"}`)
		}
		before := won()
		for _, via := range simNames {
			g.handOver(via, "")
			time.Sleep(5 * time.Second) // fake time
		}
		if moved, asked := won()-before, sum("thinrelay_step_downs_total"); moved != 3 || asked != moved {
			t.Errorf("leadership moved %v times, %v of them asked for; want 3 and all", moved, asked)
		}
	})
}
