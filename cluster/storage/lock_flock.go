//go:build unix && !aix && (!solaris || illumos)

package storage

import (
	"errors"
	"os"
	"syscall"
)

// tryLock locks f, or returns ErrInUse when another process has.
func tryLock(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EWOULDBLOCK):
			return ErrInUse
		default:
			return err
		}
	}
}
