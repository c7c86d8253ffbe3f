package ctl

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/control"
)

// refusing gives the address of a relay that answers each question with an error.
func refusing(t *testing.T, err error) string {
	t.Helper()
	return serve(t, &fakeNode{
		fails:    err,
		stepDown: func(string) (control.StepDown, error) { return control.StepDown{}, err },
	})
}

// TestNoAnswerOfTheRelay takes a relay that cannot tell how it is for one that does not answer: its port does, and says so.
func TestNoAnswerOfTheRelay(t *testing.T) {
	for name, err := range map[string]error{"time is over": context.DeadlineExceeded, "something is wrong": os.ErrInvalid} {
		addr := refusing(t, err)
		for _, command := range []string{"status", "members"} {
			if out, errs, code := exec(t, addr, command); code != exitDown || out != "" || !strings.Contains(errs, "next:") {
				t.Errorf("%s: %s: exit %d, want %d; %q %q", name, command, code, exitDown, out, errs)
			}
		}
		if out, code := watchFor(t, addr, 2, false); code != exitDown || strings.Count(out, "NO ANSWER") != 2 {
			t.Errorf("%s: watch: exit %d, want %d; %q", name, code, exitDown, out)
		}
	}
	// What was asked for and was not done is another thing.
	if _, errs, code := exec(t, refusing(t, &control.Error{Code: control.CodeTimeout, Message: "not in time", Remedy: "repeat"}), "step-down", "--now"); code != exitDegraded {
		t.Errorf("step-down: exit %d %q", code, errs)
	}
}

// TestHostileAnswers lets no relay, or what answers in its place, speak to the terminal.
func TestHostileAnswers(t *testing.T) {
	addr := refusing(t, &control.Error{Code: control.CodeRefused, Message: "no\x1b]0;title\a", Remedy: "paste\u009b31m this\r"})
	for _, args := range [][]string{{"status"}, {"members"}, {"step-down", "--now"}, {"drill", "--count", "1"}} {
		_, errs, code := exec(t, addr, args...)
		if code == exitOK || strings.ContainsAny(errs, "\x1b\a\r\u009b") || !strings.Contains(errs, "\n  next: paste") {
			t.Errorf("%s: exit %d %q", args, code, errs)
		}
	}
	if out, _ := watchFor(t, addr, 1, false); strings.ContainsAny(out, "\x1b\a\r\u009b") {
		t.Errorf("watch: %q", out)
	}
	st := sample()
	st.Members[1].Role = "\x1b[2J"
	if out := renderStatus(st, false); strings.Contains(out, "\x1b") {
		t.Errorf("role: %q", out)
	}
}

// noTransport is a network that reaches nobody.
type noTransport struct{}

func (noTransport) RoundTrip(*http.Request) (*http.Response, error) { return nil, syscall.ECONNREFUSED }

// TestDrillNobodyAnswers says after a drill that got stuck what the last look met.
func TestDrillNobodyAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clients, err := control.NewClient(control.ClientConfig{Addr: "eu-1:9870", Transport: noTransport{}})
		if err != nil {
			t.Fatal(err)
		}
		a := newApp(&bytes.Buffer{}, &bytes.Buffer{})
		a.dialled = []*control.Client{clients}
		d := drill{app: a}
		start := time.Now()
		err = d.settle(t.Context(), control.StepDown{From: "eu-1", To: "us-1"})
		if took := time.Since(start); took < settleWait || err == nil || exitCode(err) != exitDown || !strings.Contains(err.Error(), "no answer from http://eu-1:9870") {
			t.Errorf("after %s: exit %d, %v", took, exitCode(err), err)
		}
	})
}

// TestNoColour takes colours away and nothing else.
func TestNoColour(t *testing.T) {
	t.Setenv("TERM", "xterm")
	device, err := os.Open(os.DevNull) // a terminal, as far as anybody can tell
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	for value, want := range map[string]bool{"": true, "1": false} {
		t.Setenv("NO_COLOR", value)
		if a := newApp(device, device); !a.terminal || a.colours != want {
			t.Errorf("NO_COLOR=%q: redrawing %v, colours %v, want true and %v", value, a.terminal, a.colours, want)
		}
	}
}
