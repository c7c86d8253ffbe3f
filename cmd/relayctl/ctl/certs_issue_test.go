package ctl

import (
	"os"
	"strings"
	"testing"
)

// TestCertsIssueAllOrNothing leaves nothing behind where it cannot issue for each member named: who mended the mistake and repeated the command
// was refused then, over the files of the first attempt.
func TestCertsIssueAllOrNothing(t *testing.T) {
	dir := t.TempDir()
	for _, args := range []string{"init", "issue us-1"} {
		if _, errs, code := exec(t, "", strings.Fields("certs --dir "+dir+" "+args)...); code != exitOK {
			t.Fatalf("%s: exit %d %q", args, code, errs)
		}
	}
	before, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"eu-1 us-1":      "us-1.pem is there already",
		"eu-1 eu-1":      "next: name each member once",
		"eu-1 ca":        "ca.pem is there already",
		"eu-1 us 1!":     "next: name the member",
		"eu-1 us":        "us-key.pem is there already",
		"--days 3651 eu": "next: give a number of days",
		// So many days are 2^64 ns and one day: that wraps around.
		"--days 213505 eu-1": "next: give a number of days",
	} {
		if args == "eu-1 us" { // a key without its certificate
			if err := os.WriteFile(dir+"/us-key.pem", nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, errs, code := exec(t, "", strings.Fields("certs issue --dir "+dir+" "+args)...)
		if code != exitDegraded || !strings.Contains(errs, want) {
			t.Errorf("%s: exit %d %q, want %d and %q", args, code, errs, exitDegraded, want)
		}
		if args == "eu-1 us" {
			if err := os.Remove(dir + "/us-key.pem"); err != nil {
				t.Fatal(err)
			}
		}
		after, err := os.ReadDir(dir)
		if err != nil || len(after) != len(before) {
			t.Fatalf("%s: %d files, want %d; %v", args, len(after), len(before), err)
		}
	}
}
