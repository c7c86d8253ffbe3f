//go:build benchpeers

package main

import (
	"errors"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"
)

// cpus is a set of processors, as sched_setaffinity(2) takes it; empty: as it is.
type cpus []uint64

// halves splits the processors that this program may use: the first half is for it, the second for what it measures. What the
// load generator's runtime does when it wakes for a block would else keep the relay, or the proxy, from
// its processor. Both are nil where there is only one.
func halves() (load, measured cpus, err error) {
	all := make(cpus, 1024/64)
	if err := affinity(syscall.SYS_SCHED_GETAFFINITY, 0, all); err != nil {
		return nil, nil, err
	}
	load, measured = make(cpus, len(all)), make(cpus, len(all))
	half, n := runtime.NumCPU()/2, 0
	if half == 0 {
		return nil, nil, nil
	}
	for cpu := range 64 * len(all) {
		if bit := uint64(1) << (cpu % 64); all[cpu/64]&bit != 0 {
			if n++; n <= half {
				load[cpu/64] |= bit
			} else {
				measured[cpu/64] |= bit
			}
		}
	}
	return load, measured, nil
}

// plus is both together.
func (c cpus) plus(other cpus) cpus {
	var sum cpus
	for i := range c {
		sum = append(sum, c[i]|other[i])
	}
	return sum
}

// occupy has all threads of this program run on c, and those that they begin.
func (c cpus) occupy() error {
	if len(c) == 0 {
		return nil
	}
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, t := range tasks {
		id, err := strconv.Atoi(t.Name())
		if err != nil {
			return err
		}
		if err := affinity(syscall.SYS_SCHED_SETAFFINITY, id, c); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	return nil
}

// start starts a process on c: it has what the thread has that starts it.
func (c cpus) start(start func() error) error {
	if len(c) == 0 {
		return start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := make(cpus, len(c))
	if err := affinity(syscall.SYS_SCHED_GETAFFINITY, 0, before); err != nil {
		return err
	}
	if err := affinity(syscall.SYS_SCHED_SETAFFINITY, 0, c); err != nil {
		return err
	}
	return errors.Join(start(), affinity(syscall.SYS_SCHED_SETAFFINITY, 0, before))
}

// affinity gets or sets that of a thread, 0 for the calling one.
func affinity(call uintptr, thread int, c cpus) error {
	if _, _, errno := syscall.Syscall(call, uintptr(thread), uintptr(8*len(c)), uintptr(unsafe.Pointer(unsafe.SliceData(c)))); errno != 0 {
		return os.NewSyscallError("sched_affinity", errno)
	}
	return nil
}
