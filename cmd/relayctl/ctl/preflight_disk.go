package ctl

import (
	"context"
	"errors"
	"os"
	"slices"
	"time"
)

const (
	diskWrites  = 100
	diskBlock   = 4096
	diskPatient = 8 * time.Second // a disk this slow has failed by then
)

// tryDisk measures what Raft waits for: a write of a block and its way to the disk.
func (p *preflight) tryDisk(ctx context.Context, c *checks) {
	if p.dataDir == "" {
		return
	}
	what := "disk at " + p.dataDir
	times, err := measureDisk(ctx, p.dataDir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		c.fail(what, "give --data-dir the data_dir of the configuration; relayd makes it at its first start", "no such folder")
	case errors.Is(err, os.ErrPermission):
		c.fail(what, "run this as the user of relayd, or give that user the folder", "cannot write there")
	case err != nil:
		c.fail(what, "the disk must take writes: see its free space and the kernel's log", "%v", err)
	case len(times) > 0:
		judgeWrites(c, what, times)
	}
}

func judgeWrites(c *checks, what string, times []time.Duration) {
	slices.Sort(times)
	n := len(times)
	p99, worst := times[(n*99+99)/100-1], times[n-1]
	ms := float64(p99) / float64(time.Millisecond)
	const format = "%d writes of 4 KiB with fsync: p99 %s, worst %s"
	switch {
	case ms > diskFail:
		c.fail(what, diskRemedy, format, n, took(p99), took(worst))
	case ms > diskWarn:
		c.warn(what, diskRemedy, format, n, took(p99), took(worst))
	default:
		c.ok(what, format, n, took(p99), took(worst))
	}
}

// measureDisk writes and syncs block after block to a new file in dir, which it removes.
func measureDisk(ctx context.Context, dir string) (times []time.Duration, err error) {
	f, err := os.CreateTemp(dir, ".preflight-*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	block := make([]byte, diskBlock)
	for i := range block {
		block[i] = byte(i * 37) // not what a clever disk leaves out
	}
	begin := time.Now()
	for range diskWrites {
		start := time.Now()
		if _, err := f.Write(block); err != nil {
			return nil, err
		}
		if err := f.Sync(); err != nil {
			return nil, err
		}
		times = append(times, time.Since(start))
		if ctx.Err() != nil || time.Since(begin) > diskPatient {
			break
		}
	}
	return times, nil
}
