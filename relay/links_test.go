package relay_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/simnet"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// Replicas at any relay of the group work as if they were at the leader: twelve
// of twelve blocks leave, and only the active replica signs.
func TestReplicasAtAnyRelay(t *testing.T) {
	t.Parallel()
	for _, tc := range some([]struct {
		name  string
		dials [][]int
		fin   []int
	}{
		{"all at the leader", [][]int{{0}, {0}, {0}}, []int{0}},
		{"none at the leader", [][]int{{1}, {1}, {2}}, []int{2}},
		{"one each", [][]int{{0}, {1}, {2}}, []int{1}},
		{"two relays each", [][]int{{0, 1}, {1, 2}, {2, 0}}, []int{1, 2}},
		{"two followers each", [][]int{{1, 2}, {2, 1}, {1, 2}}, []int{2, 1}},
	}) {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, fleetConfig{relays: 3, mode: director.Votes, load: 4, dials: tc.dials, finalizer: tc.fin})
				defer f.close()
				rounds(2)
				begin := time.Now()
				f.net.Oracle.Begin(f.now())
				rounds(4)
				got := f.net.Report()
				if got.Double != 0 || got.Unlinked != 0 || got.Missed != 0 || got.SlotsOurs < 36 || got.SignedExtra != 0 {
					f.dump(begin, 200)
					t.Fatalf("report=%+v, want nothing double, unlinked, missed or signed by standbys", brief(got))
				}
			})
		})
	}
}

// repeat returns how often a test repeats what it would do n times.
func repeat(n int) int {
	if raceEnabled {
		return (n + 3) / 4
	}
	return n
}

// some returns the cases of a table that run: all, but every fourth under the race detector. It looks for who touches what
// beside whom, and they differ in when.
func some[T any](cases []T) []T {
	if !raceEnabled {
		return cases
	}
	var few []T
	for i := 0; i < len(cases); i += 4 {
		few = append(few, cases[i])
	}
	return few
}

// lostTo sums the slots missed, those of the last two of a round apart.
func lostTo(r simnet.Report) (lost, last int, slots string) {
	for _, s := range r.Slots {
		switch {
		case s.OnChain:
		case s.Index >= 10:
			last++
		default:
			lost++
			slots += fmt.Sprintf(" %d/%d", uint32(s.Slot)/12, s.Index)
		}
	}
	return lost, last, slots
}

// A leader that is killed at any moment loses no slot: its successor sends what
// the network lacks and goes on with the same replica. Replicas are connected
// to two relays, as an operator would have them.
func TestLeaderKilled(t *testing.T) {
	t.Parallel()
	for _, tc := range some([]struct {
		name  string
		dials [][]int
	}{
		{"two relays each", [][]int{{0, 1}, {1, 2}, {2, 0}}},
		{"at the third relay", [][]int{{2}, {2}, {2}}},
		{"all relays each", [][]int{{0, 1, 2}, {0, 1, 2}, {0, 1, 2}}},
	}) {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, fleetConfig{relays: 3, mode: director.Votes, load: 4, dials: tc.dials, finalizer: []int{0, 1}, seed: 3})
				defer f.close()
				rounds(2)
				f.net.Oracle.Begin(f.now())
				begin := time.Now()
				for i := range repeat(24) {
					f.awaitSlot(i%10, time.Duration(f.group.rng.IntN(500))*time.Millisecond)
					// r1 and r2 take turns; r3 never leads.
					dead, next := f.members[i%2], f.members[(i+1)%2]
					dead.kill()
					f.appoint(next, time.Duration(300+f.group.rng.IntN(600))*time.Millisecond)
					time.Sleep(2 * time.Second)
					dead.start()
					time.Sleep(5 * time.Second)
				}
				rounds(1)
				got := f.net.Report()
				lost, last, which := lostTo(got)
				t.Logf("lost=%d (%s) in the last two of a round=%d %+v", lost, which, last, brief(got))
				if got.Double != 0 || got.Unlinked != 0 || lost != 0 {
					f.dump(begin, 900)
					t.Fatalf("report=%+v, lost %d, want none", brief(got), lost)
				}
			})
		})
	}
}

// All relays start at once, and the leader has its followers before it has an
// upstream: what it hears later goes to them, and so to their replicas.
func TestFollowersComeFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, fleetConfig{relays: 3, mode: director.Votes, load: 3, dials: [][]int{{1}, {2}, {1, 2}}, finalizer: []int{1, 2}})
		defer f.close()
		rounds(2)
		f.group.elect(nil)
		for _, r := range append(f.replicas, f.fin) {
			r.Kill()
		}
		for _, m := range f.members {
			m.kill()
		}
		for i := range f.net.Addrs() {
			f.mem.CutBoth("r1", upName(i))
		}
		for _, m := range f.members {
			m.start()
		}
		f.appoint(f.members[0], 0)
		time.Sleep(3 * time.Second) // fake time
		f.mem.HealAll()
		time.Sleep(time.Second) // fake time
		for _, r := range append(f.replicas, f.fin) {
			f.startReplica(r)
		}
		rounds(2)
		f.net.Oracle.Begin(f.now())
		rounds(2)
		f.clean(12, 0)
		for _, r := range f.replicas {
			v, _ := r.Node().View()
			if up, _ := f.net.Upstream(0).View(); v.Head.Num()+13 < up.Head.Num() {
				t.Errorf("%s: head %s, want it near the network's %s", r.Name(), v.Head, up.Head)
			}
		}
	})
}

// A follower that begins lacks more than its queue holds: it gets all of it on the
// one link, and what comes live after it.
func TestFollowerThatLacksMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, director.Passive, nil)
		defer s.close()
		prev := child(genesis(100), s.slot, "bpb", 0, 0)
		up := s.accept(prev.id, prev.id)
		up.write(prev.frame)
		prev = s.grow(up, prev, 60, 1<<20)
		ln, err := s.mem.Host("relay").Listen("relay:8300")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		nc, err := s.mem.Host("r2").Dial(s.ctx, "relay:8300")
		if err != nil {
			t.Fatal(err)
		}
		served, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- s.node.ServeLink(s.ctx, "r2", served) }()
		follower := s.meet("r2", nc)
		hello := wire.RawFrame(64, append([]byte{1}, make([]byte, 32)...)) // version 1, no tip
		follower.write(hello.Bytes())
		hello.Release()
		prev = s.grow(up, prev, 4, 1<<20)
		if !follower.has(prev.id) || len(follower.got()) < 48 {
			t.Errorf("the follower got %d blocks, the last one: %v; its link ended: %v", len(follower.got()), follower.has(prev.id), follower.gone())
		}
		follower.close()
		<-ended
	})
}

// A follower's last blocks are larger than its queue to a new leader: the newest are
// handed over, and the link stays.
func TestFollowerWithLargeBlocksIntroducesItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, director.Passive, nil)
		defer s.close()
		prev := child(genesis(100), s.slot, "bpb", 0, 0)
		up := s.accept(prev.id, prev.id)
		up.write(prev.frame)
		prev = s.grow(up, prev, 60, 1<<20)
		s.stopLead()
		<-s.led
		s.led <- nil // for close
		ln, err := s.mem.Host("r1").Listen("r1:8300")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		nc, err := s.mem.Host("relay").Dial(s.ctx, "r1:8300")
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- s.node.FollowLink(s.ctx, "r1", nc) }()
		taken, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		leader := s.meet("r1", taken)
		settle()
		if !leader.has(prev.id) || leader.gone() != nil {
			t.Errorf("the leader got %d blocks, the last one: %v; the link ended: %v", len(leader.got()), leader.has(prev.id), leader.gone())
		}
		leader.close()
		<-ended
	})
}

// The first block that a relay hears is a lie of the greatest height there is. The relay
// tells its next leader what it has, and comes to an end with it. In real time: a hub
// that does not stops the clock of a test as well.
func TestGreatestHeight(t *testing.T) {
	s := newStage(t, director.Passive, nil)
	up := s.accept(genesis(100), genesis(100))
	settle()
	up.write(child(genesis(1<<32-2), s.slot, "bpb", 0, 0).frame)
	settle()
	s.stopLead()
	<-s.led
	s.led <- nil // for close
	ours, theirs := net.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- s.node.FollowLink(s.ctx, "r1", ours) }()
	leader := s.meet("r1", theirs)
	time.Sleep(200 * time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, ok := s.node.Status(ctx); !ok {
		t.Fatal("the hub does not answer any more")
	}
	leader.close()
	<-ended
	s.close()
}
