package ctl

import (
	"strings"
	"testing"
)

// TestHelpOfNothing refuses to explain what does not exist, as calling it is refused.
func TestHelpOfNothing(t *testing.T) {
	for _, args := range []string{"help stauts", "help certs isue", "help members remoev"} {
		out, errs, code := exec(t, "", strings.Fields(args)...)
		if code != exitDegraded || out != "" || !strings.Contains(errs, "next: ") {
			t.Errorf("%s: exit %d, want %d; %q %q", args, code, exitDegraded, out, errs)
		}
	}
	for args, want := range map[string]string{
		"help": "relayctl shows and steers", "help status": "relayctl status [flags]", "help certs": "relayctl certs [command]",
		"help certs issue": "relayctl certs issue NAME", "help members": "relayctl members remove us-1", "help completion": "relayctl completion",
		"help help": "relayctl help [command]",
	} {
		if out, errs, code := exec(t, "", strings.Fields(args)...); code != exitOK || errs != "" || !strings.Contains(out, want) {
			t.Errorf("%s: exit %d, want %d and %q; %q %q", args, code, exitOK, want, out, errs)
		}
	}
}
