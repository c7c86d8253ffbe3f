package storage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// lockFile is locked by the process that uses a data directory, from before it looks at anything there. The log has a
// lock of its own, but that is taken after the identity is chosen: of two processes begun at once on an empty directory,
// the one that ends would leave its identity beside the other one's votes.
const lockFile = "lock"

// ErrInUse is returned when another process uses a data directory.
var ErrInUse = errors.New("another relayd uses this data_dir: stop it first")

// lockDir takes the lock of a data directory, for which it waits lockTimeout at most. The lock ends with the file, and so
// with the process.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	for until := time.Now().Add(lockTimeout); ; time.Sleep(lockTimeout / 20) {
		if err = tryLock(f); err == nil {
			return f, nil
		}
		if !errors.Is(err, ErrInUse) || time.Now().After(until) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", f.Name(), err), f.Close())
		}
	}
}
