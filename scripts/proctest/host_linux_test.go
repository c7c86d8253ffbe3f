package proctest_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// tied makes a process end with this one, however that ends.
func tied(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// stopped reports whether a process is, as by SIGSTOP.
func stopped(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, state, _ := bytes.Cut(b, []byte(") "))
	return err == nil && bytes.HasPrefix(state, []byte("T"))
}

// ownDisk mounts a disk of so many bytes on a folder.
func ownDisk(dir string, size int) (unmount func() error, err error) {
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", size)); err != nil {
		return nil, err
	}
	return func() error { return syscall.Unmount(dir, syscall.MNT_DETACH) }, nil
}
