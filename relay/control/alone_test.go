package control_test

import (
	"context"
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
