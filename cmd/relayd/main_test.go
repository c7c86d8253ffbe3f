package main

import (
	"bytes"
	"testing"
)

// TestNoSuchCommand fails for a word that is no command, so that a container with a slip in its command does not end as if all were done.
func TestNoSuchCommand(t *testing.T) {
	for _, args := range [][]string{{"rn"}, {"help", "rn"}, {"help", "simnet", "replcia"}, {"simnet", "replcia"}, {"simnet", "replcia", "--name", "nodeos-a"}} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), args, &out, &errs); code != 1 || errs.Len() == 0 {
			t.Errorf("%v: exit %d, %q, want 1 and why", args, code, errs.String())
		}
	}
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"simnet"}, &out, &errs); code != 0 || out.Len() == 0 || errs.Len() > 0 {
		t.Errorf("simnet: exit %d, %q, want its help", code, errs.String())
	}
}
