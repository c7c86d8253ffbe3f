//go:build !unix

package storage

import "os"

// tryLock does nothing where there is no flock: the log's own lock is left.
func tryLock(*os.File) error { return nil }
