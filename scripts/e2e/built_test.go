//go:build e2e

package e2e_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// These come before every other test by the name of their file: to build an image takes both processors and the disk of a small machine for
// ten seconds and more, and what a group loses meanwhile tells nothing of it.

// maxImage is what the image may have, in bytes.
const maxImage = 25_000_000

const image = "thinrelay:local"

// TestImage looks at what make image built.
func TestImage(t *testing.T) {
	out, err := exec.Command("docker", "image", "inspect", image).Output()
	if err != nil {
		t.Fatalf("no image; make image builds it: %v", err)
	}
	var info []struct {
		Size   int64
		Config struct {
			User        string
			Env         []string
			Healthcheck struct{ Test []string }
		}
	}
	if err := json.Unmarshal(out, &info); err != nil {
		t.Fatal(err)
	}
	got := info[0]
	if got.Size >= maxImage {
		t.Errorf("%d bytes, want less than %d", got.Size, maxImage)
	}
	if uid, _, _ := strings.Cut(got.Config.User, ":"); uid == "" || uid == "0" || uid == "root" {
		t.Errorf("it runs as %q", got.Config.User)
	}
	if len(got.Config.Healthcheck.Test) == 0 {
		t.Error("no health check")
	}
	if len(got.Config.Env) != 1 || !strings.HasPrefix(got.Config.Env[0], "PATH=") {
		t.Errorf("environment %v, want PATH alone", got.Config.Env)
	}
}

// TestImageLimit builds an image that is too large: that fails, says why, and leaves nothing behind.
func TestImageLimit(t *testing.T) {
	const large = "thinrelay:e2e-large"
	cmd := exec.Command("scripts/stack.sh", "image")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "THINRELAY_MAX_BYTES=1000000", "THINRELAY_IMAGE="+large, "VERSION=large")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "must have less than 1000000") {
		t.Errorf("%v, %s", err, out)
	}
	if id, err := exec.Command("docker", "image", "ls", "-q", "-f", "label=org.opencontainers.image.version=large").Output(); err != nil || len(id) > 0 {
		t.Errorf("left behind: %s %v", id, err)
	}
}
