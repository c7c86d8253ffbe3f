package control_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/control"
)

// TestStepDownAlone refuses without delay where there is nobody to hand over to: a group of one waited for the end of its round first, up to
// 20 s.
func TestStepDownAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := newFakeNode()
		node.change(func(s *control.Status) {
			s.NextRoundMS, s.Round = ptr(int64(0)), roundAt(3)
			s.Quorum, s.Members = control.Quorum{Have: 1, Need: 1, Total: 1, OK: true}, s.Members[:1]
		})
		node.stepDown = func(context.Context, string, time.Duration) (control.StepDown, error) {
			return control.StepDown{}, &control.Error{Code: control.CodeRefused, Message: "nobody to hand over to", Remedy: "add members"}
		}
		start := time.Now()
		w := post(control.New(control.Config{Node: node}), "/v1/step-down", `{}`)
		if got := time.Since(start); w.Code != 409 || got > 0 {
			t.Errorf("%d %s after %s, want 409 at once", w.Code, w.Body, got)
		}
	})
}

// TestStepDownInNoGroup does not send somebody after missing members of a group that there is not yet.
func TestStepDownInNoGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := newFakeNode()
		node.change(func(s *control.Status) {
			s.Quorum, s.Leader, s.Members = control.Quorum{Need: 1}, "", s.Members[:1]
		})
		start := time.Now()
		w := post(control.New(control.Config{Node: node}), "/v1/step-down", `{}`)
		if body := w.Body.String(); w.Code != 503 || !strings.Contains(body, "part of no group yet") || strings.Contains(body, "missing members") {
			t.Errorf("%d %s, want 503 and that there is no group yet", w.Code, body)
		}
		if took := time.Since(start); took > 0 {
			t.Errorf("refused after %s, want at once", took)
		}
	})
}

// TestStepDownMinority refuses for a quorum that stays away. One that is out of sight for a moment does not end a drill.
func TestStepDownMinority(t *testing.T) {
	for name, test := range map[string]struct {
		back     time.Duration // the others are seen again then; 0: never
		wantCode int
		want     time.Duration
	}{
		"for a moment": {300 * time.Millisecond, 200, 300 * time.Millisecond},
		"for good":     {0, 503, 2 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			node := newFakeNode()
			node.change(func(s *control.Status) { s.Quorum = control.Quorum{Have: 1, Need: 2, Total: 3} })
			if test.back > 0 {
				time.AfterFunc(test.back, func() { node.change(func(s *control.Status) { *s = sampleStatus() }) })
			}
			start := time.Now()
			w := post(control.New(control.Config{Node: node}), "/v1/step-down", `{"now":true}`)
			if got := time.Since(start); w.Code != test.wantCode || got < test.want || got > test.want+100*time.Millisecond {
				t.Errorf("%s: %d %s after %s, want %d after %s", name, w.Code, w.Body, got, test.wantCode, test.want)
			}
		})
	}
}
