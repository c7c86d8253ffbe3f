//go:build !linux

package proctest_test

import (
	"errors"
	"os/exec"
)

// tied does nothing: an end by force leaves processes behind here.
func tied(*exec.Cmd) {}

// stopped cannot be told here.
func stopped(pid int) bool { return pid != 0 }

// ownDisk is for Linux.
func ownDisk(string, int) (unmount func() error, err error) { return nil, errors.ErrUnsupported }
