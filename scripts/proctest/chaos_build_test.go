package proctest_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// overlay is a set of files that a build sees in place of others.
type overlay map[string]string // by the path of the file replaced

// patch replaces texts that a file has exactly once, in the overlay.
func (o overlay) patch(dir, file string, oldNew ...string) error {
	path, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	from := path
	if o[path] != "" {
		from = o[path]
	}
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	text := string(b)
	for i := 0; i < len(oldNew); i += 2 {
		if n := strings.Count(text, oldNew[i]); n != 1 {
			return fmt.Errorf("%s has %d times, want once: %s", path, n, oldNew[i])
		}
		text = strings.Replace(text, oldNew[i], oldNew[i+1], 1)
	}
	return o.put(dir, path, text)
}

// put replaces a file, or adds one, in the overlay.
func (o overlay) put(dir, path, text string) error {
	o[path] = filepath.Join(dir, fmt.Sprintf("%d-%s", len(o), filepath.Base(path)))
	return os.WriteFile(o[path], []byte(text), 0o600)
}

// clockPatch gives package time an offset that relayd, built with the tag chaos,
// can set: a step of the wall clock that everything in the process sees.
func (o overlay) clockPatch(dir string) error {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("find GOROOT: %w", err)
	}
	src := filepath.Join(strings.TrimSpace(string(root)), "src", "time")
	err = o.patch(dir, filepath.Join(src, "time.go"),
		"sec, nsec, mono := runtimeNow()\n", "sec, nsec, mono := runtimeNow()\n\tsec, nsec = stepped(sec, nsec)\n")
	if err != nil {
		return err
	}
	return o.put(dir, filepath.Join(src, "stepped.go"), `package time

import (
	"sync/atomic"
	_ "unsafe" // for go:linkname
)

//go:linkname wallOffset
var wallOffset atomic.Int64

func stepped(sec int64, nsec int32) (int64, int32) {
	if off := wallOffset.Load(); off != 0 {
		total := int64(nsec) + off
		s := total / 1e9
		if total %= 1e9; total < 0 {
			total, s = total+1e9, s-1
		}
		return sec + s, int32(total)
	}
	return sec, nsec
}
`)
}

// file writes what the go command is told of the overlay, and returns its path.
func (o overlay) file(t *testing.T, dir string) string {
	t.Helper()
	list, err := json.Marshal(struct{ Replace overlay }{o})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(name, list, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// buildAfflicted builds a relayd whose disk and clock can be made to fail, with
// the overlay's changes, and returns its path.
func buildAfflicted(t *testing.T, o overlay) string {
	t.Helper()
	dir := t.TempDir()
	if err := o.clockPatch(dir); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "relayd")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-tags", "chaos", "-overlay", o.file(t, dir), "-o", out, "./cmd/relayd")
	build.Dir = filepath.Join("..", "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", build, err, said)
	}
	return out
}
