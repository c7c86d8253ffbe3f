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

// Files that mutants change, from this directory.
const (
	gateGo = "gate.go"
	markGo = "../../fsm/mark.go"
)

// edit replaces a text that is found exactly once.
type edit struct{ file, old, new string }

// mutant is the rule with a clause taken away, and what breaks then.
type mutant struct {
	name  string
	edits []edit
	// breaks is the promise that the explorer finds broken. Empty: nothing breaks, because of the reason given.
	breaks string
	why    string
}

var (
	noStale       = edit{markGo, "if t.From != s.Mark {", "if false {"}
	noTerm        = edit{markGo, "if t.Term != entryTerm {", "if false {"}
	noLower       = edit{markGo, "case to < from:\n\t\treturn s, ErrLower\n\tcase to == from && entry", "case to == from && entry"}
	noForeign     = edit{markGo, "case to == from && entryTerm != s.Term && !t.Unresolved:", "case false:"}
	noUsed        = edit{markGo, "case to == from && !t.Unused:", "case false:"}
	noMoveLower   = edit{gateGo, "case to.Last.Num() < mark.Last.Num():\n\t\treturn fsm.Transition{}, false\n\t", ""}
	noHeight      = edit{gateGo, "case b.ID.Num() <= mark.Last.Num():", "case false:"}
	noInherited   = edit{gateGo, "case sameHeight && g.Inherited():", "case false:"}
	noMoveUsed    = edit{gateGo, "case sameHeight && g.usedParent == mark.Last:", "case false:"}
	noLaterTerm   = edit{gateGo, "g.term != 0 && g.state.Term <= g.term", "g.term != 0"}
	noMoveWait    = edit{gateGo, "!g.Leading() || g.outstanding || to == mark", "!g.Leading() || to == mark"}
	noOutstanding = edit{gateGo, "case g.outstanding:\n\t\treturn Verdict{Action: Wait", "case false:\n\t\treturn Verdict{Action: Wait"}
)

var mutants = []mutant{
	{name: "fsm: any mark may be left, gate: moves while a proposal is under way", edits: []edit{noStale, noMoveWait}, breaks: "S1"},
	{name: "fsm: a declaration of used is ignored, the gate moves what it used", edits: []edit{noUsed, noMoveUsed, {gateGo, "g.propose(Reserve, to, sameHeight)", "g.propose(Reserve, to, g.usedParent != mark.Last)"}}, breaks: "S1"},
	{name: "fsm: lower, gate: lower", edits: []edit{noLower, noMoveLower, noHeight}, breaks: "S"},
	{name: "fsm: foreign, gate: inherited", edits: []edit{noForeign, noInherited}, breaks: "S1"},
	{name: "gate: a later term is not noticed", edits: []edit{noLaterTerm}, breaks: "S1"},
	{name: "gate: whoever follows may grant", edits: []edit{{gateGo, "case !g.Leading():", "case false:"}}, breaks: "S"},
	{name: "gate: any source", edits: []edit{{gateGo, "case b.Source != mark.Source, ", "case "}}, breaks: "S1"},
	{name: "gate: any slot", edits: []edit{{gateGo, "case b.Slot <= mark.Slot:", "case false:"}}, breaks: "slot"},
	{name: "gate: grants while a proposal is under way", edits: []edit{noOutstanding}, breaks: "S1"},
	{name: "gate: moves while a proposal is under way", edits: []edit{noMoveWait}, breaks: "S1"},
	{name: "gate: moves a used right", edits: []edit{noMoveUsed}, breaks: "S1"},
	{name: "gate: a right is used twice", edits: []edit{{gateGo, "case g.usedParent == mark.Last && !again:", "case false:"}}, breaks: "S1"},
	{name: "gate: what was used is not remembered", edits: []edit{{gateGo, "g.used, g.usedParent = b.ID, mark.Last\n", ""}}, breaks: "S1"},
	{name: "gate: what was used is forgotten with the leadership", edits: []edit{{gateGo, "g.Follow()\n\tg.term = term", "g.Follow()\n\tg.used, g.usedParent = fsm.BlockID{}, fsm.BlockID{}\n\tg.term = term"}}, breaks: "S1"},
	{name: "gate: what was declared unused is forgotten with the leadership", edits: []edit{{gateGo, "if g.outstanding && g.proposed.Unused {", "if false {"}}, breaks: "S1"},
	{name: "gate: what was declared unused is used in the same term", edits: []edit{{gateGo, ", g.disownedIn == g.term && g.disowned == mark:", ":"}}, breaks: "S1"},
	{name: "gate: the mark may come back to what was declared unused", edits: []edit{{gateGo, "case sameHeight && g.disownedIn == g.term && g.disowned.Height() == mark.Height():", "case false:"}}, breaks: "S1"},
	{name: "gate: unwatched blocks use inherited rights", edits: []edit{{gateGo, "case g.Inherited() && !b.Watched && !again:", "case false:"}}, breaks: "S1"},
	{name: "gate: any parent is taken for public", edits: []edit{{gateGo, "case !parent.Public:", "case false:"}}, breaks: "S"},
	{name: "gate: reserves the block, not its parent", edits: []edit{{gateGo, "fsm.Mark{Last: b.Previous, Slot: parent.Slot,", "fsm.Mark{Last: b.ID, Slot: b.Slot,"}}, breaks: "S"},
	{name: "gate: every right is taken for an own one", edits: []edit{{gateGo, "func (g *Gate) Inherited() bool { return g.state.Term != g.term }", "func (g *Gate) Inherited() bool { return false }"}}, breaks: "S1"},
	{name: "gate: any state ends what is under way", edits: []edit{{gateGo, "if g.outstanding && g.proposed.From != s.Mark {", "if g.outstanding {"}}, why: "a state that names the same mark is not told twice"},

	{name: "fsm: any mark may be left", edits: []edit{noStale}, why: "the gate has one proposal under way, and one of an earlier leadership is lower, or disowned"},
	{name: "fsm: entries of another term", edits: []edit{noTerm}, why: "an old proposal that still fits is at a height that only its own term can set (ErrForeign), or raises the height"},
	{name: "fsm: lower", edits: []edit{noLower}, why: "the gate does not propose it"},
	{name: "gate: moves lower", edits: []edit{noMoveLower}, why: "fsm refuses it"},
	{name: "gate: blocks at passed heights", edits: []edit{noHeight}, why: "they would have to be reserved lower, which Move refuses"},
	{name: "fsm: foreign", edits: []edit{noForeign}, why: "the gate does not propose it"},
	{name: "gate: moves an inherited right", edits: []edit{noInherited}, why: "fsm refuses it"},
	{name: "fsm: used", edits: []edit{noUsed}, why: "the gate says unused with every such move, and keeps to it"},
	{name: "gate: a leadership that ended stays open", edits: []edit{{gateGo, "\tg.term = 0\n\tg.outstanding = false\n", "\tg.outstanding = false\n"}}, why: "it is a leader that has not heard of its end"},
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
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			out := m.run(t, tool)
			found := regexp.MustCompile(`FOUND (.*) \((.*)\)`).FindStringSubmatch(out)
			switch {
			case found == nil && m.breaks == "" && strings.Contains(out, "ok  \t"):
				t.Logf("nothing breaks: %s", m.why)
			case found == nil:
				t.Fatalf("got nothing broken, want %s:\n%s", m.breaks, out)
			case m.breaks == "" || !strings.HasPrefix(found[1], m.breaks):
				t.Fatalf("got %s, want %q:\n%s", found[1], m.breaks, out)
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
	for _, e := range m.edits {
		source, ok := sources[e.file]
		if !ok {
			b, err := os.ReadFile(e.file)
			if err != nil {
				t.Fatal(err)
			}
			source = string(b)
		}
		if n := strings.Count(source, e.old); n != 1 {
			t.Fatalf("%s: the text to replace is there %d times, want once:\n%s", e.file, n, e.old)
		}
		sources[e.file] = strings.Replace(source, e.old, e.new, 1)
	}
	for file, source := range sources {
		path, err := filepath.Abs(file)
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
