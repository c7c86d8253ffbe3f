package ctl

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/relay/control"
)

// TestStatusAsDesigned holds the table to the letter of the design. After it stands what the design's example has no column for: that it
// lacks a finalizer node.
func TestStatusAsDesigned(t *testing.T) {
	const want = `CLUSTER bpa   QUORUM 3/3   TERM 41   LEADER eu-1 (2h13m)   MODE votes
FORWARDED  #381223044 02c19fe3  slot 12:04:06.500  42ms ago   from nodeos-a   NEXT ROUND 88s
NODE   ROLE      UPSTREAM     REPLICAS              MARK        RTT    DISK p99  VERSION
eu-1   leader    2 connected  nodeos-a* nodeos-b    #381223044  -      4ms       0.1.0
us-1   follower  reachable    nodeos-c              #381223044  78ms   5ms       0.1.0
ap-1   follower  reachable    -                     #381223044  161ms  3ms       0.1.0   clock +61ms
`
	out, errs, code := exec(t, serve(t, healthy()), "status")
	out, notices, _ := strings.Cut(out, "\n\n")
	if out+"\n" != want || !strings.HasPrefix(notices, "NOTICE  no finalizer node is connected") || strings.Count(notices, "\n") != 2 || errs != "" || code != exitOK {
		t.Errorf("exit %d %q\n%s\n%s\nwant\n%s", code, errs, out, notices, want)
	}
}

func TestStatus(t *testing.T) {
	for name, test := range map[string]struct {
		status func() control.Status
		code   int
	}{
		"status_lost":     {lost, exitDown},
		"status_degraded": {degraded, exitDegraded},
		"status_fresh": {func() control.Status {
			return control.Status{
				Node: "eu-1", Time: at(), Cluster: control.Cluster{Producers: []string{"bpa", "bpb"}}, Mode: control.ModePassive,
				Quorum: control.Quorum{Have: 1, Need: 1, Total: 1, OK: true}, Term: 1, Leader: "eu-1", LeaderSince: at(),
				Members: []control.Member{{Name: "eu-1", Role: control.RoleLeader, Upstream: "0 connected"}},
			}
		}, exitDegraded},
		"status_hostile": {func() control.Status {
			s := sample()
			s.Cluster.Name, s.Members[1].Name = "\x1b[2Jbpa", "us\n1\u202e"
			s.Members[1].Replicas[0].Name, s.Members[1].Note, s.Forwarded.Source = "a\rb", "\x07", "\x9b31m"
			return s
		}, exitOK},
	} {
		t.Run(name, func(t *testing.T) {
			node := &fakeNode{status: func(int) control.Status { return test.status() }}
			out, _, code := exec(t, serve(t, node), "status")
			golden(t, name, out)
			if code != test.code {
				t.Errorf("exit %d, want %d", code, test.code)
			}
			if strings.ContainsAny(out, "\x1b\r\a\u009b\u202e") {
				t.Errorf("control characters in %q", out)
			}

			js, _, jsCode := exec(t, serve(t, node), "--json", "status")
			var st control.Status
			if err := json.Unmarshal([]byte(js), &st); err != nil || st.Term != test.status().Term || jsCode != test.code {
				t.Errorf("--json: exit %d, %v", jsCode, err)
			}
		})
	}
}

// TestStatusReserved keeps the last block that left apart from the block of another producer that the mark rests on.
func TestStatusReserved(t *testing.T) {
	st := sample()
	ours := st.Forwarded
	st.Forwarded = &control.Forwarded{Num: 381223099, ID: ours.ID, SlotTime: at(), AgeMS: 100, Producer: "eosnationftw", Ours: ours}
	const reserved = "   MARK reserved on #381223099 of eosnationftw   NEXT ROUND 88s\n"
	if out, want := renderStatus(st, false), "FORWARDED  #381223044 02c19fe3  slot 12:04:06.500  42ms ago   from nodeos-a"+reserved; !strings.Contains(out, want) {
		t.Errorf("%s\nwant %s", out, want)
	}
	st.Forwarded.Ours = nil
	if out, want := renderStatus(st, false), "FORWARDED  not known here"+reserved; !strings.Contains(out, want) {
		t.Errorf("%s\nwant %s", out, want)
	}
}

// TestStatusNotices shows a notice that stands nowhere in the table, and says that all is well all the same.
func TestStatusNotices(t *testing.T) {
	node := &fakeNode{status: func(int) control.Status {
		s := sample()
		s.Problems = nil
		for i := range s.Members[1:] {
			s.Members[i+1].Replicas = nil
		}
		s.Members[0].Replicas = s.Members[0].Replicas[:1]
		return s
	}}
	out, _, code := exec(t, serve(t, node), "status")
	const want = "\nNOTICE  one live replica only: nothing stands by\n  next: connect a second replica\n"
	if code != exitOK || !strings.Contains(out, want) {
		t.Errorf("exit %d\n%s\nwant %s", code, out, want)
	}
	if strings.Contains(out, "NOTICE  ap-1: clock") {
		t.Errorf("told twice:\n%s", out)
	}
}

func TestStatusUnreachable(t *testing.T) {
	dead := deadAddr(t)
	out, errs, code := exec(t, dead, "status")
	if code != exitDown || out != "" || !strings.Contains(errs, "next: check that relayd runs there") {
		t.Errorf("exit %d %q %q", code, out, errs)
	}
	// Another member is asked when the first does not answer.
	out, errs, code = exec(t, dead+","+serve(t, healthy()), "status")
	if code != exitOK || errs != "" || !strings.Contains(out, "LEADER eu-1") {
		t.Errorf("with a second address: exit %d %q %q", code, out, errs)
	}
	for _, command := range []string{"blocks", "members", "step-down"} {
		if _, errs, code := exec(t, dead+","+serve(t, healthy()), command); code != exitOK {
			t.Errorf("%s with a second address: exit %d %q", command, code, errs)
		}
		if _, errs, code := exec(t, dead+","+dead, command); code != exitDown || !strings.Contains(errs, "next:") {
			t.Errorf("%s, nobody there: exit %d %q", command, code, errs)
		}
	}
	if _, errs, code := exec(t, "ftp://x", "status"); code != exitDegraded || !strings.Contains(errs, "next:") {
		t.Errorf("a bad address: exit %d %q", code, errs)
	}
}

func deadAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func TestStatusColours(t *testing.T) {
	text, coloured := renderStatus(degraded(), false), renderStatus(degraded(), true)
	if strings.Contains(text, "\x1b") {
		t.Error("colours where nobody sees them")
	}
	if !strings.Contains(coloured, string(green)+"leader"+reset) {
		t.Errorf("no colours: %q", coloured)
	}
	// Colours take no width.
	for _, s := range []style{bold, faint, green, yellow, red, reset} {
		coloured = strings.ReplaceAll(coloured, string(s), "")
	}
	if coloured != text {
		t.Errorf("colours move columns:\n%s\n%s", coloured, text)
	}
}

// frames is a terminal that ends the command after some frames.
type frames struct {
	buf  bytes.Buffer
	left int
	stop func()
}

func (f *frames) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("CLUSTER")) || bytes.Contains(p, []byte("{")) || bytes.Contains(p, []byte("NO ANSWER")) {
		if f.left--; f.left == 0 {
			f.stop()
		}
	}
	return f.buf.Write(p)
}

func watchFor(t *testing.T, addr string, n int, terminal bool, args ...string) (string, int) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	out := &frames{left: n, stop: stop}
	a := newApp(out, &bytes.Buffer{})
	a.terminal, a.pollEvery = terminal, time.Millisecond
	code := run(ctx, append([]string{"--addr", addr, "status", "--watch"}, args...), a)
	return out.buf.String(), code
}

func TestWatch(t *testing.T) {
	out, code := watchFor(t, serve(t, healthy()), 3, true)
	if code != exitOK {
		t.Errorf("exit %d", code)
	}
	if !strings.HasPrefix(out, enterScreen) || !strings.HasSuffix(out, leaveScreen) {
		t.Error("the terminal is not left as it was")
	}
	if n := strings.Count(out, beginFrame); n != 3 {
		t.Errorf("%d frames, want 3", n)
	}
	if strings.Contains(out, "\x1b[2J") {
		t.Error("clearing the screen makes it flicker")
	}
	if body, _, _ := strings.Cut(strings.TrimPrefix(out, enterScreen+beginFrame), endFrame); strings.Contains(strings.ReplaceAll(body, endLine, ""), "\n") {
		t.Error("a line leaves what stood to its right")
	}

	out, code = watchFor(t, serve(t, healthy()), 2, false)
	if code != exitOK || strings.Contains(out, "\x1b") || strings.Count(out, "CLUSTER") != 2 {
		t.Errorf("in a pipe: exit %d %q", code, out)
	}
	out, code = watchFor(t, serve(t, healthy()), 2, false, "--json")
	if lines := strings.Split(strings.TrimSpace(out), "\n"); code != exitOK || len(lines) != 2 || !json.Valid([]byte(lines[1])) {
		t.Errorf("as JSON: exit %d %q", code, out)
	}
	out, code = watchFor(t, deadAddr(t), 2, false)
	if code != exitDown || !strings.Contains(out, "NO ANSWER") || !strings.Contains(out, "next:") {
		t.Errorf("nobody there: exit %d %q", code, out)
	}
}

func FuzzClean(f *testing.F) {
	f.Add("nodeos-a")
	f.Add("\x1b]0;x\a\u2066")
	f.Fuzz(func(t *testing.T, name string) {
		got := clean(name)
		if strings.ContainsFunc(got, func(r rune) bool { return r < 0x20 || r == 0x7f || r >= 0x80 && r < 0xa0 }) {
			t.Errorf("%q becomes %q", name, got)
		}
	})
}
