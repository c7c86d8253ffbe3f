package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"time"

	"github.com/thinrelay/thinrelay/relay/simnet"
)

// simFault is one thing that can happen. It reports false if it cannot happen
// now.
type simFault struct {
	kind   string
	weight int
	strike func(*simGroup) bool
}

var simFaults = []simFault{
	{"kill", 4, (*simGroup).killOne},
	{"quorum-lost", 2, (*simGroup).killTwo},
	{"pause", 3, (*simGroup).pause},
	{"wipe", 2, (*simGroup).wipeOne},
	{"disk-stall", 2, (*simGroup).stallDisk},
	{"disk-error", 1, (*simGroup).breakDisk},
	{"step-down", 3, (*simGroup).stepDown},
	{"partition", 3, (*simGroup).partition},
	{"one-way", 2, (*simGroup).oneWay},
	{"delay", 2, (*simGroup).delay},
	{"cut-upstreams", 2, (*simGroup).cutUpstreams},
	{"one-way-upstream", 2, (*simGroup).oneWayUpstream},
	{"cut-replica", 2, (*simGroup).cutReplica},
	{"replica-restart", 3, (*simGroup).restartReplica},
	{"replica-freeze", 2, (*simGroup).freezeReplica},
	{"source-switch", 3, (*simGroup).holdSpeaker},
	{"finalizer-down", 1, (*simGroup).killFinalizer},
	{"fork-at-tip", 2, (*simGroup).fork},
	{"upstream-lag", 2, (*simGroup).lagUpstream},
	{"upstream-lie", 1, (*simGroup).lie},
	{"upstream-restart", 2, (*simGroup).restartUpstream},
	{"upstream-freeze", 1, (*simGroup).freezeUpstream},
	{"upstream-sync-stall", 1, (*simGroup).stallSync},
	{"heal", 2, (*simGroup).healLines},
}

// fault does one thing to the group.
func (g *simGroup) fault() {
	all := 0
	for _, f := range simFaults {
		all += f.weight
	}
	for {
		pick := g.rng.IntN(all)
		for _, f := range simFaults {
			if pick -= f.weight; pick >= 0 {
				continue
			}
			if f.strike(g) {
				g.counts[f.kind]++
				return
			}
			break
		}
	}
}

// trouble is what a schedule has done and not undone yet.
type trouble struct {
	ended chan struct{}
	wg    sync.WaitGroup
	held  []*simnet.Node
	// lied: relays have left an upstream for its lies. deaf: one hears another
	// upstream no more, which hears it. still: an upstream stands still. Deaf and one of the others at once is beyond what is promised:
	// nobody tells that relay of the network (docs/design.md).
	lied, deaf, still bool
}

// later undoes a fault after a while, unless all is healed before.
func (g *simGroup) later(most time.Duration, undo func()) {
	d := time.Duration(g.rng.Int64N(int64(most)))
	ended := g.trouble.ended
	g.trouble.wg.Go(func() {
		select {
		case <-time.After(d):
			undo()
		case <-ended:
		}
	})
}

// sleep waits up to most.
func (g *simGroup) sleep(most time.Duration) {
	time.Sleep(time.Duration(g.rng.Int64N(int64(most)))) // fake time
}

// victim is a member, the leader every other time.
func (g *simGroup) victim() string {
	if name, m := g.leader(); m != nil && g.rng.IntN(2) == 0 {
		return name
	}
	return simNames[g.rng.IntN(len(simNames))]
}

func upName(i int) string { return fmt.Sprintf("up-%d", i+1) }

func (g *simGroup) killOne() bool {
	name := g.victim()
	g.note("kill %s", name)
	g.kill(name)
	g.sleep(4 * time.Second)
	g.start(name)
	return true
}

// killTwo leaves no quorum.
func (g *simGroup) killTwo() bool {
	order := rand.New(rand.NewPCG(g.rng.Uint64(), 2)).Perm(len(simNames))
	a, b := simNames[order[0]], simNames[order[1]]
	g.note("kill %s and %s", a, b)
	g.kill(a)
	g.sleep(time.Second)
	g.kill(b)
	g.sleep(5 * time.Second)
	g.start(a)
	g.sleep(2 * time.Second)
	g.start(b)
	return true
}

// pause lets nothing of a member get out or in, or onto its disk, as if its process
// were stopped: what it sends arrives when it goes on.
func (g *simGroup) pause() bool {
	name := g.victim()
	s := g.members[name]
	g.note("pause %s", name)
	s.disk.Slow(3 * time.Second)
	g.mem.Isolate(name)
	g.later(6*time.Second, func() {
		g.note("%s goes on", name)
		s.disk.Slow(0)
		g.mem.Rejoin(name)
	})
	return true
}

// wipeOne takes a member's disk away. Without the configuration on both of the
// others that would lose what the group has agreed on, by design.
func (g *simGroup) wipeOne() bool {
	name := g.victim()
	for _, n := range simNames {
		m := g.member(n)
		if m == nil {
			return false
		}
		known := 0
		for _, x := range m.group.Status().Members {
			o := g.member(x.Name)
			if x.Voter && o != nil && o.group.Status().RaftID == x.RaftID {
				known++
			}
		}
		if known != len(simNames) {
			return false
		}
	}
	g.note("kill and wipe %s", name)
	g.kill(name)
	g.members[name].wipe()
	g.sleep(2 * time.Second)
	g.start(name)
	return true
}

func (g *simGroup) stallDisk() bool {
	name := g.victim()
	s := g.members[name]
	d := time.Duration(g.rng.Int64N(int64(3 * time.Second)))
	g.note("writes at %s take %s", name, d)
	s.disk.Slow(d)
	g.later(6*time.Second, func() { s.disk.Slow(0) })
	return true
}

// breakDisk: with an error the member ends, without space it waits.
func (g *simGroup) breakDisk() bool {
	name := g.victim()
	if g.member(name) == nil {
		return false
	}
	s := g.members[name]
	err := []error{syscall.EIO, syscall.ENOSPC}[g.rng.IntN(2)]
	g.note("writes at %s fail: %v", name, err)
	s.disk.Fail(err)
	g.later(4*time.Second, func() { s.disk.Fail(nil) })
	return true
}

func (g *simGroup) stepDown() bool {
	name, m := g.leader()
	if m == nil {
		return false
	}
	to := ""
	if g.rng.IntN(2) == 0 {
		to = simNames[g.rng.IntN(len(simNames))]
	}
	g.note("step down %s to %q", name, to)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	_, err := m.group.StepDown(ctx, to)
	g.note("stepped down: %v", err)
	return true
}

func (g *simGroup) partition() bool {
	name := g.victim()
	g.note("cut %s from the members", name)
	for _, o := range simNames {
		if o != name {
			g.mem.CutBoth(name, o)
		}
	}
	return true
}

func (g *simGroup) oneWay() bool {
	name, other := g.victim(), simNames[g.rng.IntN(len(simNames))]
	if name == other {
		return false
	}
	g.note("cut %s -> %s", name, other)
	g.mem.Cut(name, other)
	return true
}

func (g *simGroup) delay() bool {
	name, other := g.victim(), simNames[g.rng.IntN(len(simNames))]
	if name == other {
		return false
	}
	d := time.Duration(10+g.rng.IntN(490)) * time.Millisecond
	g.note("%s -> %s takes %s", name, other, d)
	g.mem.SetDelay(name, other, d)
	if g.rng.IntN(2) == 0 {
		g.mem.SetDelay(other, name, d)
	}
	return true
}

func (g *simGroup) cutUpstreams() bool {
	names := []string{g.victim()}
	if g.rng.IntN(4) == 0 {
		names = simNames[:]
	}
	g.note("cut %v from the upstreams", names)
	for _, n := range names {
		for i := range upstreams {
			g.mem.CutBoth(n, upName(i))
		}
	}
	return true
}

func (g *simGroup) oneWayUpstream() bool {
	from, to := g.victim(), upName(g.rng.IntN(upstreams))
	if g.rng.IntN(2) == 0 && !g.trouble.lied && !g.trouble.still {
		from, to, g.trouble.deaf = to, from, true
	}
	g.note("cut %s -> %s", from, to)
	g.mem.Cut(from, to)
	return true
}

func (g *simGroup) cutReplica() bool {
	r, name := g.reps[g.rng.IntN(len(g.reps))], g.victim()
	g.note("cut replica %s from %s", r.Name(), name)
	g.mem.CutBoth(r.Name(), name)
	return true
}

func (g *simGroup) restartReplica() bool {
	r := g.reps[g.rng.IntN(len(g.reps))]
	if s := g.speaker(); s != nil && g.rng.IntN(2) == 0 {
		r = s
	}
	g.note("kill replica %s", r.Name())
	if g.rng.IntN(4) == 0 {
		r.Stop()
	} else {
		r.Kill()
	}
	g.sleep(3 * time.Second)
	g.startReplica(r)
	return true
}

func (g *simGroup) startReplica(r *simnet.Replica) {
	if r.Alive() {
		return
	}
	if err := r.Start(); err != nil {
		g.t.Errorf("start %s: %v", r.Name(), err)
	}
}

// speaker is the replica whose blocks leave.
func (g *simGroup) speaker() *simnet.Replica {
	for _, r := range g.reps {
		if r.Name() == g.net.Oracle.Speaker() {
			return r
		}
	}
	return nil
}

func (g *simGroup) freezeReplica() bool {
	r := g.reps[g.rng.IntN(len(g.reps))]
	g.note("freeze replica %s", r.Name())
	r.Freeze()
	g.later(5*time.Second, r.Thaw)
	return true
}

// holdSpeaker makes the replica that speaks stop producing, connected as it is:
// another one becomes the source.
func (g *simGroup) holdSpeaker() bool {
	r := g.speaker()
	if r == nil || r.Node() == nil {
		return false
	}
	n := r.Node()
	g.note("replica %s is told to stop producing", r.Name())
	n.Pause()
	g.trouble.held = append(g.trouble.held, n)
	g.later(5*time.Second, n.Resume)
	return true
}

func (g *simGroup) killFinalizer() bool {
	g.note("kill the finalizer")
	g.fin.Kill()
	g.later(5*time.Second, func() { g.startReplica(g.fin) })
	return true
}
