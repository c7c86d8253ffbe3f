package cluster_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/cluster"
)

// TestMinority runs schedules in which one member at a time has all the faults, and there are none of the others nor between them. When its faults end the next
// one has them at once, so that whoever was away is needed. The group agrees on something every five seconds at the least.
func TestMinority(t *testing.T) {
	for i := range (*schedules + 7) / 8 { // one takes as long as eight of the others
		seed := *firstSeed + uint64(i)
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { minority(t, seed) })
			if t.Failed() {
				t.Logf("replay: go test ./cluster -run 'TestMinority$' -seed %d -schedules 1", seed)
			}
		})
	}
}

func minority(t *testing.T, seed uint64) {
	c := &chaos{world: newWorld(t, "a", "b", "c"), rand: rand.New(rand.NewPCG(seed, 1)), counts: make(map[string]int), seed: seed, leave: make(map[string]bool)}
	defer c.close()
	c.disksFail = true
	if seed%2 == 0 {
		c.tune = func(cfg *cluster.Config) { cfg.SnapshotEvery(10, 3, 300*time.Millisecond) }
	}
	for _, name := range []string{"a", "b", "c"} {
		c.named(name)
	}
	c.startAll()
	c.leader()
	c.turn = make(chan struct{}, 1)
	var bad atomic.Pointer[member]
	over, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		c.watch(over, &bad)
	}()
	for range 6 {
		m := c.any()
		bad.Store(m)
		for range 6 {
			c.turn <- struct{}{}
			c.faultOf(m)
			<-c.turn
			time.Sleep(time.Duration(c.rand.IntN(2500)) * time.Millisecond) // fake time
		}
		c.net.HealAll()
		m.well()
		c.note("well:" + m.name)
		bad.Store(nil)
		time.Sleep(time.Duration(100+c.rand.IntN(300)) * time.Millisecond) // fake time
	}
	time.Sleep(6 * time.Second) // fake time
	close(over)
	<-watched
}

// watch sees to it that the group agrees on something, and starts who should be there and is not: a broken disk may end a member a moment after it is well.
func (c *chaos) watch(over <-chan struct{}, bad *atomic.Pointer[member]) {
	const limit = 5 * time.Second
	last, since := uint32(0), time.Now()
	for {
		select {
		case <-over:
			return
		case <-time.After(50 * time.Millisecond): // fake time
		}
		c.turn <- struct{}{}
		furthest := uint32(0)
		for _, m := range c.members {
			if m != bad.Load() && !m.alive() {
				m.start()
			}
			furthest = max(furthest, m.group.State().Mark.Height())
		}
		<-c.turn
		if took := time.Since(since); furthest > last {
			last, since = furthest, time.Now()
			if took > limit {
				c.mu.Lock()
				c.t.Errorf("nothing was agreed on for %s, after %s", took, strings.Join(c.notes[max(0, len(c.notes)-12):], " "))
				c.mu.Unlock()
			}
		}
	}
}

// faultOf does one bad or good thing to m, or to its lines.
func (c *chaos) faultOf(m *member) {
	others := c.followers(m)
	other := others[c.rand.IntN(len(others))]
	kind := ""
	switch c.rand.IntN(14) {
	case 0:
		if m.alive() {
			kind = "kill"
			m.kill()
		}
	case 1, 2:
		if !m.alive() {
			kind = "start"
			m.start()
		}
	case 3:
		kind = "isolate"
		c.net.Isolate(m.name)
	case 4:
		kind = "from"
		c.net.Cut(m.name, other.name)
	case 5:
		kind = "to"
		c.net.Cut(other.name, m.name)
	case 6:
		kind = "heal"
		c.net.HealAll()
	case 7: // what the lease bears
		kind = "delay"
		delay := time.Duration(c.rand.IntN(15)) * time.Millisecond
		c.net.SetDelay(m.name, other.name, delay)
		c.net.SetDelay(other.name, m.name, delay)
	case 8: // quick enough to lead, or not at all
		kind = "stall"
		delay := time.Duration(c.rand.IntN(100)+c.rand.IntN(2)*600) * time.Millisecond
		m.faults.Slow(delay)
		m.shots.slow(delay)
	case 9:
		kind = "well"
		m.well()
	case 10:
		kind = "full"
		m.faults.Fail(syscall.ENOSPC)
		m.shots.fail(syscall.ENOSPC)
	case 11:
		kind = "broken"
		m.faults.Fail(syscall.EIO)
	case 12:
		kind = "step-down"
		for _, l := range c.members {
			if l.alive() && !l.group.Status().LeadingSince.IsZero() {
				ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
				_, _ = l.group.StepDown(ctx, "")
				cancel()
			}
		}
	case 13:
		kind = "gone"
		for _, f := range c.members {
			if f.alive() && c.rand.IntN(2) == 0 {
				leader, _ := f.group.Leader()
				f.group.LeaderGone(leader)
			}
		}
	}
	if kind != "" {
		c.note(kind + ":" + m.name)
	}
}

func (c *chaos) note(s string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.notes = append(c.notes, s)
}
