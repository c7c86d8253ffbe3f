//go:build benchpeers

package main

import (
	"errors"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"unsafe"
)

// cpus is a set of processors, as sched_setaffinity(2) takes it; empty: as it is.
type cpus []uint64

// allowed is what this program may use, as it was started.
var allowed = sync.OnceValues(func() (cpus, error) {
	all := make(cpus, 1024/64)
	return all, affinity(syscall.SYS_SCHED_GETAFFINITY, 0, all)
})

// halves splits the processors that this program may use: the first half is for it, the second for what it measures. What the
// load generator's runtime does when it wakes for a block would else keep the relay, or the proxy, from
// its processor. Both are empty where there is only one.
func halves() (load, measured cpus, err error) {
	all, err := allowed()
	if err != nil || runtime.NumCPU() < 2 {
		return nil, nil, err
	}
	load, measured = make(cpus, len(all)), make(cpus, len(all))
	n := 0
	for cpu := range 64 * len(all) {
		if bit := uint64(1) << (cpu % 64); all[cpu/64]&bit != 0 {
			if n++; n <= runtime.NumCPU()/2 {
				load[cpu/64] |= bit
			} else {
				measured[cpu/64] |= bit
			}
		}
	}
	return load, measured, nil
}

// occupy has all threads of this program run on c. A thread that begins meanwhile has what the one has that began it, so it goes
// on until there is no new one.
func (c cpus) occupy() error {
	if len(c) == 0 {
		return nil
	}
	moved := make(map[string]bool)
	for n := -1; n != len(moved); {
		n = len(moved)
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
			moved[t.Name()] = true
		}
	}
	return nil
}

// start starts a process on c: it has what the thread has that starts it, which ends after that.
func (c cpus) start(start func() error) error {
	if len(c) == 0 {
		return start()
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // without UnlockOSThread: the thread ends with its goroutine
		if err := affinity(syscall.SYS_SCHED_SETAFFINITY, 0, c); err != nil {
			done <- err
			return
		}
		done <- start()
	}()
	return <-done
}

// affinity gets or sets that of a thread, 0 for the calling one.
func affinity(call uintptr, thread int, c cpus) error {
	if _, _, errno := syscall.Syscall(call, uintptr(thread), uintptr(8*len(c)), uintptr(unsafe.Pointer(unsafe.SliceData(c)))); errno != 0 {
		return os.NewSyscallError("sched_affinity", errno)
	}
	return nil
}
