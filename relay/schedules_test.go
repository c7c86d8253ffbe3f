package relay_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/director"
)

var schedules = flag.Int("schedules", 16, "random schedules of leader changes to try")

// Whatever happens to relays, links, replicas and leaderships, in whatever
// order: no two blocks of one height leave, and none that does not link. In
// each schedule deposed leaders go on for a while, not knowing it.
func TestRandomSchedules(t *testing.T) {
	t.Parallel()
	n := *schedules
	if testing.Short() || raceEnabled {
		n = min(n, 2)
	}
	emitted, missed := 0, 0
	for seed := range n {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSchedule(t, uint64(seed))
				defer s.close()
				s.run()
				emitted += s.emitted
				missed += s.missed
			})
		})
	}
	t.Logf("%d schedules: %d blocks emitted, %d slots missed", n, emitted, missed)
}

// schedule is a fleet and the things that happen to it.
type schedule struct {
	*fleet
	rng             *rand.Rand
	emitted, missed int
	log             []string
	stale           []*staleLeader
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
	return &schedule{fleet: newFleet(t, cfg), rng: rng}
}

func (s *schedule) note(format string, args ...any) {
	s.log = append(s.log, time.Now().Format("04:05.000 ")+fmt.Sprintf(format, args...))
}

func (s *schedule) run() {
	rounds(2)
	s.net.Oracle.Begin(s.now())
	begin := time.Now()
	for range 10 {
		s.awaitSlot(s.rng.IntN(12), s.upTo(500*time.Millisecond))
		for range 1 + s.rng.IntN(3) {
			s.step()
			time.Sleep(s.upTo(700 * time.Millisecond))
		}
		s.mend()
	}
	rounds(1)
	got := s.net.Report()
	s.emitted, s.missed = got.Emitted, got.Missed
	doubles, unlinked := s.net.Oracle.Violations()
	if got.Double != 0 || got.Unlinked != 0 || len(doubles)+len(unlinked) != 0 {
		for _, line := range s.log {
			s.t.Log(line)
		}
		s.dump(begin, 600)
		s.t.Fatalf("report=%+v doubles=%+v unlinked=%+v, want none", brief(got), doubles, unlinked)
	}
	if got.Emitted == 0 {
		s.t.Errorf("nothing was emitted: %+v", brief(got))
	}
}

func (s *schedule) upTo(d time.Duration) time.Duration { return time.Duration(s.rng.Int64N(int64(d))) }

// step does one thing.
func (s *schedule) step() {
	leader, _ := s.group.current()
	m := s.members[s.rng.IntN(len(s.members))]
	switch s.rng.IntN(8) {
	case 0:
		if leader != nil {
			s.note("kill leader %s", leader.name)
			leader.kill()
			s.group.elect(nil)
			time.Sleep(s.upTo(time.Second))
			s.promote()
		}
	case 1, 2:
		if leader != nil {
			s.depose(leader)
			time.Sleep(s.upTo(200 * time.Millisecond))
			s.promote()
		}
	case 3:
		if leader != nil {
			s.note("step down %s", leader.name)
			s.group.elect(nil)
			leader.resign()
			s.promote()
		}
	case 4:
		if m.node != nil && m != leader && m.led == nil {
			s.note("kill follower %s", m.name)
			m.kill()
		}
	case 5:
		r := s.replicas[s.rng.IntN(len(s.replicas))]
		s.note("kill %s", r.Name())
		r.Kill()
	case 6:
		r := s.replicas[s.rng.IntN(len(s.replicas))]
		s.note("freeze %s", r.Name())
		r.Freeze()
	case 7:
		if leader != nil {
			s.note("cut the links of %s and %s", leader.name, m.name)
			s.mem.CutBoth(leader.name, m.name)
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
	if leader, _ := s.group.current(); leader == nil {
		s.promote()
	}
}
