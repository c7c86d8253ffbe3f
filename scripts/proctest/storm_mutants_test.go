package proctest_test

import (
	"errors"
	"flag"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

var stormsEach = flag.Int("storms", 0, "run each mutant of the emit rule through so many simulated storms of each kind, at most; -mutants names some of them")

// stormBatch is how many storms of each kind are run before a mutant is looked at.
const stormBatch = 20

var (
	stormFault  = regexp.MustCompile(` fault\.[a-z-]+=(\d+)`)
	stormBroken = regexp.MustCompile(`broken: (S\d|slot|stuck)`)
)

// TestStormMutants takes clauses of the emit rule away and runs simulated storms
// (relay/storms_test.go, relay/storms_alone_test.go) until one shows it. The whole rule goes through as many:
// nothing may break. Not all mutants can be noticed so: it fails when none is.
func TestStormMutants(t *testing.T) {
	if *stormsEach == 0 {
		t.Skip("no storms asked for: make storm-mutants")
	}
	rows, noticed := "", 0
	for _, m := range append([]mutant{{Name: "the whole rule"}}, mutants(t, *chaosMutants)...) {
		t.Run(m.Name, func(t *testing.T) {
			what, faults := m.storms(t, *stormsEach)
			switch {
			case what == "" && m.Breaks == "":
				rows += fmt.Sprintf("| (%s) | | nothing, in %d faults |\n", m.Name, faults)
			case m.Breaks == "":
				t.Errorf("the whole rule breaks %s, after %d faults", what, faults)
			case what == "":
				rows += fmt.Sprintf("| %s | %s | not in %d faults |\n", m.Name, m.Breaks, faults)
			default:
				noticed++
				rows += fmt.Sprintf("| %s | %s | %s, after %d faults |\n", m.Name, m.Breaks, what, faults)
			}
		})
	}
	fmt.Printf("\n| mutant | the explorer finds | storms |\n|---|---|---|\n%s", rows)
	if noticed == 0 && !t.Failed() {
		t.Error("no mutant was noticed: is anything looking?")
	}
}

// storms runs at most n storms, and says what broke and after how many faults.
func (m *mutant) storms(t *testing.T, n int) (what string, faults int) {
	t.Helper()
	dir := t.TempDir()
	bin, err := filepath.Abs(filepath.Join(dir, "storms"))
	if err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "test", "-c", "-vet=off", "-overlay", m.overlay(t).file(t, dir), "-o", bin, "./relay")
	build.Dir = filepath.Join("..", "..")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", build, err, said)
	}
	for first := 0; first < n; first += stormBatch {
		cmd := exec.Command(bin, "-test.run", "^TestStorms(Alone)?$", "-storms", strconv.Itoa(min(stormBatch, n-first)), "-storms.first", strconv.Itoa(first))
		cmd.Dir = filepath.Join("..", "..", "relay")
		said, err := cmd.CombinedOutput()
		for _, f := range stormFault.FindAllSubmatch(said, -1) {
			k, _ := strconv.Atoi(string(f[1])) // digits
			faults += k
		}
		broken := stormBroken.FindSubmatch(said)
		switch exit := (*exec.ExitError)(nil); {
		case broken != nil:
			return string(broken[1]), faults
		case errors.As(err, &exit):
			t.Fatalf("storms from %d end without a verdict:\n%s", first, tail(string(said), 60))
		case err != nil:
			t.Fatal(err)
		}
	}
	return "", faults
}
