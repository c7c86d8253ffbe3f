package ctl

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/cluster/transport"
	"github.com/thinrelay/thinrelay/relay/control"
)

func TestStepDown(t *testing.T) {
	out, _, code := exec(t, serve(t, healthy()), "step-down", "--to", "ap-1")
	if want := "eu-1 -> ap-1 in 41ms\ngap 63ms, 0 blocks lost\n"; out != want || code != exitOK {
		t.Errorf("exit %d %q, want %q", code, out, want)
	}
	out, _, _ = exec(t, serve(t, healthy()), "--json", "step-down")
	var r control.StepDown
	if err := json.Unmarshal([]byte(out), &r); err != nil || r.To != "us-1" || *r.GapMS != 63 {
		t.Errorf("--json: %q, %v", out, err)
	}
	if got, want := renderStepDown(control.StepDown{From: "ap-1", To: "us-1", TookMS: 41, Followed: 1}), "the leader changed before it was asked; ap-1 led by then\nap-1 -> us-1 in 41ms\ngap not measured, 0 blocks lost\n"; got != want {
		t.Errorf("a leader that changed: %q, want %q", got, want)
	}
	for name, test := range map[string]struct {
		change func(*fakeNode)
		to     string
		code   int
		next   string
	}{
		"nobody":     {func(*fakeNode) {}, "mars-1", exitDegraded, "choose one of eu-1, us-1, ap-1"},
		"the leader": {func(*fakeNode) {}, "eu-1", exitDegraded, "name another member"},
		"no quorum":  {func(n *fakeNode) { n.status = func(int) control.Status { return lost() } }, "", exitDown, "bring the missing members back"},
		"lost the vote": {func(n *fakeNode) {
			n.stepDown = func(string) (control.StepDown, error) {
				return control.StepDown{}, &control.Error{Code: control.CodeRefused, Message: "ap-1 won instead", Remedy: "try again"}
			}
		}, "us-1", exitDegraded, "try again"},
	} {
		n := healthy()
		test.change(n)
		out, errs, code := exec(t, serve(t, n), "step-down", "--now", "--to", test.to)
		if code != test.code || out != "" || !strings.Contains(errs, "next: "+test.next) {
			t.Errorf("%s: exit %d %q %q, want %d and %q", name, code, out, errs, test.code, test.next)
		}
	}
}

func TestToken(t *testing.T) {
	_, errs, code := exec(t, serve(t, healthy()), "--token-file", filepath.Join(t.TempDir(), "none"), "step-down")
	if code != exitDegraded || !strings.Contains(errs, "next: give --token-file") {
		t.Errorf("no token file: exit %d %q", code, errs)
	}
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("a-token-of-decent-length"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, errs, code = exec(t, serve(t, healthy()), "--token-file", file, "step-down")
	if code != exitDegraded || !strings.Contains(errs, "this relay has no token") || strings.Contains(errs, "decent") {
		t.Errorf("a token the relay does not have: exit %d %q", code, errs)
	}
}

// rotating is a group whose leadership goes round, losing a block at times.
func rotating(lose int) *fakeNode {
	n := healthy()
	names := []string{"eu-1", "us-1", "ap-1"}
	leads, runs := 0, 0
	n.status = func(int) control.Status {
		s := sample()
		s.Leader = names[leads]
		s.Upstreams = []control.Upstream{{Addr: "seed1:9876", State: control.UpstreamConnected, Node: s.Leader}}
		return s
	}
	n.stepDown = func(string) (control.StepDown, error) {
		r := control.StepDown{From: names[leads], To: names[(leads+1)%3], TookMS: int64(40 + 10*runs), GapMS: ptr(int64(60 + runs))}
		if runs++; runs == lose {
			r.Lost = 1
		}
		leads = (leads + 1) % 3
		return r, nil
	}
	return n
}

func TestDrill(t *testing.T) {
	out, errs, code := exec(t, serve(t, rotating(0)), "drill", "--count", "4", "--now")
	golden(t, "drill", out)
	if code != exitOK || strings.Count(errs, "\n") != 3 || !strings.HasPrefix(errs, "1/4  eu-1 -> us-1  gap 60ms, 0 blocks lost\n") {
		t.Errorf("exit %d, progress %q", code, errs)
	}
	out, _, code = exec(t, serve(t, rotating(2)), "drill", "--count", "3", "--json")
	var r drillReport
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitDegraded || r.Lost != 1 || len(r.Runs) != 3 || r.Took.Max != 60 || r.Gap.P50 != 61 {
		t.Errorf("a lost block: exit %d %+v %v", code, r, err)
	}

	n := rotating(0)
	good := n.stepDown
	runs := 0
	n.stepDown = func(to string) (control.StepDown, error) {
		if runs++; runs == 3 {
			return control.StepDown{}, &control.Error{Code: control.CodeNoQuorum, Message: "no quorum", Remedy: "start us-1"}
		}
		return good(to)
	}
	out, errs, code = exec(t, serve(t, n), "drill", "--count", "9")
	if code != exitDown || !strings.Contains(out, "0 blocks in 2 runs") || !strings.Contains(errs, "cut short after 2 runs: no quorum\n  next: start us-1") {
		t.Errorf("cut short: exit %d %q %q", code, out, errs)
	}
}

// TestDrillStaleView drills through a member that hears late of each new leader: the next run waits until it has.
func TestDrillStaleView(t *testing.T) {
	n := rotating(0)
	hand, view := n.stepDown, n.status
	stale, late, term := sample(), 0, sample().Term
	n.status = func(ask int) control.Status {
		if late--; late >= 0 {
			return stale
		}
		s := view(ask)
		s.Term = term
		return s
	}
	n.stepDown = func(to string) (control.StepDown, error) {
		if late > 0 {
			t.Error("a run begins while the member still takes the old leader for the leader")
		}
		r, err := hand(to)
		stale.Leader, stale.Term, late = r.From, term, 5
		term++
		r.Term = term
		return r, err
	}
	if out, errs, code := exec(t, serve(t, n), "drill", "--count", "4", "--now"); code != exitOK || strings.Contains(out, "MOVED") {
		t.Errorf("exit %d %q %q", code, out, errs)
	}
}

// TestDrillMoved tells of leadership that moved between two runs.
func TestDrillMoved(t *testing.T) {
	moving := func() *fakeNode {
		n := rotating(0)
		hand, runs := n.stepDown, 0
		n.stepDown = func(to string) (control.StepDown, error) {
			if runs++; runs == 3 {
				if _, err := hand(to); err != nil { // not the drill's
					return control.StepDown{}, err
				}
			}
			return hand(to)
		}
		return n
	}
	out, errs, code := exec(t, serve(t, moving()), "drill", "--count", "4", "--now")
	if want := "MOVED ap-1 led after run 2, eu-1 before run 3: "; code != exitOK || strings.Count(out, "MOVED") != 1 || !strings.Contains(out, want) {
		t.Errorf("exit %d %q %q, want %q", code, out, errs, want)
	}
	out, _, code = exec(t, serve(t, moving()), "drill", "--count", "4", "--now", "--json")
	var r drillReport
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitOK || r.Moved != 1 || len(r.Runs) != 4 {
		t.Errorf("--json: exit %d %+v %v", code, r, err)
	}
}

func TestDrillKillHint(t *testing.T) {
	if _, errs, code := exec(t, serve(t, healthy()), "drill", "--kill-hint"); code != exitDegraded || !strings.Contains(errs, "next: name others too") {
		t.Errorf("the leader alone: exit %d %q", code, errs)
	}
	follower := healthy()
	follower.status = func(ask int) control.Status {
		s := sample()
		s.Node = "us-1"
		switch { // ask 1 is the look before
		case ask <= 5:
		case ask <= 8:
			s.Quorum.OK, s.Leader = false, ""
		default:
			s.Leader, s.Counters.Missed = "us-1", 2
		}
		return s
	}
	out, errs, code := exec(t, serve(t, healthy())+","+serve(t, follower), "--json", "drill", "--kill-hint", "--count", "1")
	var r drillReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v: %q %q", err, out, errs)
	}
	if code != exitDegraded || r.Lost != 2 || r.Runs[0].From != "eu-1" || r.Runs[0].To != "us-1" || r.Runs[0].GapMS != nil {
		t.Errorf("exit %d %+v", code, r)
	}
	if !strings.Contains(errs, "docker kill relayd") || !strings.Contains(errs, "compose.yaml kill eu-1") {
		t.Errorf("no hint: %q", errs)
	}
}

// TestDrillKillTook measures from the last look that saw the old leader: a member that hears of its end and of the next at once was said to
// have taken 0s.
func TestDrillKillTook(t *testing.T) {
	follower := healthy()
	const gap = 60 * time.Millisecond
	follower.status = func(ask int) control.Status {
		s := sample()
		s.Node = "us-1"
		if ask > 4 {
			s.Leader = "us-1"
		}
		if ask == 5 {
			<-time.After(gap) // the look that finds the next leader
		}
		return s
	}
	out, errs, code := exec(t, serve(t, healthy())+","+serve(t, follower), "--json", "drill", "--kill-hint", "--count", "1")
	var r drillReport
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitOK || len(r.Runs) != 1 {
		t.Fatalf("exit %d %v: %q %q", code, err, out, errs)
	}
	if got := time.Duration(r.Runs[0].TookMS) * time.Millisecond; got < gap {
		t.Errorf("took %s, want %s or more", got, gap)
	}
}

func TestSpread(t *testing.T) {
	hundred := make([]int64, 100)
	for i := range hundred {
		hundred[i] = int64(100 - i)
	}
	if got, want := spreadOf(hundred), (spread{P50: 50, P99: 99, Max: 100}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got, want := spreadOf([]int64{7}), (spread{7, 7, 7}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestBlocks(t *testing.T) {
	n := healthy()
	slot := at().Truncate(500 * time.Millisecond)
	id := sample().Forwarded.ID
	n.blocks = []control.Block{
		{Num: 381223045, ID: id, SlotTime: slot.Add(500 * time.Millisecond), Producer: "bpa", State: control.BlockRefused, Reason: "unlinked", Source: "nodeos-b", LeadMS: ptr(int64(40))},
		{Num: 381223044, ID: id, SlotTime: slot, Producer: "bpa", State: control.BlockForwarded, Source: "nodeos-a", LeadMS: ptr(int64(-12))},
		{Num: 381223043, ID: id, SlotTime: slot.Add(-500 * time.Millisecond), Producer: "eosnationftw", State: control.BlockNetwork, Source: "seed1:9876"},
	}
	out, _, code := exec(t, serve(t, n), "blocks")
	golden(t, "blocks", out)
	if code != exitOK {
		t.Errorf("exit %d", code)
	}
	out, _, _ = exec(t, serve(t, n), "blocks", "--limit", "1", "--json")
	var blocks []control.Block
	if err := json.Unmarshal([]byte(out), &blocks); err != nil || len(blocks) != 1 {
		t.Errorf("--json: %q %v", out, err)
	}
}

func TestMembers(t *testing.T) {
	n := healthy()
	out, _, code := exec(t, serve(t, n), "members")
	golden(t, "members", out)
	if code != exitOK {
		t.Errorf("exit %d", code)
	}
	// One that is heard was most likely not meant.
	_, errs, code := exec(t, serve(t, n), "members", "remove", "ap-1")
	if code != exitDegraded || !strings.Contains(errs, "ap-1 is running: it was heard 300ms ago\n  next: stop its relayd") || n.removed != "" {
		t.Errorf("remove one that runs: exit %d %q, removed %q", code, errs, n.removed)
	}
	if out, _, code := exec(t, serve(t, n), "members", "remove", "ap-1", "--live"); code != exitOK || out != "ap-1 is no longer a member\n" {
		t.Errorf("remove it all the same: exit %d %q", code, out)
	}
	n.status = func(int) control.Status {
		s := sample()
		s.Members[2].Role, s.Members[2].Stale, s.Members[2].AgeMS = control.RoleUnreachable, true, 9_000
		return s
	}
	n.removed = ""
	out, _, code = exec(t, serve(t, n), "members", "remove", "ap-1")
	if code != exitOK || out != "ap-1 is no longer a member\n" || n.removed != "ap-1" {
		t.Errorf("remove: exit %d %q", code, out)
	}
	_, errs, code = exec(t, serve(t, n), "members", "remove", "eu-1")
	if code != exitDegraded || !strings.Contains(errs, "next: step it down first") {
		t.Errorf("remove the leader: exit %d %q", code, errs)
	}
}

func TestCerts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "certs")
	if _, errs, code := exec(t, "", "certs", "issue", "eu-1", "--dir", dir); code != exitDegraded || !strings.Contains(errs, "next: give --dir the folder of relayctl certs init") {
		t.Errorf("issue before init: exit %d %q", code, errs)
	}
	if out, errs, code := exec(t, "", "certs", "init", "--dir", dir); code != exitOK || strings.Count(out, "wrote ") != 3 {
		t.Fatalf("init: exit %d %q %q", code, out, errs)
	}
	if out, errs, code := exec(t, "", "certs", "issue", "eu-1", "us-1", "--dir", dir, "--host", "10.0.0.5", "--days", "30"); code != exitOK || strings.Count(out, "wrote ") != 4 {
		t.Fatalf("issue: exit %d %q %q", code, out, errs)
	}
	for name, mode := range map[string]os.FileMode{"ca.pem": 0o644, "ca-key.pem": 0o600, "gossip.key": 0o600, "eu-1.pem": 0o644, "eu-1-key.pem": 0o600, "us-1-key.pem": 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != mode {
			t.Errorf("%s has mode %o, want %o", name, got, mode)
		}
	}
	// What is there stays.
	before, _ := os.ReadFile(filepath.Join(dir, "ca-key.pem"))
	for _, args := range [][]string{{"init"}, {"issue", "eu-1"}, {"issue", "ca"}, {"issue", "../x"}, {"issue", "eu 1"}, {"issue", "ap-1", "--days", "0"}} {
		if _, errs, code := exec(t, "", append([]string{"certs", "--dir", dir}, args...)...); code != exitDegraded || !strings.Contains(errs, "next:") {
			t.Errorf("certs %v: exit %d %q", args, code, errs)
		}
	}
	if after, _ := os.ReadFile(filepath.Join(dir, "ca-key.pem")); string(after) != string(before) {
		t.Error("the CA's key was overwritten")
	}
	if _, err := transport.LoadCA(filepath.Join(dir, "ca.pem"), filepath.Join(dir, "ca-key.pem")); err != nil {
		t.Error(err)
	}
}

func TestNodeosConfig(t *testing.T) {
	for name, args := range map[string][]string{
		"nodeos_spring":    {"--relay", "10.0.0.5:9876", "--relay", "[2001:db8::5]:9876", "--producer", "bpa", "--name", "nodeos-a"},
		"nodeos_leap":      {"--relay", "eu-1:9876", "--producer", "bpa", "--release", "leap-4"},
		"nodeos_finalizer": {"--relay", "eu-1:9876", "--finalizer", "--name", "fin-1"},
	} {
		out, errs, code := exec(t, "", append([]string{"nodeos-config"}, args...)...)
		golden(t, name, out)
		if code != exitOK {
			t.Errorf("%s: exit %d %q", name, code, errs)
		}
	}
	for _, args := range [][]string{
		{},
		{"--relay", "eu-1", "--producer", "bpa"},
		{"--relay", "eu-1:0", "--producer", "bpa"},
		{"--relay", ":9876", "--producer", "bpa"},
		{"--relay", "eu-1\nplugin:9876", "--producer", "bpa"},
		{"--relay", "eu-1:9876"},
		{"--relay", "eu-1:9876", "--producer", "BPA"},
		{"--relay", "eu-1:9876", "--producer", "bpa\nx"},
		{"--relay", "eu-1:9876", "--producer", "bpa."},
		{"--relay", "eu-1:9876", "--producer", "abcdefghijklm"},
		{"--relay", "eu-1:9876", "--relay", "us-1:9876", "--relay", "EU-1:9876", "--producer", "bpa"},
		{"--relay", "eu-1:9876", "--producer", "bpa", "--release", "spring-9"},
		{"--relay", "eu-1:9876", "--producer", "bpa", "--finalizer"},
		{"--relay", "eu-1:9876", "--finalizer", "--name", "fin-1", "--release", "leap-5"},
		{"--relay", "eu-1:9876", "--producer", "bpa", "--name", "a b"},
		{"--relay", "eu-1:9876", "--finalizer"},
	} {
		out, errs, code := exec(t, "", append([]string{"nodeos-config"}, args...)...)
		if code != exitDegraded || out != "" || !strings.Contains(errs, "next:") {
			t.Errorf("%q: exit %d %q %q", args, code, out, errs)
		}
	}
	out, _, _ := exec(t, "", "--json", "nodeos-config", "--relay", "eu-1:9876", "--producer", "bpa")
	var c configLines
	if err := json.Unmarshal([]byte(out), &c); err != nil || len(c.Lines) < 6 {
		t.Errorf("--json: %q %v", out, err)
	}
}

// FuzzNodeosConfig lets no input add a line of its own to a config.ini.
func FuzzNodeosConfig(f *testing.F) {
	f.Add("eu-1:9876", "bpa", "nodeos-a")
	f.Add("[::1]:1", "bpa.x", "")
	f.Add("a\n:1", "b\n", "c\n")
	f.Fuzz(func(t *testing.T, relay, producer, name string) {
		o := nodeosOptions{relays: []string{relay}, producer: producer, name: name, release: "spring-1.2"}
		c, err := o.lines()
		if err != nil {
			return
		}
		allowed := map[string]bool{}
		for _, l := range c.Lines {
			allowed[l.Key] = true
		}
		for line := range strings.Lines(c.ini(o)) {
			if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
				continue
			}
			key, _, ok := strings.Cut(line, " =")
			if !ok || !allowed[key] {
				t.Errorf("line %q from %q %q %q", line, relay, producer, name)
			}
		}
	})
}
