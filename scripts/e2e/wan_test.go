//go:build e2e

package e2e_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestDistances puts 80, 40 and 160 ms between the regions (scripts/e2e/wan.yaml) and does again what depends on them.
func TestDistances(t *testing.T) {
	if testing.Short() {
		t.Skip("three more relays to start: not with -short")
	}
	if regions != nil { // one stack at a time
		regions.down()
		regions = nil
	}
	s := newStack(t, "scripts/e2e/wan.yaml")
	t.Cleanup(s.down)
	t.Cleanup(s.complain)
	buildWAN(t, s)
	s.up()
	t.Run("distances", func(t *testing.T) { s.t = t; far(t, s) })
	t.Run("drill", func(t *testing.T) { s.t = t; costs(t, s, "five hand-overs, 40 to 160 ms apart", -5*second, drill()) })
	for _, f := range []fault{
		{name: "leader killed, 40 to 160 ms apart", slot: 4, hold: inRound, budget: 1, within: 5 * second, strike: killing(leader)},
		{name: "active replica killed, 40 to 160 ms apart", slot: 4, hold: inRound, budget: 2, strike: killing(active)},
	} {
		t.Run(f.name, func(t *testing.T) { s.t = t; one(t, s, f) })
	}
	s.t = t
	healed(t, s)
}

// far makes sure that the distances are there: a test that has none would prove nothing.
func far(t *testing.T, s *stack) {
	s.until("members see their distances", time.Minute, time.Second, func() bool {
		st, err := s.status("eu-1")
		if err != nil {
			return false
		}
		for _, m := range st.Members {
			if m.Name == "ap-1" {
				return m.RTTMS != nil && *m.RTTMS > 120
			}
		}
		return false
	})
}

// buildWAN makes the image of the proxies.
func buildWAN(t *testing.T, s *stack) {
	t.Helper()
	dir := t.TempDir()
	s.env["CGO_ENABLED"] = "0"
	s.must("go", "build", "-tags", "e2e", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", filepath.Join(dir, "wan"), "./scripts/e2e/wan")
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM scratch\nCOPY wan /wan\nUSER 65532:65532\nENTRYPOINT [\"/wan\"]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.env["DOCKER_BUILDKIT"] = "0"
	s.must("docker", "build", "-q", "-t", "thinrelay-wan:local", dir)
	s.built = append(s.built, "thinrelay-wan:local")
}
