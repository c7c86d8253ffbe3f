package gate_test

import (
	"cmp"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// edit replaces a text that a file, named from the module's root, has exactly once.
type edit struct {
	File string `json:"file"`
	Old  string `json:"old"`
	New  string `json:"new"`
}

// mutant is the rule with a clause taken away, and what breaks then.
type mutant struct {
	Name  string `json:"name"`
	Edits []edit `json:"edits"`
	// Breaks is the promise that the explorer finds broken. Empty: nothing breaks, because of the reason given.
	Breaks string `json:"breaks"`
	Why    string `json:"why"`
}

// mutants are all of them. Chaos runs (scripts/proctest) read the same file.
func mutants(t *testing.T) (list []mutant) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "mutants.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// TestMutants takes clauses of the rule away and lets the explorer look for the hole. A clause without which nothing breaks is there
// twice; both together are taken away too.
func TestMutants(t *testing.T) {
	if testing.Short() || racing {
		t.Skip("compiles the package for each mutant")
	}
	if os.Getenv("THINRELAY_MUTANT") != "" {
		t.Skip("this is a mutant")
	}
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no go command: ", err)
	}
	for _, m := range mutants(t) {
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			out := m.run(t, tool)
			found := regexp.MustCompile(`FOUND (.*) \((.*)\)`).FindStringSubmatch(out)
			switch {
			case found == nil && m.Breaks == "" && strings.Contains(out, "ok  \t"):
				t.Logf("nothing breaks: %s", m.Why)
			case found == nil:
				t.Fatalf("got nothing broken, want %s:\n%s", m.Breaks, out)
			case m.Breaks == "" || !strings.HasPrefix(found[1], m.Breaks):
				t.Fatalf("got %s, want %q:\n%s", found[1], m.Breaks, out)
			default:
				t.Logf("%s; %s", found[1], found[2])
			}
		})
	}
}

// run explores the mutant and returns what the go command said.
func (m *mutant) run(t *testing.T, tool string) string {
	t.Helper()
	dir := t.TempDir()
	sources, overlay := map[string]string{}, struct{ Replace map[string]string }{map[string]string{}}
	for _, e := range m.Edits {
		source, ok := sources[e.File]
		if !ok {
			b, err := os.ReadFile(filepath.Join("..", "..", e.File))
			if err != nil {
				t.Fatal(err)
			}
			source = string(b)
		}
		if n := strings.Count(source, e.Old); n != 1 {
			t.Fatalf("%s: the text to replace is there %d times, want once:\n%s", e.File, n, e.Old)
		}
		sources[e.File] = strings.Replace(source, e.Old, e.New, 1)
	}
	for file, source := range sources {
		path, err := filepath.Abs(filepath.Join("..", "..", file))
		if err != nil {
			t.Fatal(err)
		}
		changed := filepath.Join(dir, filepath.Base(file))
		overlay.Replace[path] = changed
		if err := os.WriteFile(changed, []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	list, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, list, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), tool, "test", "-vet=off", "-count=1", "-run=^TestExploreMutant$", "-overlay", file, ".")
	cmd.Env = append(os.Environ(), "THINRELAY_MUTANT="+cmp.Or(os.Getenv("THINRELAY_EXPLORE"), "small"))
	out, err := cmd.CombinedOutput()
	if _, exit := err.(*exec.ExitError); err != nil && !exit {
		t.Fatal(err)
	}
	return string(out)
}
