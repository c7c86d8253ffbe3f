package proctest_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// mutant is the emit rule with a clause taken away. The explorer (relay/gate) says what breaks then.
type mutant struct {
	Name, Breaks string
	Edits        []edit
	// Hub takes the clause out of the hub too, which would not put the question to the gate.
	Hub []edit
}

// edit replaces a text that a file has once.
type edit struct{ File, Old, New string }

// mutants are those that break a promise and whose name matches.
func mutants(t *testing.T, wanted string) (list []mutant) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "relay", "gate", "testdata", "mutants.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all []mutant
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(wanted)
	for _, m := range all {
		if m.Breaks != "" && name.MatchString(m.Name) {
			list = append(list, m)
		}
	}
	if len(list) == 0 {
		t.Fatalf("no mutant is named like %q", wanted)
	}
	return list
}

// overlay is the mutant as a build sees it.
func (m *mutant) overlay(t *testing.T) overlay {
	t.Helper()
	o, dir := overlay{}, t.TempDir()
	for _, e := range slices.Concat(m.Edits, m.Hub) {
		if err := o.patch(dir, filepath.Join("..", "..", e.File), e.Old, e.New); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

// The texts that mutants replace are in the sources, the hub's as well, which
// the explorer does not look at.
func TestMutantsApply(t *testing.T) {
	for _, m := range mutants(t, ".") {
		m.overlay(t)
	}
}
