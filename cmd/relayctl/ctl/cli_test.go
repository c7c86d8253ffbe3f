package ctl

import (
	"bytes"
	"context"
	"flag"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/relay/control"
)

var update = flag.Bool("update", false, "rewrite golden files")

// fakeNode is a relay that says what a test told it to.
type fakeNode struct {
	mu       sync.Mutex
	status   func(ask int) control.Status
	asked    int
	fails    error // what it says instead of its status
	stepDown func(to string) (control.StepDown, error)
	removed  string
	blocks   []control.Block
}

func (n *fakeNode) Status(context.Context) (control.Status, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked++
	if n.fails != nil {
		return control.Status{}, n.fails
	}
	return n.status(n.asked), nil
}

func (n *fakeNode) StepDown(_ context.Context, to string, _ time.Duration) (control.StepDown, error) {
	return n.stepDown(to)
}

func (n *fakeNode) Blocks(limit int) []control.Block { return n.blocks[:min(limit, len(n.blocks))] }

func (n *fakeNode) Events(context.Context) <-chan control.Event { return nil }

func (n *fakeNode) RemoveMember(_ context.Context, name string) error {
	if name == "eu-1" {
		return &control.Error{Code: control.CodeRefused, Message: "eu-1 leads", Remedy: "step it down first: relayctl step-down"}
	}
	n.removed = name
	return nil
}

// serve gives the node's address.
func serve(t *testing.T, n *fakeNode) string {
	t.Helper()
	srv := httptest.NewServer(control.New(control.Config{Node: n}).Handler())
	t.Cleanup(srv.Close)
	return srv.URL
}

// healthy is a node whose group is that of the design's example.
func healthy() *fakeNode {
	return &fakeNode{
		status: func(int) control.Status { return sample() },
		stepDown: func(to string) (control.StepDown, error) {
			if to == "" {
				to = "us-1"
			}
			return control.StepDown{From: "eu-1", To: to, TookMS: 41, GapMS: ptr(int64(63))}, nil
		},
	}
}

// exec runs a command line and returns what it wrote and its exit code.
func exec(t *testing.T, addr string, args ...string) (out, errs string, code int) {
	t.Helper()
	var o, e bytes.Buffer
	a := newApp(&o, &e)
	a.pollEvery = time.Millisecond
	if addr != "" {
		args = append([]string{"--addr", addr}, args...)
	}
	code = run(t.Context(), args, a)
	return o.String(), e.String(), code
}

// golden compares with testdata/<name>.golden.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s:\n%s\nwant:\n%s", name, got, want)
	}
}

func ptr[T any](v T) *T { return &v }

func at() time.Time { return time.Date(2026, 11, 22, 12, 4, 6, 542e6, time.UTC) }

func sample() control.Status {
	return control.Status{
		Node: "eu-1", Version: "0.1.0", Time: at(),
		Cluster: control.Cluster{Name: "bpa", Producers: []string{"bpa"}},
		Quorum:  control.Quorum{Have: 3, Need: 2, Total: 3, OK: true},
		Term:    41, Leader: "eu-1", LeaderSince: at().Add(-2*time.Hour - 13*time.Minute), LeaderReason: "step-down of us-1",
		Mode: control.ModeVotes, Active: "nodeos-a",
		Forwarded: &control.Forwarded{
			Num: 381223044, ID: "16b90c8402c19fe36a1f7c0d5be83429aa01c3d2e4f5061728394a5b6c7d8e9f",
			SlotTime: at().Truncate(500 * time.Millisecond), AgeMS: 42, Source: "nodeos-a",
		},
		NextRoundMS: ptr(int64(88_000)),
		Members: []control.Member{
			{
				Name: "eu-1", Region: "eu", Role: control.RoleLeader, Upstream: "2 connected", Mark: 381223044, DiskP99MS: ptr(4.2), Version: "0.1.0", HTTP: "10.0.0.5:9870",
				Replicas: []control.Replica{{Name: "nodeos-a", Active: true}, {Name: "nodeos-b"}},
			},
			{
				Name: "us-1", Region: "us", Role: control.RoleFollower, Upstream: "reachable", Mark: 381223044, RTTMS: ptr(78.3), DiskP99MS: ptr(5.0), Version: "0.1.0", AgeMS: 300,
				Replicas: []control.Replica{{Name: "nodeos-c"}},
			},
			{
				Name: "ap-1", Region: "ap", Role: control.RoleFollower, Upstream: "reachable", Mark: 381223044, RTTMS: ptr(161.0), DiskP99MS: ptr(3.1), Version: "0.1.0", AgeMS: 300,
				ClockOffsetMS: ptr(61.0), Note: "clock +61ms",
			},
		},
	}
}

// lost is the same group after two of three members have gone.
func lost() control.Status {
	s := sample()
	s.Quorum, s.Leader, s.LeaderSince = control.Quorum{Have: 1, Need: 2, Total: 3}, "", at().Add(-12*time.Second)
	s.Members[0].Role, s.Members[0].Upstream = control.RoleFollower, "reachable"
	for i := 1; i < 3; i++ {
		m := &s.Members[i]
		m.Role, m.Upstream, m.Stale, m.AgeMS = control.RoleUnreachable, "", true, 12_300
	}
	return s
}

// degraded is the group in the middle of a bad round.
func degraded() control.Status {
	s := sample()
	s.NextRoundMS, s.Round = ptr(int64(0)), &control.Round{Live: true, Slots: make([]control.Slot, 12)}
	for i, state := range []control.SlotState{control.SlotForwarded, control.SlotForwarded, control.SlotLate, control.SlotMissed, control.SlotOther} {
		s.Round.Slots[i].State = state
	}
	s.Quorum.Have = 2
	s.Members[1].Replicas = []control.Replica{{Name: "nodeos-c", Behind: true}, {Name: "nodeos-d", Syncing: true}, {Name: "fin-1", Observer: true}}
	s.Members[2].Role, s.Members[2].Stale, s.Members[2].AgeMS, s.Members[2].Upstream, s.Members[2].Note = control.RoleUnreachable, true, 4_200, "", ""
	return s
}

func TestMainIsWiring(t *testing.T) {
	out, _, code := exec(t, "", "--version")
	if code != 0 || !strings.Contains(out, version) {
		t.Errorf("--version: %d %q", code, out)
	}
	for _, args := range [][]string{{"nonsense"}, {"status", "--nonsense"}, {"members", "remove"}, {"certs", "isue"}, {"certs", "isue", "eu-1"}, {"completion", "tcsh"}, {"blocks", "--limit", "0"}, {"blocks", "--limit", "501"}, {"drill", "--count", "0"}, {"step-down", "--timeout", "-1s"}} {
		out, errs, code := exec(t, "", args...)
		if code != exitDegraded || !strings.Contains(errs, "next:") || out != "" {
			t.Errorf("%v: exit %d, %q %q; want 1 and what to do next", args, code, out, errs)
		}
	}
}

// TestGroupsOfCommands helps where a group is called alone, and hints at the command that was meant.
func TestGroupsOfCommands(t *testing.T) {
	for _, group := range []string{"certs", "completion"} {
		if out, errs, code := exec(t, "", group); code != exitOK || errs != "" || !strings.Contains(out, "Available Commands") {
			t.Errorf("%s: exit %d %q %q", group, code, out, errs)
		}
	}
	if _, errs, _ := exec(t, "", "certs", "isue"); !strings.Contains(errs, "next: did you mean issue?") {
		t.Errorf("certs isue: %q", errs)
	}
	if _, errs, _ := exec(t, "", "completion", "tcsh"); !strings.Contains(errs, "bash") {
		t.Errorf("completion tcsh: %q", errs)
	}
}

// TestHelp keeps every command explained by examples that parse.
func TestHelp(t *testing.T) {
	a := newApp(&bytes.Buffer{}, &bytes.Buffer{})
	root := a.command()
	var check func(path []string)
	seen := 0
	check = func(path []string) {
		cmd, _, err := root.Find(path)
		if err != nil {
			t.Fatal(err)
		}
		if path != nil && path[0] != "completion" && path[0] != "help" {
			seen++
			if cmd.Short == "" || cmd.Example == "" {
				t.Errorf("%v has no help or no example", path)
			}
			for line := range strings.Lines(cmd.Example) {
				_, line, _ = strings.Cut(line, "relayctl ")
				words := strings.Fields(strings.SplitN(strings.SplitN(line, "|", 2)[0], ">", 2)[0])
				sub, rest, err := root.Find(words)
				if err != nil || sub == root {
					t.Errorf("%v: the example %q names no command: %v", path, line, err)
					continue
				}
				if err := sub.ParseFlags(rest); err != nil {
					t.Errorf("%v: the example %q: %v", path, line, err)
				}
			}
		}
		for _, sub := range cmd.Commands() {
			check(append(append([]string(nil), path...), sub.Name()))
		}
	}
	check(nil)
	if seen < 10 {
		t.Errorf("only %d commands", seen)
	}
}
