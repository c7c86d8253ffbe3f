package main

import (
	"time"

	"github.com/thinrelay/thinrelay/relay/simnet"
)

// What befalls the network, and the end of all trouble.

// fork makes the network's own producer leave out its predecessor's last
// blocks, or sign two for each of its next slots.
func (g *simGroup) fork() bool {
	n, err := g.net.Producer("bpb")
	if err != nil {
		g.t.Error(err)
		return true
	}
	blocks := 1 + g.rng.IntN(3)
	if g.fin2 != nil {
		g.fin2.Kill() // when it is back it votes for what has become of the fork, and the other host has for what was before
	}
	if g.rng.IntN(2) == 0 {
		g.note("bpb leaves out the last %d blocks before its round", blocks)
		n.Microfork(blocks)
	} else {
		g.note("bpb signs two blocks for %d slots", blocks)
		n.Equivocate(blocks)
	}
	return true
}

func (g *simGroup) lagUpstream() bool {
	i := g.rng.IntN(upstreams)
	d := time.Duration(g.rng.Int64N(int64(3 * time.Second)))
	g.note("%s lags by %s", upName(i), d)
	n := g.net.Upstream(i)
	n.Lag(d)
	g.later(8*time.Second, func() { n.Lag(0) })
	return true
}

// lie makes an upstream send something wrong, also what only a node can know to
// be wrong. But it does not sign our own next block: on this chain, idle now and
// then, that would have the id of the true one (docs/decisions/0016).
func (g *simGroup) lie() bool {
	if g.trouble.deaf {
		return false
	}
	g.trouble.lied = true
	i := g.rng.IntN(upstreams)
	kinds := []simnet.Lie{simnet.LieVote, simnet.LieGarbage, simnet.LieSignature, simnet.LieSchedule}
	kind := kinds[g.rng.IntN(len(kinds))]
	if v, ok := g.net.Upstream(i).View(); kind == simnet.LieSignature && (!ok || g.net.Chain.ProducerAt(v.Head.Slot+1).String() == "bpa") {
		kind = simnet.LieSchedule
	}
	g.note("%s tells lie %d", upName(i), kind)
	g.net.Upstream(i).Lie(kind)
	return true
}

func (g *simGroup) restartUpstream() bool {
	i := g.rng.IntN(upstreams)
	g.note("kill %s", upName(i))
	g.net.Upstream(i).Thaw()
	g.net.KillUpstream(i)
	g.sleep(3 * time.Second)
	if err := g.net.StartUpstream(i); err != nil {
		g.t.Errorf("start %s: %v", upName(i), err)
	}
	return true
}

func (g *simGroup) freezeUpstream() bool {
	if g.trouble.deaf {
		return false
	}
	g.trouble.still = true
	i := g.rng.IntN(upstreams)
	g.note("freeze %s", upName(i))
	n := g.net.Upstream(i)
	n.Freeze()
	g.later(5*time.Second, n.Thaw)
	return true
}

func (g *simGroup) stallSync() bool {
	i := g.rng.IntN(upstreams)
	g.note("%s serves no sync", upName(i))
	n := g.net.Upstream(i)
	n.StallSync(true)
	g.later(8*time.Second, func() { n.StallSync(false) })
	return true
}

func (g *simGroup) healLines() bool {
	g.note("heal all lines")
	g.mem.HealAll()
	return true
}

// healAll undoes everything that has been done.
func (g *simGroup) healAll() {
	close(g.trouble.ended)
	g.mem.HealAll()
	g.distances()
	for _, name := range simNames {
		s := g.members[name]
		s.disk.Slow(0)
		s.disk.Fail(nil)
	}
	g.startDead()
	for i := range upstreams {
		n := g.net.Upstream(i)
		n.Thaw()
		n.Lag(0)
		n.StallSync(false)
	}
	for _, r := range append(g.reps[:3:3], g.fin) {
		r.Thaw()
		g.startReplica(r)
	}
	for _, n := range g.trouble.held {
		n.Resume()
	}
	g.trouble.held, g.trouble.lied, g.trouble.deaf, g.trouble.still = nil, false, false, false
	g.trouble.wg.Wait()
	g.note("all healed")
}
