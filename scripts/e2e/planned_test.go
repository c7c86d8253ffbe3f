//go:build e2e

package e2e_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// TestPlanned is what an operator does on purpose: look, hand over, drill, upgrade. Nothing of it may cost a block.
func TestPlanned(t *testing.T) {
	s := sharedStack(t)
	t.Run("status", func(t *testing.T) { s.t = t; looks(t, s) })
	t.Run("drill", func(t *testing.T) { s.t = t; costs(t, s, "five hand-overs just before our round", -4*second, drill()) })
	t.Run("drill now", func(t *testing.T) { s.t = t; costs(t, s, "five hand-overs in our round", 2*second, drill("--now")) })
	t.Run("rolling upgrade", func(t *testing.T) { s.t = t; costs(t, s, "rolling upgrade, from our round on", 0, upgrade) })
	s.t = t
	healed(t, s)
}

// looks asks for the status from inside and from outside.
func looks(t *testing.T, s *stack) {
	for _, relay := range relays {
		out, code := s.relayctl(relay, "status")
		if code == 2 || !strings.Contains(out, "QUORUM 3/3") || !strings.Contains(out, "LEADER") {
			t.Errorf("inside %s: exit %d\n%s", relay, code, out)
		}
		st, err := s.status(relay)
		if err != nil || st.Node != relay || st.Leader == "" || len(st.Members) != 3 {
			t.Errorf("outside, from %s: %v, leader %q, %d members", relay, err, st.Leader, len(st.Members))
		}
	}
	// From outside nothing can be changed without the token.
	if out, err := s.run("curl", "-sS", "-X", "POST", "-H", "Content-Type: application/json", "-d", "{}", "http://127.0.0.1:"+ports["eu-1"]+"/v1/step-down"); err != nil || !strings.Contains(out, "unauthorized") {
		t.Errorf("a step-down from outside: %s %v", out, err)
	}
	for _, want := range []string{"thinrelay_mark_height", "raft_"} {
		if out, err := s.run("curl", "-sS", "http://127.0.0.1:"+ports["eu-1"]+"/metrics"); err != nil || !strings.Contains(out, want) {
			t.Errorf("metrics lack %s: %v", want, err)
		}
	}
}

// costs runs something that must not cost a block, from a moment that is so long after the beginning of our round, and judges that round.
func costs(t *testing.T, s *stack, name string, begin time.Duration, do func(*testing.T, *stack)) {
	s.awaitWhole(time.Minute)
	round := s.oracle.nextRound(max(0, -begin)).Time()
	at(round.Add(begin))
	started := time.Now()
	do(t, s)
	at(round)
	before, cost := s.oracle.judge(wire.SlotAt(started))
	results.add(row{fault: name, cost: cost, ok: before.lost+cost.lost == 0 && !t.Failed()})
	if before.lost > 0 {
		t.Errorf("%d slots lost before it began: %v", before.lost, before.which)
	}
	if cost.lost > 0 {
		t.Errorf("%d slots lost, want none: %v", cost.lost, cost.which)
	}
	s.oracle.promises(t)
}

func drill(args ...string) func(*testing.T, *stack) {
	return func(t *testing.T, s *stack) {
		out, code := s.relayctl("eu-1", append([]string{"drill", "--count", "5", "--json"}, args...)...)
		var report struct {
			Runs []struct{ From, To string }
			Lost int
		}
		if err := json.Unmarshal([]byte(out), &report); err != nil || code != 0 || len(report.Runs) != 5 || report.Lost != 0 {
			t.Errorf("exit %d, %v\n%s", code, err, out)
			results.note("relayctl drill %s: exit %d, %v: %s", strings.Join(args, " "), code, err, strings.Join(strings.Fields(out), " "))
		}
	}
}

// upgrade gives every relay a new image, one after another, the leader last.
func upgrade(t *testing.T, s *stack) {
	const next = "thinrelay:e2e-next"
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM "+image+"\nLABEL next=1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.env["DOCKER_BUILDKIT"] = "0"
	s.must("docker", "build", "-q", "-t", next, dir)
	s.built = append(s.built, next)
	s.env["THINRELAY_IMAGE"] = next
	last := s.roles().leader
	order := make([]string, 0, len(relays))
	for _, r := range relays {
		if r != last {
			order = append(order, r)
		}
	}
	for _, relay := range append(order, last) {
		s.mustCompose("up", "-d", "--no-build", "--no-deps", relay)
		delete(s.ids, relay) // another container now
		s.awaitWhole(2 * time.Minute)
		if got := s.must("docker", "inspect", "-f", "{{.Config.Image}}", s.id(relay)); got != next {
			t.Errorf("%s runs %s, want %s", relay, got, next)
		}
	}
}
