package ctl

import (
	"strings"
	"testing"
)

// TestHalfACertificate refuses half of a client certificate: a key alone was passed over, and the relay then asked for a right to change state.
func TestHalfACertificate(t *testing.T) {
	for _, flag := range []string{"--tls-key", "--tls-cert"} {
		out, errs, code := exec(t, serve(t, healthy()), flag, "eu-1.pem", "status")
		if code != exitDegraded || out != "" || !strings.Contains(errs, "--tls-cert and --tls-key belong together\n  next:") {
			t.Errorf("%s alone: exit %d, want %d; %q %q", flag, code, exitDegraded, out, errs)
		}
	}
}
