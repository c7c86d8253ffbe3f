package relay_test

import (
	"time"

	"github.com/thinrelay/thinrelay/fsm"
	"github.com/thinrelay/thinrelay/relay/simnet"
)

// ahead is what has to be under way before our round begins, and what follows
// from it. It returns how many other things are to happen in the storm.
func (w *storm) ahead() int {
	if w.rng.IntN(2) == 0 {
		return w.plot()
	}
	switch w.rng.IntN(6) {
	case 0:
		w.faults["fork-at-tip"]++
		w.note("the network forks at the tip")
		for _, name := range []string{"bpb", "bpc"} {
			if n, err := w.net.Producer(name); err == nil {
				n.Equivocate(1 + w.rng.IntN(3))
			}
		}
		time.Sleep(w.upTo(2 * stormAhead)) // fake time
	case 1:
		w.lost(true)
		return 0
	case 2:
		w.late()
	case 3:
		w.lost(false)
	case 4:
		w.outdone()
		w.late()
	default:
		time.Sleep(w.upTo(2 * stormAhead)) // fake time
	}
	return 3 + w.rng.IntN(6)
}

// lost: while the group is about to agree on a block that has been sent a
// hand-over fails, and often the replica that signed it falls silent. Twins: the
// replicas sign twice. Leadership stays where it is then: that two leaders use
// two children of one process is beyond the promise (docs/design.md).
func (w *storm) lost(twins bool) {
	if twins {
		w.faults["twins"]++
		w.note("all replicas sign twice in the first slots")
		for _, r := range w.replicas {
			if n := r.Node(); n != nil {
				n.Equivocate(3)
			}
		}
	}
	if !w.await(func(t fsm.Transition) bool { return t.To.Source == t.From.Source && t.To.Height() == t.From.Height()+1 }) {
		return
	}
	r := w.speaker()
	w.handOver()
	switch {
	case w.rng.IntN(2) == 0:
	case twins:
		w.freeze(r)
	default:
		w.silence(r)
	}
}

// silence: the replica is silent from now on, and the network tells nothing of its
// block. Should the right be given to another one, a new leader would use it.
func (w *storm) silence(r *simnet.Replica) {
	if r == nil {
		return
	}
	w.faults["replica-freeze"]++
	w.note("freeze %s for long", r.Name())
	for i := range w.net.Addrs() {
		w.net.Upstream(i).Lag(8 * time.Second)
	}
	r.Freeze()
	defer r.Thaw()
	if w.await(func(t fsm.Transition) bool { return t.Unused }) {
		time.Sleep(w.commit + w.upTo(100*time.Millisecond)) // fake time
		w.succeed()
	}
}

// succeed: the leader is killed, and another one takes over.
func (w *storm) succeed() {
	leader, _ := w.group.current()
	if leader == nil {
		return
	}
	w.faults["kill"]++
	w.note("kill leader %s", leader.name)
	leader.kill()
	w.group.elect(nil)
	time.Sleep(w.upTo(w.commit)) // fake time
	w.promote()
}

// outdone: the leader does not notice that it is one no more, although it hears
// what the group agrees on, and another one leads our round.
func (w *storm) outdone() {
	old, _ := w.group.current()
	if old == nil || old.led == nil {
		return
	}
	old.resign()
	old.lead(w.group.elect(old), true)
	time.Sleep(w.upTo(100 * time.Millisecond)) // fake time
	w.faults["stale-leader"]++
	until := time.Now().Add(2*stormAhead + w.upTo(3*time.Second))
	w.stale = append(w.stale, &staleLeader{old, old.led, until})
	old.led = nil
	w.group.elect(nil)
	w.note("%s is outdone, and goes on until %s", old.name, until.Format("04:05.000"))
	w.promote()
}

// late: the replica whose turn it is does not sign, and goes on, or a hand-over
// fails, while the group is about to agree on another one.
func (w *storm) late() {
	r := w.speaker()
	if r == nil {
		return
	}
	// Not before it has begun its first block, on the network's last.
	time.Sleep(stormAhead - 400*time.Millisecond + w.upTo(350*time.Millisecond)) // fake time
	w.faults["replica-freeze"]++
	w.note("freeze %s before the round", r.Name())
	r.Freeze()
	defer r.Thaw()
	if !w.await(func(t fsm.Transition) bool { return t.Unused }) {
		return
	}
	if w.rng.IntN(2) == 0 {
		w.handOver()
	}
	time.Sleep(w.upTo(w.commit)) // fake time
	w.note("thaw %s", r.Name())
}

// await waits up to 3.5 s for a proposal of a kind to be under way.
func (w *storm) await(kind func(fsm.Transition) bool) bool {
	return w.awaitFor(3500*time.Millisecond, kind)
}

// awaitFor is await for another length of time.
func (w *storm) awaitFor(d time.Duration, kind func(fsm.Transition) bool) bool {
	for range d / (5 * time.Millisecond) {
		if t, ok := w.group.proposed(); ok && kind(t) {
			return true
		}
		time.Sleep(5 * time.Millisecond) // fake time
	}
	return false
}

// handOver fails: the leader ends its work and begins it anew, in the same term.
func (w *storm) handOver() {
	leader, _ := w.group.current()
	if leader == nil || leader.led == nil {
		return
	}
	w.faults["hand-over-fails"]++
	term := leader.led.term
	leader.resign()
	w.note("the hand-over by %s fails", leader.name)
	time.Sleep(w.upTo(min(w.commit, 300*time.Millisecond))) // fake time
	leader.lead(term, false)
}

// freeze stops a replica for up to two seconds.
func (w *storm) freeze(r *simnet.Replica) {
	if r == nil {
		return
	}
	w.faults["replica-freeze"]++
	d := between(w.rng, 50*time.Millisecond, 2*time.Second)
	w.note("freeze %s for %s", r.Name(), d)
	r.Freeze()
	time.AfterFunc(d, r.Thaw)
}

// amid waits, more often than not, until the group is about to agree on something.
func (w *storm) amid() {
	if w.rng.IntN(3) == 0 {
		return
	}
	if w.await(func(fsm.Transition) bool { return true }) {
		time.Sleep(w.upTo(w.commit)) // fake time
	}
}

// divide takes an upstream from each relay, and lets the upstreams lag.
func (w *storm) divide() {
	for _, m := range w.members {
		w.mem.CutBoth(m.name, upName(w.rng.IntN(len(w.net.Addrs()))))
	}
	for i := range w.net.Addrs() {
		w.net.Upstream(i).Lag(between(w.rng, 200*time.Millisecond, 3*time.Second))
	}
}

// strike does one thing.
func (w *storm) strike() {
	leader, _ := w.group.current()
	kind := ""
	switch w.rng.IntN(14) {
	case 0:
		w.amid()
		w.succeed()
	case 1, 2:
		if leader != nil {
			kind = "stale-leader"
			w.amid()
			if w.rng.IntN(2) == 0 {
				w.isolate(leader)
			}
			w.depose(leader)
			time.Sleep(w.upTo(100 * time.Millisecond)) // fake time
			w.promote()
		}
	case 3, 4:
		w.amid()
		w.handOver()
	case 5:
		if leader != nil {
			kind = "step-down"
			w.note("step down %s", leader.name)
			w.group.elect(nil)
			leader.resign()
			w.promote()
		}
	case 6, 7, 8:
		r := w.anyReplica()
		if sp := w.speaker(); sp != nil && w.rng.IntN(3) > 0 {
			r = sp
		}
		w.freeze(r)
	case 9:
		if r := w.speaker(); r != nil && r.Node() != nil {
			kind = "source-switch"
			d := between(w.rng, 50*time.Millisecond, 2*time.Second)
			w.note("%s is told not to produce for %s", r.Name(), d)
			n := r.Node()
			n.Pause()
			time.AfterFunc(d, n.Resume)
		}
	case 10:
		if leader != nil {
			kind = "partition"
			w.isolate(leader)
		}
	case 11:
		kind = "fork-at-tip"
		w.fork()
	case 12:
		if r := w.speaker(); r != nil && r.Node() != nil {
			kind = "backdate"
			w.note("%s signs its next block for the slot of its parent", r.Name())
			r.Node().Backdate(1)
		}
	case 13:
		kind = "replica-restart"
		r := w.anyReplica()
		w.note("restart %s", r.Name())
		r.Kill()
		time.Sleep(w.upTo(500 * time.Millisecond)) // fake time
		w.startReplica(r)
	}
	if kind != "" {
		w.faults[kind]++
	}
}

// isolate cuts the links of a relay and the others.
func (w *storm) isolate(m *member) {
	w.note("cut the links of %s", m.name)
	for _, o := range w.members {
		if o != m {
			w.mem.CutBoth(m.name, o.name)
		}
	}
}
