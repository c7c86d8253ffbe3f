package proctest_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/relay/control"
)

// TestGroup does to three real relays what happens to relays, one scenario
// after the other on one group, and asks the network what it saw.
func TestGroup(t *testing.T) {
	t.Parallel() // the recordings wait most of their time
	g := newGroup(t, setup{seed: rand.Uint64()})
	for _, s := range []struct {
		name string
		run  func(*group)
	}{
		{"Kill", (*group).kills},
		{"StepDown", (*group).stepDowns},
		{"Pause", (*group).pauses},
		{"CutOff", (*group).isolations},
		{"TwoGone", (*group).twoGone},
		{"Region", (*group).regions},
		{"Upgrade", (*group).upgrades},
		{"Strangers", (*group).strangers},
	} {
		t.Run(s.name, func(t *testing.T) {
			outer := g.t
			g.t = t
			defer func() { g.t = outer }()
			g.begin()
			s.run(g)
			if t.Failed() {
				for name, r := range g.relays {
					t.Logf("log of %s:\n%s", name, tail(r.log(), 40))
				}
			}
		})
	}
}

// kills is kill -9 of the leader at random moments of our rounds: blocks may be
// late; only the last two of a round may be lost.
func (g *group) kills() {
	var trials []trial
	for range runs(2, 100) {
		leader, at := g.strike()
		g.relays[leader].kill()
		trials = append(trials, g.measured(trial{at: at, what: "kill of " + leader}))
		g.settle()
	}
	_, lost := g.verdict(trials)
	for _, s := range lost {
		if s.Index < roundSlots-2 {
			g.overLimit("slot %d of its round is lost by a kill of the leader, want none before the last two", s.Index)
		}
	}
}

// stepDowns is relayctl step-down --now in our rounds: nothing is lost.
func (g *group) stepDowns() {
	var trials []trial
	var took, gap []time.Duration
	for range runs(2, 100) {
		leader, at := g.strike()
		out, code := g.relays[leader].ctl(g.t, "--json", "step-down", "--now")
		var d control.StepDown
		if err := json.Unmarshal([]byte(out), &d); code != 0 || err != nil {
			g.t.Errorf("relayctl step-down ends with %d: %s", code, out)
			g.settle()
			continue
		}
		if d.From != leader || d.To == leader || d.To == "" || d.Lost != 0 {
			g.t.Errorf("step-down of %s: %+v", leader, d)
		}
		took = append(took, time.Duration(d.TookMS)*time.Millisecond)
		if d.GapMS == nil {
			g.t.Errorf("step-down of %s: the gap was not measured", leader)
		} else {
			gap = append(gap, time.Duration(*d.GapMS)*time.Millisecond)
		}
		trials = append(trials, g.measured(trial{at: at, what: "step-down of " + leader}))
		g.settle()
	}
	if len(took) > 0 && len(gap) > 0 {
		g.t.Logf("hand-over: took %s; gap %s", spread(took), spread(gap))
	}
	if _, lost := g.verdict(trials); len(lost) > 0 {
		g.overLimit("%d slots lost by step-downs, want none", len(lost))
	}
}

// pauses is SIGSTOP of the leader for 0.2 to 10 s, in our rounds.
func (g *group) pauses() {
	var trials []trial
	for i := range runs(2, 50) {
		pause := 200*time.Millisecond + time.Duration(g.random.Int64N(int64(9800*time.Millisecond)))
		if !long {
			pause = []time.Duration{500 * time.Millisecond, 3 * time.Second}[i%2]
		}
		leader, at := g.strike()
		g.relays[leader].signal(syscall.SIGSTOP)
		pass(pause)
		g.relays[leader].signal(syscall.SIGCONT)
		trials = append(trials, g.measured(trial{at: at, what: fmt.Sprintf("SIGSTOP of %s for %s", leader, pause.Round(time.Millisecond))}))
		g.settle()
	}
	g.verdict(trials)
}
