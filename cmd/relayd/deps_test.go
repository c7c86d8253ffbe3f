package main_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module = "github.com/thinrelay/thinrelay/"
	hclog  = "github.com/hashicorp/go-hclog"
	ecc    = "github.com/eoscanada/eos-go/ecc"
	raft   = "github.com/hashicorp/raft"
)

// rule is what a package's own code, its tests aside, may import.
type rule struct {
	own    []string // packages of this module; "x/..." for all below x
	others []string // packages of other modules, with all below them
	pure   bool     // no clock, no lock, no goroutine, no input or output: state is passed in, decisions are passed out
	noTime bool     // not even package time
	why    string
}

// rules holds one rule for every package outside cmd; "x/..." is for all packages below x that have none of their own.
var rules = map[string]rule{
	"dedup": {pure: true, why: "a filter is a decision on what it has seen; it knows keys, not messages"},
	"fsm":   {others: []string{raft}, why: "the mark is checked by machine, so it depends on nothing; raft only for the shell around it"},

	"relay":            {own: []string{"relay/gate", "relay/ring", "relay/director", "relay/quarantine", "relay/conn", "relay/upstream", "relay/downstream", "relay/wire", "dedup", "fsm"}, others: []string{hclog}, why: "the node takes leadership as an interface: it must work, and be tested, without a group"},
	"relay/gate":       {own: []string{"fsm", "relay/wire"}, pure: true, noTime: true, why: "the emit rule rests on no clock; the explorer runs this very code"},
	"relay/ring":       {own: []string{"relay/wire"}, pure: true, why: "one owner, the hub, so no lock"},
	"relay/director":   {own: []string{"relay/wire"}, pure: true, why: "time is an argument, so that every failover can be replayed"},
	"relay/quarantine": {own: []string{"relay/wire"}, pure: true, why: "time is an argument; what it decides must not reach the gate"},
	"relay/wire":       {own: nil, others: []string{ecc}, why: "bytes from strangers meet as little code as possible"},
	"relay/conn":       {own: []string{"relay/wire"}, others: []string{hclog, "golang.org/x/time/rate"}, why: "a connection knows frames, not what they are for"},
	"relay/upstream":   {own: []string{"relay/conn", "relay/wire"}, others: []string{hclog, ecc}, why: "the two sides meet in the hub only"},
	"relay/downstream": {own: []string{"relay/conn", "relay/wire"}, others: []string{hclog, ecc}, why: "the two sides meet in the hub only"},
	"relay/control":    {others: []string{hclog, "github.com/hashicorp/go-metrics", "github.com/prometheus/client_golang"}, why: "the API describes the node in its own types, so that the node can change beneath it"},

	"relay/wire/captures": {why: "recorded bytes and nothing else"},
	"relay/simnet":        {own: []string{"relay/wire"}, others: []string{hclog, ecc}, why: "an oracle that shared the relay's code would share its mistakes"},
	"relay/simnet/...":    {own: []string{"relay/wire", "relay/simnet/..."}, others: []string{hclog, ecc}, why: "as relay/simnet"},
	"relay/simnet/memnet": {why: "the cluster's tests use it too"},

	"cluster":              {own: []string{"cluster/...", "fsm"}, others: []string{raft, hclog, "github.com/hashicorp/go-metrics"}, why: "the group replicates a mark; it does not know what a block is"},
	"cluster/transport":    {own: []string{"cluster/internal/..."}, others: []string{raft, hclog}, why: "carries bytes between names"},
	"cluster/members":      {own: []string{"cluster/internal/..."}, others: []string{"github.com/hashicorp/memberlist", "github.com/hashicorp/go-metrics", hclog}, why: "who is there, not what they decide"},
	"cluster/storage":      {own: []string{"cluster/internal/...", "fsm"}, others: []string{raft, "github.com/hashicorp/raft-boltdb/v2", "go.etcd.io/bbolt", hclog}, why: "keeps what raft gives it"},
	"cluster/link":         {own: []string{"cluster/internal/..."}, others: []string{hclog}, why: "carries opaque bytes: the relay's protocol must not leak into the group"},
	"cluster/internal/...": {own: []string{"fsm"}, others: []string{raft, hclog}, why: "helpers of the group"},

	"scripts/proctest": {why: "tests of built binaries, and nothing to import"},
}

// testOnly are packages that only tests import, and these commands.
var testOnly = map[string][]string{
	"relay/simnet":        {"cmd/relayd"},
	"relay/simnet/...":    {"cmd/relayd", "relay/simnet", "relay/simnet/..."},
	"relay/wire/captures": nil,
}

// never are packages of other modules that no binary may contain, however deep.
var never = map[string]string{
	"github.com/eoscanada/eos-go/p2p": "17 bytes from a peer make it allocate 1.5 GiB",
	"github.com/Shopify/toxiproxy/v2": "a tool of the tests",
}

// unpure are imports that a pure package does without.
var unpure = []string{"context", "crypto/rand", "io", "log", "math/rand", "net", "os", "runtime", "sync", "syscall", "unsafe"}

// clock are the names in package time that read or wait for the clock.
var clock = []string{"After", "AfterFunc", "NewTicker", "NewTimer", "Now", "Since", "Sleep", "Tick", "Until"}

// listed is a package as go list describes it.
type listed struct {
	ImportPath, Dir string
	Imports, Deps   []string
	GoFiles         []string
}

// path is the package's path in this module.
func (p listed) path() string { return strings.TrimPrefix(p.ImportPath, module) }

func TestDependencies(t *testing.T) {
	packages := list(t)
	for _, breach := range breaches(packages) {
		t.Error(breach)
	}
	for _, p := range packages {
		r, _ := lookup(p.path())
		if r.pure {
			for _, file := range p.GoFiles {
				for _, breach := range impurities(t, filepath.Join(p.Dir, file), nil, r.noTime) {
					t.Errorf("%s is pure (%s): %s", p.path(), r.why, breach)
				}
			}
		}
		// Of fsm everything but the shell is pure.
		if p.path() == "fsm" {
			shells := 0
			for _, file := range p.GoFiles {
				name := filepath.Join(p.Dir, file)
				if imports(t, name, raft) {
					shells++
					continue
				}
				for _, breach := range impurities(t, name, nil, true) {
					if !strings.Contains(breach, "imports io") { // snapshots are written to an io.Writer
						t.Errorf("fsm is pure but for the file that imports raft: %s", breach)
					}
				}
			}
			if shells > 1 {
				t.Errorf("fsm: %d files import raft, want the shell only", shells)
			}
		}
	}
}

// TestDependencyRulesCatch breaks each kind of rule and expects to be told.
func TestDependencyRulesCatch(t *testing.T) {
	for _, tt := range []struct {
		p    listed
		want string
	}{
		{listed{ImportPath: module + "relay", Imports: []string{module + "cluster"}}, "relay imports cluster"},
		{listed{ImportPath: module + "cluster", Imports: []string{module + "relay/wire"}}, "cluster imports relay/wire"},
		{listed{ImportPath: module + "relay/wire", Imports: []string{hclog}}, "relay/wire imports " + hclog},
		{listed{ImportPath: module + "dedup", Imports: []string{module + "relay/wire"}}, "dedup imports relay/wire"},
		{listed{ImportPath: module + "fsm", Imports: []string{"github.com/hashicorp/raft-boltdb/v2"}}, "fsm imports github.com/hashicorp/raft-boltdb/v2"},
		{listed{ImportPath: module + "relay", Imports: []string{module + "relay/simnet"}}, "relay imports relay/simnet"},
		{listed{ImportPath: module + "cmd/relayctl", Imports: []string{module + "relay/simnet/memnet"}}, "cmd/relayctl imports relay/simnet/memnet"},
		{listed{ImportPath: module + "cmd/relayd", Imports: []string{module + "relay/wire/captures"}}, "cmd/relayd imports relay/wire/captures"},
		{listed{ImportPath: module + "cmd/relayd", Deps: []string{"github.com/eoscanada/eos-go/p2p"}}, "cmd/relayd contains github.com/eoscanada/eos-go/p2p"},
		{listed{ImportPath: module + "relay/util"}, "relay/util has no rule"},
	} {
		if got := strings.Join(breaches([]listed{tt.p}), "\n"); !strings.HasPrefix(got, tt.want) {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
	allowed := listed{ImportPath: module + "cmd/relayd", Imports: []string{module + "relay/simnet", module + "cluster/transport", raft}}
	if got := breaches([]listed{allowed}); len(got) > 0 {
		t.Errorf("breaches of what is allowed: %v", got)
	}
	source := "package p\nimport (\"sync/atomic\"; t \"time\")\nvar _ = t.Now\nvar _ chan int\nfunc f() { go f() }\nvar _ = atomic.AddInt32\nvar _ = t.Second\n"
	if got, want := len(impurities(t, "p.go", source, false)), 4; got != want {
		t.Errorf("%d impurities, want %d: %v", got, want, impurities(t, "p.go", source, false))
	}
}

// TestTopLevel keeps the root of the repository to what the design names.
func TestTopLevel(t *testing.T) {
	want := []string{"LICENSE", "Makefile", "README.md", "cluster", "cmd", "dedup", "deploy", "docs", "fsm", "go.mod", "go.sum", "relay", "scripts"}
	ignored := []string{"bin", "dist"} // made by make
	entries, err := os.ReadDir("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if name := entry.Name(); name[0] != '.' && !slices.Contains(want, name) && !slices.Contains(ignored, name) {
			t.Errorf("%s stands at the top of the repository; its place is below one of %s", name, strings.Join(want, ", "))
		}
	}
}

// breaches is every import that a rule forbids.
func breaches(packages []listed) []string {
	var found []string
	for _, p := range packages {
		path := p.path()
		r, ok := lookup(path)
		command := strings.HasPrefix(path, "cmd/")
		if !ok && !command {
			found = append(found, fmt.Sprintf("%s has no rule: give it one in deps_test.go, with its reason", path))
			continue
		}
		for _, name := range p.Imports {
			own, isOwn := strings.CutPrefix(name, module)
			switch {
			case isOwn:
				if users, limited := users(own); limited && !matches(path, users) {
					found = append(found, fmt.Sprintf("%s imports %s, which is for tests", path, own))
				} else if !command && !matches(own, r.own) {
					found = append(found, fmt.Sprintf("%s imports %s: %s", path, own, r.why))
				}
			case !command && strings.Contains(strings.Split(name, "/")[0], ".") && !below(name, r.others):
				found = append(found, fmt.Sprintf("%s imports %s: %s", path, name, r.why))
			}
		}
		for name, why := range never {
			if slices.Contains(p.Deps, name) && matches(path, []string{"cmd/..."}) {
				found = append(found, fmt.Sprintf("%s contains %s: %s", path, name, why))
			}
		}
	}
	return found
}

// lookup is the rule for a package.
func lookup(path string) (rule, bool) {
	if r, ok := rules[path]; ok {
		return r, true
	}
	for pattern, r := range rules {
		if strings.HasSuffix(pattern, "/...") && matches(path, []string{pattern}) {
			return r, true
		}
	}
	return rule{}, false
}

// users is who may import a package that is meant for tests.
func users(path string) (packages []string, limited bool) {
	for pattern, packages := range testOnly {
		if matches(path, []string{pattern}) {
			return packages, true
		}
	}
	return nil, false
}

// matches reports a path that is one of the patterns, or below one that ends in "/...".
func matches(path string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		parent, tree := strings.CutSuffix(pattern, "...")
		return path == pattern || tree && strings.HasPrefix(path, parent)
	})
}

// below reports a path that is one of the parents or below it.
func below(path string, parents []string) bool {
	return slices.ContainsFunc(parents, func(parent string) bool { return path == parent || strings.HasPrefix(path, parent+"/") })
}

// list is every package of the module.
func list(t *testing.T) []listed {
	t.Helper()
	// go test repeats a cached verdict unless files change that the test itself has looked at; go list's reading does not count.
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && (d.Name() == ".git" || d.Name() == "bin") {
			return filepath.SkipDir
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Dir,Imports,Deps,GoFiles", "./...")
	cmd.Dir = "../.."
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, complaints.String())
	}
	var packages []listed
	for in := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := in.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
	if len(packages) < 2 {
		t.Fatalf("go list found %d packages", len(packages))
	}
	return packages
}

func parse(t *testing.T, name string, source any) *ast.File {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// imports reports a file that imports a package.
func imports(t *testing.T, name, path string) bool {
	return slices.ContainsFunc(parse(t, name, nil).Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == strconv.Quote(path) })
}

// impurities is what a file does that pure code does not. A source that is not nil is read in place of the file; noTime
// forbids package time altogether.
func impurities(t *testing.T, name string, source any, noTime bool) []string {
	t.Helper()
	file := parse(t, name, source)
	var found []string
	add := func(format string, args ...any) {
		found = append(found, filepath.Base(name)+" "+fmt.Sprintf(format, args...))
	}
	timeName := ""
	for _, spec := range file.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		if path == "time" {
			if noTime {
				add("imports time")
			}
			timeName = "time"
			if spec.Name != nil {
				timeName = spec.Name.Name
			}
		}
		if below(path, unpure) {
			add("imports %s", path)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			add("starts a goroutine")
		case *ast.ChanType:
			add("has a channel")
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && timeName != "" && x.Name == timeName && slices.Contains(clock, n.Sel.Name) {
				add("reads the clock: time.%s", n.Sel.Name)
			}
		}
		return true
	})
	return found
}
