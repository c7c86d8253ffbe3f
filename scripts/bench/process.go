//go:build benchpeers

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is one that this program started, with all it has started.
type process struct {
	cmd    *exec.Cmd
	log    string
	exited chan struct{}
}

// startProcess starts cmd with its output in the folder, on some processors (none: wherever).
func startProcess(cmd *exec.Cmd, dir string, on cpus) (*process, error) {
	p := &process{cmd: cmd, log: filepath.Join(dir, "log"), exited: make(chan struct{})}
	out, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer out.Close() // the process has its own
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
	if err := on.start(cmd.Start); err != nil {
		return nil, err
	}
	go func() {
		_ = cmd.Wait() // it is stopped by a signal
		close(p.exited)
	}()
	return p, nil
}

// patience is how long a process may take to end after SIGTERM.
const patience = 10 * time.Second

// stop ends the process and what it started, by pid.
func (p *process) stop() error {
	pids := p.tree()
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-p.exited:
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
	for _, pid := range pids[1:] { // socat leaves its children behind
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	return nil
}

// tree is the process and its descendants.
func (p *process) tree() []int {
	children := make(map[int][]int)
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if f := statFields(file); len(f) > 1 {
			parent, _ := strconv.Atoi(f[1])
			children[parent] = append(children[parent], pid)
		}
	}
	pids := []int{p.cmd.Process.Pid}
	for i := 0; i < len(pids); i++ {
		pids = append(pids, children[pids[i]]...)
	}
	return pids
}

// statFields is /proc/PID/stat from the state on: the name before it may hold anything.
func statFields(file string) []string {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	return strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
}

// cpu is the processor time that the process and its descendants have used. The kernel counts it in nanoseconds for each
// thread (schedstat), where /proc/PID/stat has ticks of 10 ms; threads do not end while something is measured.
func (p *process) cpu() time.Duration {
	var sum time.Duration
	for _, pid := range p.tree() {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		for _, file := range tasks {
			text, err := os.ReadFile(file)
			if err != nil {
				continue
			}
			run, _, _ := strings.Cut(string(text), " ")
			ns, _ := strconv.ParseInt(run, 10, 64)
			sum += time.Duration(ns)
		}
	}
	return sum
}

// memory is what the process and its descendants hold in RAM, pages that they share counted once (PSS), and the sum of
// the most that each has ever held (VmHWM); in bytes.
func (p *process) memory() (pss, peak int64) {
	for _, pid := range p.tree() {
		pss += kilobytes(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Pss:")
		peak += kilobytes(fmt.Sprintf("/proc/%d/status", pid), "VmHWM:")
	}
	return pss, peak
}

func kilobytes(file, key string) int64 {
	text, _ := os.ReadFile(file) // a process that has ended holds nothing
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, key); ok {
			if f := strings.Fields(rest); len(f) > 0 {
				n, _ := strconv.ParseInt(f[0], 10, 64)
				return n << 10
			}
		}
	}
	return 0
}

// ownCPU is the processor time of this program.
func ownCPU() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
