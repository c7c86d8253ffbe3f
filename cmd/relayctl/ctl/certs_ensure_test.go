package ctl

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCertsEnsure makes what is missing and keeps what is there.
func TestCertsEnsure(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "certs")
	ensure := func(names ...string) (string, int) {
		t.Helper()
		out, errs, code := exec(t, "", append([]string{"certs", "ensure", "--dir", dir}, names...)...)
		return out + errs, code
	}
	if out, code := ensure("eu-1", "us-1"); code != exitOK || strings.Count(out, "wrote ") != 7 {
		t.Fatalf("first: exit %d %q", code, out)
	}
	before, err := os.ReadFile(filepath.Join(dir, "eu-1.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if out, code := ensure("eu-1", "us-1"); code != exitOK || out != "" {
		t.Errorf("again: exit %d %q, want nothing done", code, out)
	}
	if out, code := ensure("eu-1", "ap-1"); code != exitOK || strings.Count(out, "wrote ") != 2 {
		t.Errorf("one more: exit %d %q", code, out)
	}
	if after, err := os.ReadFile(filepath.Join(dir, "eu-1.pem")); err != nil || string(after) != string(before) {
		t.Errorf("a certificate that was there is another one now: %v", err)
	}
	// A gossip key that is missing beside a CA that is there is made, as said; init, which it was left to, refused since the CA is there.
	if err := os.Remove(filepath.Join(dir, "gossip.key")); err != nil {
		t.Fatal(err)
	}
	if out, code := ensure("eu-1"); code != exitOK || strings.Count(out, "wrote ") != 1 || missing(filepath.Join(dir, "gossip.key")) {
		t.Errorf("without gossip.key: exit %d %q", code, out)
	}
	// Without the CA's key what is complete stays usable, and nothing can be added.
	if err := os.Remove(filepath.Join(dir, "ca-key.pem")); err != nil {
		t.Fatal(err)
	}
	if out, code := ensure("eu-1", "us-1", "ap-1"); code != exitOK {
		t.Errorf("complete, without ca-key.pem: exit %d %q", code, out)
	}
	if out, code := ensure("af-1"); code != exitDegraded || !strings.Contains(out, "next:") {
		t.Errorf("a new member without ca-key.pem: exit %d %q", code, out)
	}
}
