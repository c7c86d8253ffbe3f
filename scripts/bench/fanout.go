//go:build benchpeers

package main

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"
)

// fanout measures what it costs to bring the upstream's blocks to n replicas: over n connections, each with its own copy
// from the upstream, or over one that the relay multiplies.
func (rep *report) fanout(ctx context.Context, s *settings, r *row, round, n int) error {
	g, err := newRig(ctx, r, n, nil)
	if err != nil {
		return err
	}
	err = rep.fanCells(ctx, s, g, round)
	if err != nil {
		err = errors.Join(err, g.complaints())
	}
	if ended := g.close(); err == nil {
		err = ended
	}
	return err
}

func (rep *report) fanCells(ctx context.Context, s *settings, g *rig, round int) error {
	var feeds []*feed
	rest := make([]byte, maxBlock)
	for i, up := range g.ups {
		to := g.replicas[i : i+1]
		if g.row.shared {
			to = g.replicas
		}
		f := newFeed(newChain(rest), theirs, up, len(to))
		feeds = append(feeds, f)
		for _, p := range to {
			g.receive(p, f, true)
		}
		g.receive(up, newFeed(f.chain, ours, nil, 1), false) // nothing but time messages comes
	}
	for _, size := range s.Sizes {
		watch := g.watch(warmTime + s.cell())
		runtime.GC()
		if err := g.fanCell(ctx, feeds, size, s.cell(), func(c fanCost) { rep.addFan(g, round, size, c) }); err != nil {
			return err
		}
		watch.Stop()
	}
	return ctx.Err()
}

// fanCost is what one measurement of a fan-out shows.
type fanCost struct {
	bytes         int64 // of blocks, at the replicas
	took          time.Duration
	proxy, loader time.Duration // processor time
	pss, peak     int64         // memory, in bytes
}

// fanCell runs all feeds, first to warm up, then for d.
func (g *rig) fanCell(ctx context.Context, feeds []*feed, size int, d time.Duration, report func(fanCost)) error {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for _, f := range feeds {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					if err := f.drain(0, g.failed); err != nil {
						g.fail(err)
					}
					return
				default:
				}
				err := f.send(size)
				if err == nil {
					err = f.drain(window(size)-1, g.failed)
				}
				if err != nil {
					g.fail(err)
					return
				}
			}
		})
	}
	wait := func(d time.Duration) {
		select {
		case <-time.After(d):
		case <-ctx.Done():
		}
	}
	wait(min(d, warmTime/2))
	before, cpu, own, at := g.delivered(), g.cpu(), ownCPU(), time.Now()
	wait(d)
	c := fanCost{bytes: g.delivered() - before, proxy: g.cpu() - cpu, loader: ownCPU() - own, took: time.Since(at)}
	if g.proc != nil {
		c.pss, c.peak = g.proc.memory()
	}
	close(stop)
	wg.Wait()
	select {
	case err := <-g.failed:
		return err
	default:
	}
	report(c)
	return ctx.Err()
}

// delivered is how many bytes of blocks the replicas have got.
func (g *rig) delivered() int64 {
	var sum int64
	for _, p := range g.replicas {
		sum += p.bytes.Load()
	}
	return sum
}
