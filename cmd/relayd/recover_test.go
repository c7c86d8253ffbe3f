package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/thinrelay/thinrelay/cluster"
)

// A wrong data_dir must not become the data directory of a new member, least of all when nothing was to be changed.
func TestRecoverCreatesNothing(t *testing.T) {
	for _, args := range [][]string{nil, {"--yes", "--at-least", "0"}} {
		for _, there := range []bool{false, true} {
			dir := t.TempDir()
			data := filepath.Join(dir, "data")
			writeFile(t, dir, "relay.yaml", minimalConfig)
			t.Setenv("RELAY_DATA_DIR", data)
			if there { // what is left when a log is gone
				if err := os.MkdirAll(filepath.Join(data, "snapshots"), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			cmd := recoverCommand()
			cmd.SetArgs(append([]string{"--config", filepath.Join(dir, "relay.yaml")}, args...))
			cmd.SetOut(io.Discard)
			cmd.SetErr(io.Discard)
			err := cmd.ExecuteContext(t.Context())
			if !errors.Is(err, cluster.ErrNothing) || !strings.Contains(err.Error(), "nothing to recover in "+data) {
				t.Errorf("recover %v: got %v, want %v", args, err, cluster.ErrNothing)
			}
			var got []string
			if err := filepath.WalkDir(data, func(path string, _ os.DirEntry, err error) error {
				if err == nil {
					got = append(got, strings.TrimPrefix(path, dir))
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			want := ""
			if there {
				want = "/data /data/snapshots"
			}
			if got := strings.Join(got, " "); got != want {
				t.Errorf("recover %v: left %q, want %q", args, got, want)
			}
		}
	}
}

// What stands between a recovery and a lower mark is asked for: left out, a member that was behind was made the group without a word.
func TestRecoverAsksForTheHeight(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir, "relay.yaml", minimalConfig)
	cmd := recoverCommand()
	cmd.SetArgs([]string{"--config", filepath.Join(dir, "relay.yaml"), "--yes"})
	cmd.SetOut(io.Discard)
	cmd.SetErr(io.Discard)
	if err := cmd.ExecuteContext(t.Context()); !errors.Is(err, errAtLeast) {
		t.Errorf("got %v, want %v", err, errAtLeast)
	}
}
