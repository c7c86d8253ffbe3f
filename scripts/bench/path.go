//go:build benchpeers

package main

import (
	"context"
	"errors"
	"runtime"
	"time"
)

const (
	// ringBlocks and ringBytes are what a relay keeps of the chain. It is measured with that full, as after some minutes
	// of work; everybody gets the same blocks first.
	ringBlocks = 4096
	ringBytes  = 512 << 20
	// warmTime bounds that.
	warmTime = 3 * time.Second
	// warmBlocks of ours come before the measured ones.
	warmBlocks = 50
	// backlog bounds the blocks under way when blocks come at a pace that a row cannot keep.
	backlog = 256
)

// path measures how long blocks of one replica take to the upstream.
func (rep *report) path(ctx context.Context, s *settings, r *row, round int) (err error) {
	var load, measured cpus
	if !s.Together {
		if load, measured, err = halves(); err != nil {
			return err
		}
	}
	if len(load) != 0 {
		all, _ := allowed() // halves has them
		defer func() { err = errors.Join(err, all.occupy()) }()
	}
	if err := load.occupy(); err != nil {
		return err
	}
	g, err := newRig(ctx, r, 1, measured)
	if err != nil {
		return err
	}
	err = rep.pathCells(ctx, s, g, round)
	if err != nil {
		err = errors.Join(err, g.complaints())
	}
	if ended := g.close(); err == nil {
		err = ended
	}
	return err
}

func (rep *report) pathCells(ctx context.Context, s *settings, g *rig, round int) error {
	c := newChain(make([]byte, maxBlock))
	down := newFeed(c, theirs, g.ups[0], 1)
	up := newFeed(c, ours, g.replicas[0], 1)
	up.latency = make([]int64, 0, 1<<16)
	if err := g.ups[0].apart(); err != nil {
		return err
	}
	g.receive(g.replicas[0], down, false)
	g.receive(g.ups[0], up, false)
	for _, size := range s.Sizes {
		watch := g.watch(warmTime + 2*s.cell())
		if err := down.flood(size, min(ringBlocks, ringBytes/size)+64, warmTime, g.failed); err != nil {
			return err
		}
		for range warmBlocks {
			if err := up.send(size); err != nil {
				return err
			}
			if err := up.drain(0, g.failed); err != nil {
				return err
			}
		}
		for _, mode := range []string{paced, closed} {
			runtime.GC()
			cpu, at := g.cpu(), time.Now()
			up.begin()
			var err error
			if mode == paced {
				err = up.pace(ctx, size, s.Pace, s.cell(), g.failed)
			} else {
				err = up.loop(ctx, size, s.cell(), g.failed)
			}
			if err != nil {
				return err
			}
			rep.addPath(g.row, round, size, mode, up.end(), g.cpu()-cpu, time.Since(at))
		}
		watch.Stop()
	}
	return nil
}

const (
	paced  = "paced"
	closed = "closed"
)

// cpu is the processor time of the row's process.
func (g *rig) cpu() time.Duration {
	if g.proc == nil {
		return 0
	}
	return g.proc.cpu()
}

// flood sends n blocks as fast as they are taken, for at most d.
func (f *feed) flood(size, n int, d time.Duration, failed <-chan error) error {
	end := time.Now().Add(d)
	for i := 0; i < n && time.Now().Before(end); i++ {
		if err := f.send(size); err != nil {
			return err
		}
		if err := f.drain(window(size), failed); err != nil {
			return err
		}
	}
	return f.drain(0, failed)
}

// window is how many blocks are under way where throughput counts: 4 MB, but 4 at least and 64 at most.
func window(size int) int { return max(4, min(64, 4<<20/size)) }

// pace sends a block each time the interval has passed, whatever became of those before.
func (f *feed) pace(ctx context.Context, size int, interval, d time.Duration, failed <-chan error) error {
	began := time.Now()
	for i := 1; time.Since(began) < d && ctx.Err() == nil; i++ {
		if err := f.send(size); err != nil {
			return err
		}
		time.Sleep(time.Until(began.Add(time.Duration(i) * interval)))
		f.poll()
		if err := f.drain(backlog, failed); err != nil {
			return err
		}
	}
	if err := f.drain(0, failed); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// loop sends a block when the one before has arrived.
func (f *feed) loop(ctx context.Context, size int, d time.Duration, failed <-chan error) error {
	for end := time.Now().Add(d); time.Now().Before(end) && ctx.Err() == nil; {
		if err := f.send(size); err != nil {
			return err
		}
		if err := f.drain(0, failed); err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}
