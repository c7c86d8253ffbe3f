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
	schedules = flag.Int("schedules", 30, "number of seeded fault schedules")
	firstSeed = flag.Uint64("seed", 1, "first seed")
)

// TestSchedules runs seeded fault schedules: kills, restarts, wiped disks, slow, full and broken disks, cut lines in one direction or
// both, delays, step-downs, members that are removed and members that are added, while whoever leads proposes all that the rule allows and much that it does not. Then: no member's mark has
// ever fallen, all went through the same states (harness), every mark that was confirmed is among them, no member led twice at
// once, what a leader had confirmed carries its term, and the group works again when all is well, with every member in it that nobody
// has asked to remove; one that somebody has comes back with an empty disk.
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
	seed   uint64
	names  []string
	leave  map[string]bool // logs that may be none of the group's any more, see remove and again
	wiped  time.Time       // when a voter last lost its disk: for a moment nobody knows

	proposals atomic.Uint64

	mu    sync.Mutex
	acked []fsm.State
	last  fsm.State     // the highest confirmed
	notes []string      // faults, in order; of TestMinority
	turn  chan struct{} // who starts members, or looks at them: a channel, since in fake time nobody may wait for a mutex
}

func schedule(t *testing.T, seed uint64) *chaos {
	c := &chaos{world: newWorld(t, "a", "b", "c"), rand: rand.New(rand.NewPCG(seed, 0)), counts: make(map[string]int), seed: seed, leave: make(map[string]bool)}
	defer c.close()
	c.disksFail = true
	snapshots := seed%2 == 0 // in half of the schedules members go on from snapshots, and get them from each other
	c.tune = func(cfg *cluster.Config) {
		cfg.Settle = 100 * time.Millisecond
		if snapshots {
			// One that keeps many entries behind a snapshot passes them on, also those from before a leader's snapshot.
			keep := uint64(3)
			if (uint64(cfg.Node[0])+seed/2)%2 == 0 {
				keep = 100
			}
			cfg.SnapshotEvery(10, keep, 300*time.Millisecond)
		}
	}
	for _, name := range []string{"a", "b", "c"} {
		c.named(name)
	}
	c.startAll()
	c.leader()
	for range 25 {
		c.fault(c.any())
		time.Sleep(time.Duration(c.rand.IntN(600)) * time.Millisecond)
	}
	c.net.HealAll()
	for _, m := range c.members {
		m.well()
		if !m.alive() {
			c.again(m)
		}
	}
	// Whoever was broken may have to be started again.
	at := c.height()
	c.until("progress of all", time.Minute, func() bool {
		for _, m := range c.members {
			if !m.alive() {
				if !errors.Is(m.err, storage.ErrFailed) && !c.left(m) {
					t.Fatalf("%s: run: %v", m.name, m.err)
				}
				c.again(m)
			}
			c.comeBack(m)
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
	other := c.any()
	kind := ""
	switch c.rand.IntN(16) {
	case 0:
		if m.alive() {
			kind = "kill"
			m.kill()
		}
	case 1, 2:
		for _, x := range c.members {
			if !x.alive() {
				kind = "start"
				c.again(x)
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
		delay := time.Duration(c.rand.IntN(1500)) * time.Millisecond
		m.faults.Slow(delay)
		m.shots.slow(delay)
	case 9:
		kind = "disk-well"
		m.well()
	case 10:
		kind = "disk-error"
		err := []error{syscall.EIO, syscall.ENOSPC}[c.rand.IntN(2)]
		m.faults.Fail(err)
		m.shots.fail(err)
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
			c.wiped = time.Now()
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
	case 14:
		if c.remove(m) {
			kind = "remove"
		}
	case 15:
		if len(c.names) < 5 && c.settled() {
			kind = "add"
			c.expect = 0 // as the guide says: three with empty disks, and nobody else to be seen, would found another cluster
			c.named(string(rune('a' + len(c.names)))).start()
		}
	}
	if kind != "" {
		c.counts[kind]++
	}
}

// settled says whether no member is there that could still found a cluster, or that is joining: while there is, its calls do not name the cluster, and
// another newcomer would not know of its log that all of it is this cluster's (decision 21).
func (c *chaos) settled() bool {
	for _, m := range c.members {
		if a := m.group.Announce(); a.ClusterID == "" || a.Joining || m.alive() && !a.HasState {
			return false
		}
	}
	return true
}

// any returns one of the members.
func (c *chaos) any() *member { return c.members[c.names[c.rand.IntN(len(c.names))]] }

// named returns the member of that name, and makes it if there is none.
func (c *chaos) named(name string) *member {
	m, ok := c.members[name]
	if !ok {
		m = c.add(name)
	}
	c.names = append(c.names, name)
	m.onLead(c.emit(m, rand.New(rand.NewPCG(c.seed, uint64(len(c.names))))))
	return m
}

// remove asks whoever leads to remove m, alive or not, and sometimes wipes its disk at once, so that it comes back as a new member.
func (c *chaos) remove(m *member) bool {
	if time.Since(c.wiped) < 3*time.Second || !c.settled() {
		return false
	}
	for _, name := range c.names {
		l := c.members[name]
		if l == m || !l.alive() || l.group.Status().LeadingSince.IsZero() {
			continue
		}
		c.leave[m.group.Status().RaftID] = true
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(c.rand.IntN(4000))*time.Millisecond)
		defer cancel()
		if err := l.group.Remove(ctx, m.name); err == nil && c.rand.IntN(2) == 0 {
			m.kill()
			m.wipe()
			m.start()
		}
		return true
	}
	return false
}

// again starts a member once more. One that has a log by then and has not recorded its cluster is not known to be joining: if the leader that took it
// in is lost as well, it stays out (decision 21).
func (c *chaos) again(m *member) {
	m.start()
	if a := m.group.Announce(); a.HasState && a.ClusterID == "" {
		c.leave[a.RaftID] = true
	}
}

// left says whether m has ended as one that somebody has removed.
func (c *chaos) left(m *member) bool {
	return errors.Is(m.err, cluster.ErrRemoved) && c.leave[m.group.Status().RaftID]
}

// comeBack wipes the disk of a member that is none any more since somebody has removed it, or whose joining was cut short before it had recorded its
// cluster (decision 21). Who leads knows whether it is: were its log still one of the group's, its loss could lose data.
func (c *chaos) comeBack(m *member) {
	a := m.group.Announce()
	id := a.RaftID
	if !c.leave[id] && (!a.HasState || a.ClusterID != "") {
		return
	}
	for _, l := range c.members {
		s := l.group.Status()
		if !l.alive() || s.LeadingSince.IsZero() || slices.ContainsFunc(s.Members, func(x cluster.Member) bool { return x.RaftID == id }) {
			continue
		}
		m.kill()
		m.wipe()
		m.start()
		return
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
