package storage_test

import (
	"errors"
	"go/build"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/thinrelay/thinrelay/cluster/storage"
)

// Of two processes that begin at once on an empty directory one is turned away, and what it finds there is the other's: an identity of its own beside
// the votes of the other would have that one come back as a member that nobody knows.
func TestTwoBeginOnAnEmptyDirectory(t *testing.T) {
	for range 8 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			var stores [2]*storage.Store
			var errs [2]error
			var wg sync.WaitGroup
			for i := range stores {
				wg.Go(func() { stores[i], errs[i] = openDisk(dir, "eu-1") })
			}
			wg.Wait()
			won := 0
			if stores[0] == nil {
				won = 1
			}
			if stores[won] == nil || stores[1-won] != nil {
				t.Fatalf("errors %v and %v, want one", errs[0], errs[1])
			}
			if !errors.Is(errs[1-won], storage.ErrInUse) {
				t.Errorf("error %v, want %v", errs[1-won], storage.ErrInUse)
			}
			had := stores[won].Identity()
			if err := stores[won].Close(); err != nil {
				t.Fatal(err)
			}
			if got := mustOpenDisk(t, dir).Identity(); got != had {
				t.Errorf("identity %+v when it is opened again, want %+v", got, had)
			}
		})
	}
}

// Go's syscall has flock on every unix but two.
func TestEachSystemHasALock(t *testing.T) {
	files, err := filepath.Glob("lock_*.go")
	if err != nil {
		t.Fatal(err)
	}
	for system, want := range map[string]string{
		"linux": "lock_flock.go", "android": "lock_flock.go", "darwin": "lock_flock.go", "freebsd": "lock_flock.go", "netbsd": "lock_flock.go", "openbsd": "lock_flock.go",
		"dragonfly": "lock_flock.go", "illumos": "lock_flock.go", "solaris": "lock_fcntl.go", "aix": "lock_fcntl.go", "windows": "lock_other.go", "plan9": "lock_other.go",
	} {
		built := build.Default
		built.GOOS = system
		var got []string
		for _, name := range files {
			if name == "lock_test.go" {
				continue
			}
			if match, err := built.MatchFile(".", name); err != nil {
				t.Fatal(err)
			} else if match {
				got = append(got, name)
			}
		}
		if !slices.Equal(got, []string{want}) {
			t.Errorf("%s: got %v, want %s", system, got, want)
		}
	}
}
