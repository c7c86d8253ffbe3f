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
	s := newStack(t, "scripts/e2e/wan.yaml")
	buildWAN(t, s)
	s.up()
	o := newOracle(s)
	t.Run("distances", func(t *testing.T) { s.t = t; far(t, s) })
	t.Run("step-down", func(t *testing.T) {
		s.t = t
		s.awaitWhole(time.Minute)
		costs(t, s, o, "five hand-overs, 40 to 160 ms apart", drill())
	})
	for _, f := range []fault{
		{"leader killed in mid-round, 40 to 160 ms apart", 4, 10 * second, 1, true, 5 * second, killing(leader)},
		{"active replica killed in mid-round, 40 to 160 ms apart", 4, 8 * second, 2, false, 0, killing(active)},
	} {
		t.Run(f.name, func(t *testing.T) { s.t = t; one(t, s, o, f) })
	}
	s.t = t
	o.promises(t)
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
	s.must("go", "build", "-tags", "e2e", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(dir, "wan"), "./scripts/e2e/wan")
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM scratch\nCOPY wan /wan\nUSER 65532:65532\nENTRYPOINT [\"/wan\"]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.env["DOCKER_BUILDKIT"] = "0"
	s.must("docker", "build", "-q", "-t", "thinrelay-wan:local", dir)
	s.built = append(s.built, "thinrelay-wan:local")
}
