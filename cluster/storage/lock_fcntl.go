//go:build aix || (solaris && !illumos)

package storage

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// tryLock locks f, or returns ErrInUse when another process has. There is no flock here, and POSIX's lock is one of the process: it keeps no
// second relay of the same process out, of which there is none.
func tryLock(f *os.File) error {
	for {
		err := syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart})
		switch {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EACCES):
			return ErrInUse
		default:
			return err
		}
	}
}
