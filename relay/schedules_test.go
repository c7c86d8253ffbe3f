package relay_test

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/simnet"
)

var (
	schedules = flag.Int("schedules", 60, "how many seeded schedules TestRandomSchedules runs")
	firstSeed = flag.Uint64("schedules.first", 0, "the first seed")
)

const (
	// fleetSeason is how many schedules one fleet lives through.
	fleetSeason = 10
	// After the last fault of a schedule a fleet may take speaksAgain until
	// fleetBlocks blocks of ours are final.
	speaksAgain = time.Minute
	fleetBlocks = 6
)

// Whatever happens to relays, links, replicas and leaderships, in whatever
// order: no two blocks of one height leave, and none that does not link, and no relay lets a
// finalizer's key vote for a slot that is not later than the last. Deposed
// leaders go on for a while, not knowing it. A schedule is a sequence of faults of its
// own; after it all is mended, and the fleet has to speak again. A fleet
// lives through several.
func TestRandomSchedules(t *testing.T) {
	total := seasons(t, "fleets", "schedules", *schedules, *firstSeed, func(t *testing.T, seed uint64, n int) fleetCount {
		s := newSchedule(t, seed)
		defer s.close()
		s.run(seed, n)
		return s.fleetCount
	})
	t.Logf("%d slots missed", total.missed)
}

// seasons runs n seeded schedules, fleetSeason of them with each fleet and in
// a bubble of their own, and prints what they add up to. flags is the flag that
// says how many there are; with .first it says which is the first.
func seasons(t *testing.T, tier, flags string, n int, first uint64, season func(t *testing.T, seed uint64, n int) fleetCount) fleetCount {
	t.Helper()
	if testing.Short() || raceEnabled {
		n = min(n, 12)
	}
	name, began := t.Name(), time.Now()
	var mu sync.Mutex
	total := fleetCount{faults: make(map[string]int)}
	t.Run("from", func(t *testing.T) {
		for left, seed := n, first; left > 0; left, seed = left-fleetSeason, seed+fleetSeason {
			n := min(left, fleetSeason)
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					counted := season(t, seed, n)
					mu.Lock()
					defer mu.Unlock()
					total.add(counted)
				})
				if t.Failed() {
					t.Logf("replay: go test ./relay -run %s -%s.first %d -%s %d", name, flags, seed, flags, n)
				}
			})
		}
	})
	fmt.Fprintln(os.Stderr, total.line(tier, time.Since(began)))
	return total
}

// fleetCount is what schedules have done and found.
type fleetCount struct {
	ran, emitted, missed, double, unlinked, lowered int
	faults                                          map[string]int
}

func (a *fleetCount) add(b fleetCount) {
	a.ran += b.ran
	a.emitted += b.emitted
	a.missed += b.missed
	a.double += b.double
	a.unlinked += b.unlinked
	a.lowered += b.lowered
	for kind, n := range b.faults {
		a.faults[kind] += n
	}
}

// line is what scripts/schedules.sh adds up.
func (a *fleetCount) line(tier string, took time.Duration) string {
	line := fmt.Sprintf("schedules tier=%s n=%d double=%d unlinked=%d lowered=%d blocks=%d seconds=%.1f", tier, a.ran, a.double, a.unlinked, a.lowered, a.emitted, took.Seconds())
	for _, kind := range slices.Sorted(maps.Keys(a.faults)) {
		line += fmt.Sprintf(" fault.%s=%d", kind, a.faults[kind])
	}
	return line
}

// schedule is a fleet and the things that happen to it.
type schedule struct {
	*fleet
	fleetCount
	rng   *rand.Rand
	log   []string
	stale []*staleLeader
	held  []*simnet.Node
	fin2  *simnet.Replica // a second host with our finalizer's key, which no operator is to have; nil: none
}

// staleLeader is a relay that goes on leading although the group has moved on.
type staleLeader struct {
	m     *member
	led   *led
	until time.Time
}

func newSchedule(t *testing.T, seed uint64) *schedule {
	rng := rand.New(rand.NewPCG(seed, 11))
	shapes := [][][]int{
		{{0}, {1}, {2}},
		{{0, 1}, {1, 2}, {2, 0}},
		{{1}, {1}, {2}},
		{{0, 1, 2}, {0, 1, 2}},
		{{0, 1}, {0, 1}},
	}
	cfg := fleetConfig{
		seed: seed, relays: 3, load: 3, dials: shapes[rng.IntN(len(shapes))], finalizer: []int{0, 1, 2},
		mode: director.Mode(rng.IntN(2)), commit: time.Duration(1+rng.IntN(80)) * time.Millisecond,
	}
	if rng.IntN(2) == 0 {
		cfg.lag = time.Duration(rng.IntN(300)) * time.Millisecond
	}
	if rng.IntN(2) == 0 {
		cfg.change = func(c *simnet.Config) { c.Others, c.Extra = []string{"bpb"}, []string{"boot1", "boot2"} } // one finalizer of four may fail
	}
	twins := rng.IntN(4) == 0
	s := &schedule{fleet: newFleet(t, cfg), fleetCount: fleetCount{faults: make(map[string]int)}, rng: rng}
	if twins {
		s.fin2 = s.net.Finalizer(simnet.ReplicaConfig{Name: "fin-2", Relays: s.addrs(cfg.finalizer)})
	}
	return s
}

func (s *schedule) note(format string, args ...any) {
	s.log = append(s.log, time.Now().Format("04:05.000 ")+fmt.Sprintf(format, args...))
}

// run goes through n schedules.
func (s *schedule) run(first uint64, n int) {
	rounds(2)
	s.net.Oracle.Begin(s.now())
	for seed := first; seed < first+uint64(n) && !s.t.Failed(); seed++ {
		s.rng = rand.New(rand.NewPCG(seed, 12))
		s.log = nil
		begin := time.Now()
		if s.fin2 != nil && !s.fin2.Alive() {
			s.startReplica(s.fin2)
		}
		s.awaitSlot(s.rng.IntN(12), s.upTo(500*time.Millisecond))
		for range 1 + s.rng.IntN(3) {
			s.step()
			time.Sleep(s.upTo(700 * time.Millisecond))
		}
		s.mend()
		s.judge(seed, begin)
		s.ran++
	}
	s.count()
}

// count takes what the network has seen, and what the group knows.
func (s *schedule) count() {
	got := s.net.Report()
	s.emitted, s.missed, s.double, s.unlinked = got.Emitted, got.Missed, got.Double, got.Unlinked
	s.lowered = s.group.lowered()
	if got.Left < got.Emitted {
		s.t.Errorf("the oracle has seen %d blocks leave, and blocks of %d slots arrive: it does not look at all connections", got.Left, got.Emitted)
	}
	if _, apart, left := s.net.Oracle.Votes(); left == 0 && s.emitted > 0 { // mutants of the rule may let nothing go
		s.t.Error("the oracle has seen no vote leave")
	} else if len(apart) > 0 {
		s.t.Logf("%d votes for a slot for which another relay had let a different one pass, of %d: %+v", len(apart), left, apart[0])
	}
}

// judge waits until blocks of ours are final again.
func (s *schedule) judge(seed uint64, begin time.Time) {
	from, mended, after := s.now(), time.Now(), 0
	for {
		time.Sleep(time.Second)
		got := s.net.Report()
		after = 0
		for _, slot := range got.Slots {
			if slot.Slot > from && slot.OnChain {
				after++
			}
		}
		doubles, unlinked := s.net.Oracle.Violations()
		votes, _, _ := s.net.Oracle.Votes()
		if late := time.Since(mended) > speaksAgain; late || len(doubles)+len(unlinked)+len(votes)+s.group.lowered()+got.Invalid != 0 {
			for _, line := range s.log {
				s.t.Log(line)
			}
			s.dump(begin, 600)
			leader, term := s.group.current()
			s.t.Errorf("schedule %d: report=%+v doubles=%+v unlinked=%+v votes=%+v lowered=%d, %d blocks final since it was mended, want none double, unlinked, voted against, lowered or invalid and %d final; term %d led by %s, state %+v",
				seed, brief(got), doubles, unlinked, votes, s.group.lowered(), after, fleetBlocks, term, leader.name, s.group.State())
			for _, r := range append(s.replicas, s.fin) {
				if n := r.Node(); n != nil {
					v, _ := n.View()
					s.t.Logf("%s: head %s, final %s, paused %q, syncing %v, %d of %d peers", r.Name(), v.Head, v.Root, v.Paused, v.Syncing, v.Connected, v.Peers)
				}
			}
			v, _ := s.net.Upstream(0).View()
			s.t.Logf("up-1: head %s, final %s", v.Head, v.Root)
			return
		}
		if after >= fleetBlocks {
			return
		}
	}
}

func (s *schedule) upTo(d time.Duration) time.Duration { return time.Duration(s.rng.Int64N(int64(d))) }

func (s *schedule) anyReplica() *simnet.Replica { return s.replicas[s.rng.IntN(len(s.replicas))] }

// step does one thing.
func (s *schedule) step() {
	leader, _ := s.group.current()
	m := s.members[s.rng.IntN(len(s.members))]
	up := s.rng.IntN(len(s.net.Addrs()))
	kind := ""
	switch s.rng.IntN(15) {
	case 0:
		if leader != nil {
			kind = "kill"
			s.note("kill leader %s", leader.name)
			leader.kill()
			s.group.elect(nil)
			time.Sleep(s.upTo(time.Second))
			s.promote()
		}
	case 1, 2:
		if leader != nil {
			kind = "stale-leader"
			s.depose(leader)
			time.Sleep(s.upTo(200 * time.Millisecond))
			s.promote()
		}
	case 3:
		if leader != nil {
			kind = "step-down"
			s.note("step down %s", leader.name)
			s.group.elect(nil)
			leader.resign()
			s.promote()
		}
	case 4:
		if m.node != nil && m != leader && m.led == nil && !s.isStale(m) {
			kind = "kill"
			s.note("kill follower %s", m.name)
			m.kill()
		}
	case 5:
		r := s.anyReplica()
		kind = "replica-kill"
		s.note("kill %s", r.Name())
		r.Kill()
	case 6:
		r := s.anyReplica()
		kind = "replica-freeze"
		s.note("freeze %s", r.Name())
		r.Freeze()
	case 7:
		if leader != nil && leader != m {
			kind = "partition"
			s.note("cut the links of %s and %s", leader.name, m.name)
			s.mem.CutBoth(leader.name, m.name)
		}
	case 8:
		if leader != nil && leader != m {
			kind = "one-way"
			from, to := leader.name, m.name
			if s.rng.IntN(2) == 0 {
				from, to = to, from
			}
			s.note("cut %s -> %s", from, to)
			s.mem.Cut(from, to)
		}
	case 9:
		kind = "cut-upstreams"
		s.note("cut %s from up-%d", m.name, up+1)
		s.mem.CutBoth(m.name, upName(up))
	case 10:
		kind = "upstream-lag"
		d := s.upTo(3 * time.Second)
		s.note("up-%d lags by %s", up+1, d)
		s.net.Upstream(up).Lag(d)
	case 11:
		kind = "fork-at-tip"
		s.fork()
	case 12:
		if r := s.speaker(); r != nil && r.Node() != nil {
			kind = "source-switch"
			s.note("%s is told to stop producing", r.Name())
			r.Thaw()
			r.Node().Pause()
			s.held = append(s.held, r.Node())
		}
	case 13:
		r := s.anyReplica()
		kind = "replica-restart"
		s.note("restart %s", r.Name())
		r.Kill()
		time.Sleep(s.upTo(500 * time.Millisecond))
		s.startReplica(r)
	case 14:
		kind = "upstream-lie"
		lie := simnet.Lie(s.rng.IntN(4))
		if v, ok := s.net.Upstream(up).View(); lie == simnet.LieSignature && (!ok || s.net.Chain.ProducerAt(v.Head.Slot+1) == mustName(s.t, "bpa")) {
			lie = simnet.LieSchedule // not our own next block: docs/decisions/0016
		}
		s.note("up-%d tells lie %d", up+1, lie)
		s.net.Upstream(up).Lie(lie)
	}
	if kind != "" {
		s.faults[kind]++
	}
}

// fork makes the network's producers leave out the last blocks before their
// next rounds, or one of them sign two for its next slots.
func (s *schedule) fork() {
	blocks := 1 + s.rng.IntN(3)
	twice := s.rng.IntN(2) == 0
	s.note("fork of %d blocks, signed twice: %v", blocks, twice)
	if s.fin2 != nil {
		s.fin2.Kill() // when it is back it votes for what has become of the fork, and the other host has for what was before
	}
	for _, name := range []string{"bpb", "bpc"} {
		n, err := s.net.Producer(name)
		switch {
		case err != nil:
		case twice:
			n.Equivocate(blocks)
			return
		default:
			n.Microfork(blocks)
		}
	}
}

// depose lets the leader go on for a while although the group has moved on:
// half of the time cut off from it, so that it does not even learn.
func (s *schedule) depose(m *member) {
	l := m.led
	m.led = nil
	cut := s.rng.IntN(2) == 0
	if cut {
		s.group.cut(m, true)
	}
	s.group.elect(nil)
	until := time.Now().Add(s.upTo(3 * time.Second))
	s.note("depose %s (cut=%v), which goes on until %s", m.name, cut, until.Format("04:05.000"))
	s.stale = append(s.stale, &staleLeader{m, l, until})
}

// promote makes a relay that lives, and has no leadership left, lead.
func (s *schedule) promote() {
	s.reap()
	for _, i := range s.rng.Perm(len(s.members)) {
		m := s.members[i]
		if m.node != nil && m.led == nil && !s.isStale(m) {
			s.note("promote %s", m.name)
			m.lead(s.group.elect(m), s.rng.IntN(2) == 0)
			return
		}
	}
	s.note("nobody to promote")
}

func (s *schedule) isStale(m *member) bool {
	for _, st := range s.stale {
		if st.m == m {
			return true
		}
	}
	return false
}

// reap ends the stale leaderships whose time has come.
func (s *schedule) reap() {
	kept := s.stale[:0]
	for _, st := range s.stale {
		if time.Now().Before(st.until) {
			kept = append(kept, st)
			continue
		}
		st.end()
	}
	s.stale = kept
}

func (st *staleLeader) end() {
	st.led.stop()
	<-st.led.ended
	st.m.f.group.cut(st.m, false)
}

// mend brings everything back.
func (s *schedule) mend() {
	for _, st := range s.stale {
		time.Sleep(time.Until(st.until))
		st.end()
	}
	s.stale = nil
	s.mem.HealAll()
	for i := range s.net.Addrs() {
		s.net.Upstream(i).Lag(0)
	}
	for _, r := range s.replicas {
		r.Thaw()
		if !r.Alive() {
			s.startReplica(r)
		}
	}
	for _, m := range s.members {
		if m.node == nil {
			m.start()
		}
	}
	for _, n := range s.held {
		n.Resume()
	}
	s.held = nil
	if leader, _ := s.group.current(); leader == nil {
		s.promote()
	}
}
