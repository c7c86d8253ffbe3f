package cluster_test

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/cluster"
	"github.com/thinrelay/thinrelay/cluster/storage"
	"github.com/thinrelay/thinrelay/fsm"
)

var (
	schedules = flag.Int("schedules", 60, "number of seeded fault schedules")
	firstSeed = flag.Uint64("seed", 1, "first seed")
)

// TestSchedules runs seeded fault schedules: kills, restarts, wiped disks, slow, full and broken disks, cut lines in one direction or
// both, delays and step-downs, while whoever leads proposes all that the rule allows and much that it does not. Then: no member's mark has
// ever fallen, all went through the same states (harness), every mark that was confirmed is among them, no member led twice at
// once, what a leader had confirmed carries its term, and the group works again when all is well.
func TestSchedules(t *testing.T) {
	n := *schedules
	if testing.Short() {
		n = min(n, 10)
	}
	began := time.Now()
	var mu sync.Mutex
	ran, lowered, jumps, counts := 0, 0, 0, make(map[string]int)
	t.Run("seed", func(t *testing.T) {
		for i := range n {
			seed := *firstSeed + uint64(i)
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					c := schedule(t, seed)
					mu.Lock()
					defer mu.Unlock()
					ran, lowered, jumps = ran+1, lowered+c.falls, jumps+c.jumps
					for kind, n := range c.counts {
						counts[kind] += n
					}
				})
				if t.Failed() {
					t.Logf("replay: go test ./cluster -run 'TestSchedules$' -seed %d -schedules 1", seed)
				}
			})
		}
	})
	// scripts/schedules.sh adds these up. No blocks pass here.
	line := fmt.Sprintf("schedules tier=cluster n=%d double=0 unlinked=0 lowered=%d blocks=0 seconds=%.1f", ran, lowered, time.Since(began).Seconds())
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		line += fmt.Sprintf(" fault.%s=%d", kind, counts[kind])
	}
	fmt.Fprintln(os.Stderr, line+fmt.Sprintf(" jumps=%d", jumps))
	if ran >= 20 && jumps == 0 {
		t.Error("no member passed over states by a snapshot: none was taken")
	}
}

type chaos struct {
	*world
	rand   *rand.Rand
	counts map[string]int // faults by kind

	proposals atomic.Uint64

	mu    sync.Mutex
	acked []fsm.State
	last  fsm.State // the highest confirmed
}

func schedule(t *testing.T, seed uint64) *chaos {
	c := &chaos{world: newWorld(t, "a", "b", "c"), rand: rand.New(rand.NewPCG(seed, 0)), counts: make(map[string]int)}
	defer c.close()
	c.disksFail = true
	snapshots := seed%2 == 0 // in half of the schedules members go on from snapshots, and get them from each other
	c.tune = func(cfg *cluster.Config) {
		cfg.Settle = 100 * time.Millisecond
		if snapshots {
			cfg.SnapshotEvery(10, 3, 300*time.Millisecond)
		}
	}
	names := []string{"a", "b", "c"}
	for i, name := range names {
		c.members[name].onLead(c.emit(c.members[name], rand.New(rand.NewPCG(seed, uint64(i+1)))))
	}
	c.startAll()
	c.leader()
	for range 25 {
		c.fault(c.members[names[c.rand.IntN(3)]])
		time.Sleep(time.Duration(c.rand.IntN(600)) * time.Millisecond)
	}
	c.net.HealAll()
	for _, m := range c.members {
		m.faults.Slow(0)
		m.faults.Fail(nil)
		if !m.alive() {
			m.start()
		}
	}
	// Whoever was broken may have to be started again.
	at := c.height()
	c.until("progress of all", time.Minute, func() bool {
		for _, m := range c.members {
			if !m.alive() {
				if !errors.Is(m.err, storage.ErrFailed) {
					t.Fatalf("%s: run: %v", m.name, m.err)
				}
				m.start()
			}
			if m.group.State().Mark.Height() < at+3 {
				return false
			}
		}
		return true
	})
	for _, m := range c.members {
		if calls := m.history(); !slices.IsSortedFunc(calls, func(a, b call) int { return cmp.Compare(a.term, b.term) }) {
			t.Errorf("%s went back to an earlier term: %+v", m.name, calls)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.acked {
		if !c.reached(s.Mark) {
			t.Errorf("%v was confirmed and is not among the states", s)
		}
	}
	return c
}

func (c *chaos) height() uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last.Mark.Height()
}

// fault does one bad or good thing to m.
func (c *chaos) fault(m *member) {
	other := c.members[string("abc"[c.rand.IntN(3)])]
	kind := ""
	switch c.rand.IntN(14) {
	case 0:
		if m.alive() {
			kind = "kill"
			m.kill()
		}
	case 1, 2:
		for _, x := range c.members {
			if !x.alive() {
				kind = "start"
				x.start()
			}
		}
	case 3:
		kind = "isolate"
		c.net.Isolate(m.name)
	case 4:
		if m != other {
			kind = "one-way"
			c.net.Cut(m.name, other.name)
		}
	case 5, 6:
		kind = "heal"
		c.net.HealAll()
	case 7:
		kind = "delay"
		c.net.SetDelay(m.name, other.name, time.Duration(c.rand.IntN(60))*time.Millisecond)
	case 8:
		kind = "disk-stall"
		m.faults.Slow(time.Duration(c.rand.IntN(1500)) * time.Millisecond)
	case 9:
		kind = "disk-well"
		m.faults.Slow(0)
		m.faults.Fail(nil)
	case 10:
		kind = "disk-error"
		m.faults.Fail([]error{syscall.EIO, syscall.ENOSPC}[c.rand.IntN(2)])
	case 11:
		if m.alive() {
			kind = "step-down"
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_, _ = m.group.StepDown(ctx, "")
		}
	case 12:
		if c.expendable() {
			kind = "wipe"
			m.kill()
			m.wipe()
			m.start()
		}
	case 13: // as a process that is stopped: nothing gets out or in, or onto its disk
		kind = "pause"
		m.faults.Slow(2 * time.Second)
		c.net.Isolate(m.name)
		time.Sleep(time.Duration(c.rand.IntN(3000)) * time.Millisecond)
		m.faults.Slow(0)
		c.net.Rejoin(m.name)
	}
	if kind != "" {
		c.counts[kind]++
	}
}

// expendable says whether any one disk may be wiped: all members are alive, and each knows all, as they are now, for voters.
// Another one may be what the majority needs, and its loss loses data by design.
func (c *chaos) expendable() bool {
	for _, m := range c.members {
		if !m.alive() {
			return false
		}
		known := 0
		for _, x := range m.group.Status().Members {
			o := c.members[x.Name]
			if x.Voter && o != nil && o.alive() && o.group.Status().RaftID == x.RaftID {
				known++
			}
		}
		if known != len(c.members) {
			return false
		}
	}
	return true
}

// emit proposes until leadership ends.
func (c *chaos) emit(m *member, r *rand.Rand) cluster.Lead {
	return func(ctx context.Context, term uint64) error {
		if !slices.ContainsFunc(m.history(), func(h call) bool { return h.term == term }) {
			c.disagree(fmt.Errorf("%s: call not recorded", m.name))
		}
		for ctx.Err() == nil {
			s := m.group.State()
			tr := fsm.Transition{From: s.Mark, To: mark(s.Mark.Height()+1, byte(r.IntN(250))), Term: term}
			switch r.IntN(6) {
			case 0: // the height again
				tr.To = mark(s.Mark.Height(), byte(r.IntN(250)))
				tr.Unused = r.IntN(3) > 0
			case 1: // from what was
				tr.From = mark(s.Mark.Height()-1, 0)
			case 2: // lower
				tr.To = mark(s.Mark.Height()/2, 9)
				tr.Unused = true
			}
			// No two proposals are alike, so no state comes twice.
			binary.BigEndian.PutUint64(tr.To.Last[8:], c.proposals.Add(1))
			wait, cancel := context.WithTimeout(ctx, time.Duration(1+r.IntN(100))*time.Millisecond)
			err := m.group.Propose(wait, tr)
			cancel()
			if err == nil {
				c.confirmed(m, s, tr)
			}
			select {
			case <-time.After(time.Duration(r.IntN(60)) * time.Millisecond):
			case <-ctx.Done():
			}
		}
		return nil
	}
}

func (c *chaos) confirmed(m *member, from fsm.State, tr fsm.Transition) {
	to, err := from.Apply(tr, tr.Term)
	if err != nil {
		c.disagree(fmt.Errorf("%s: confirmed what the rule refuses: %v: %w", m.name, tr, err))
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acked = append(c.acked, to)
	if to.Mark.Height() > c.last.Mark.Height() {
		c.last = to
	}
}
