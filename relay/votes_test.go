package relay_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/simnet"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// ballots is a stage with an upstream, two replicas and an observer, where
// votes are seen.
type ballots struct {
	*stage
	up, a, b, fin *player
	base          script
}

func newBallots(t *testing.T) *ballots {
	s := newStage(t, director.Votes, nil)
	v := &ballots{stage: s, base: savanna(genesis(100), s.slot, "bpb", 0, 0)}
	v.up = s.accept(v.base.id, v.base.id)
	v.a = s.dial("nodeos-a", v.base.id, v.base.id)
	settle()
	v.b, v.fin = s.dial("nodeos-b", v.base.id, v.base.id), s.dial("fin-1", v.base.id, v.base.id)
	settle()
	v.up.write(v.base.frame)
	v.up.vote(1, v.base.id)
	settle()
	time.Sleep(500 * time.Millisecond) // a replica is chosen
	return v
}

// Votes of others reach the active replica and observers, each once; another
// replica gets them when it becomes active, those of before too.
func TestVoteGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBallots(t)
		defer v.close()
		next := savanna(v.base.id, v.slot+1, "bpb", 0, 0)
		v.up.write(next.frame)
		for range 2 { // a repeat goes nowhere
			v.up.vote(1, next.id)
			v.up.vote(2, next.id)
		}
		settle()
		if got := v.a.votesFor(next.id); got != 2 {
			t.Errorf("the active replica got %d votes, want 2", got)
		}
		if got := v.fin.votesFor(next.id); got != 2 {
			t.Errorf("the observer got %d votes, want 2", got)
		}
		if got := v.b.votesFor(next.id); got != 0 {
			t.Errorf("the standby got %d votes, want none", got)
		}
		v.a.nc.Close()
		settle()
		if got := v.b.votesFor(next.id); got != 2 {
			t.Errorf("the replica that became active got %d votes of before, want 2", got)
		}
		v.up.vote(3, next.id)
		settle()
		if got := v.b.votesFor(next.id); got != 3 {
			t.Errorf("and %d then, want 3", got)
		}
	})
}

// Our votes go up once, and to all our other nodes, standbys included; never
// for a block that the network does not have.
func TestOurVotes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBallots(t)
		defer v.close()
		v.fin.vote(9, v.base.id)
		v.fin.vote(9, v.base.id)
		settle()
		if got := v.up.votesFor(v.base.id); got != 1 {
			t.Errorf("the upstream got our vote %d times, want once", got)
		}
		if v.a.votesFor(v.base.id) != 2 || v.b.votesFor(v.base.id) < 1 || v.fin.votesFor(v.base.id) != 1 {
			t.Errorf("votes at a=%d b=%d fin=%d, want ours at a and b, and others' at a and fin",
				v.a.votesFor(v.base.id), v.b.votesFor(v.base.id), v.fin.votesFor(v.base.id))
		}

		// A vote that comes before its block waits for it.
		one := savanna(v.base.id, v.slot+1, "bpa", 1, 0)
		v.fin.vote(9, one.id)
		time.Sleep(300 * time.Millisecond)
		v.a.write(one.frame)
		settle()
		if got := v.up.votesFor(one.id); got != 1 {
			t.Errorf("a vote 300 ms ahead of its block reached the upstream %d times, want once", got)
		}

		// Half a second at most.
		two := savanna(one.id, v.slot+2, "bpb", 1, 0)
		v.fin.vote(9, two.id)
		time.Sleep(600 * time.Millisecond)
		v.up.write(two.frame)
		settle()
		if got := v.up.votesFor(two.id); got != 0 {
			t.Errorf("a vote held for 600 ms reached the upstream")
		}

		// A vote for a block that is suppressed goes nowhere.
		three, twin := savanna(two.id, v.slot+3, "bpa", 1, 0), savanna(two.id, v.slot+3, "bpa", 2, 0)
		v.a.write(three.frame)
		v.b.write(twin.frame)
		settle()
		loser, signer := twin, v.b
		if v.up.has(twin.id) {
			loser, signer = three, v.a
		}
		if v.up.has(three.id) == v.up.has(twin.id) {
			t.Fatalf("of two blocks for one slot the upstream has three=%v twin=%v, want one", v.up.has(three.id), v.up.has(twin.id))
		}
		signer.vote(8, loser.id)
		time.Sleep(time.Second)
		if v.up.votesFor(loser.id)+v.a.votesFor(loser.id)+v.b.votesFor(loser.id)+v.fin.votesFor(loser.id) != 0 {
			t.Error("a vote for a suppressed block went out")
		}
	})
}

// Two nodes with one finalizer key that vote for different blocks: the second
// vote is dropped and reported.
func TestVoteConflict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBallots(t)
		defer v.close()
		left, right := savanna(v.base.id, v.slot+1, "bpb", 1, 0), savanna(v.base.id, v.slot+1, "bpb", 2, 0)
		v.up.write(left.frame)
		v.up.write(right.frame)
		settle()
		v.a.vote(7, left.id)
		settle()
		v.b.vote(7, right.id)
		settle()
		v.b.vote(7, v.base.id) // an older slot
		settle()
		if got := v.up.votesFor(right.id) + v.up.votesFor(v.base.id); got != 0 || v.up.votesFor(left.id) != 1 {
			t.Errorf("the upstream got %d conflicting votes and the first %d times, want 0 and 1", got, v.up.votesFor(left.id))
		}
		if n := v.count(relay.VoteConflict); n != 2 {
			t.Errorf("%d conflicts reported, want 2", n)
		}
	})
}

// Where no votes are seen for ten seconds, the mode falls back to passive, and
// comes back with the votes.
func TestNoVotesFallBackToPassive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBallots(t)
		defer v.close()
		mode := func() director.Mode {
			s, _ := v.node.Status(t.Context())
			return s.Mode
		}
		if got := mode(); got != director.Votes {
			t.Fatalf("mode %v with votes, want votes", got)
		}
		time.Sleep(9 * time.Second)
		if got := mode(); got != director.Votes {
			t.Errorf("mode %v after 9 s without votes, want votes", got)
		}
		time.Sleep(2 * time.Second)
		if got := mode(); got != director.Passive {
			t.Errorf("mode %v after 11 s without votes, want passive", got)
		}
		v.up.vote(4, v.base.id)
		settle()
		if got := mode(); got != director.Votes {
			t.Errorf("mode %v when votes are back, want votes", got)
		}
	})
}

// On a chain from before Savanna all replicas sign, and an upstream makes votes up. A late
// replica goes on all the same: another one's next block would not link.
func TestVotesThatCannotBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, director.Votes, nil)
		defer s.close()
		first := (s.slot/director.RoundSlots + 1) * director.RoundSlots    // of our round
		at := func(slot wire.Slot) { time.Sleep(time.Until(slot.Time())) } // fake time
		base := child(genesis(100), first-1, "bpb", 0, 0)
		up := s.accept(base.id, base.id)
		replicas := []*player{s.dial("a", base.id, base.id), s.dial("b", base.id, base.id)}
		at(first - 1)
		up.write(base.frame)
		last := []script{base, base}
		for i := range wire.Slot(director.RoundSlots) {
			at(first + i)
			up.vote(byte(i), base.id)
			for r, p := range replicas {
				if r == 0 && i == 5 {
					continue // its block is late
				}
				if r == 0 && i == 6 {
					last[0] = child(last[0].id, first+5, "bpa", 0, 0)
					p.write(last[0].frame)
				}
				last[r] = child(last[r].id, first+i, "bpa", byte(r), 0)
				p.write(last[r].frame)
			}
		}
		settle()
		if changes := s.count(relay.ActiveChange); changes != 1 || !up.has(last[0].id) {
			t.Errorf("the active replica changed %d times, want once, when it came; its last block left: %v", changes, up.has(last[0].id))
		}
	})
}

// Replicas that ignore the gate each sign their own branch, and one of them
// votes for its own too: what reaches the network is one chain.
func TestReplicasThatIgnoreTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, fleetConfig{
			relays: 1, mode: director.Votes, load: 4, dials: [][]int{{0}, {0}, {0}}, noFinalizer: true,
			replica: func(i int, c *simnet.ReplicaConfig) { c.IgnoreVotes, c.Votes = true, i == 0 }, // a voter belongs to one process
		})
		defer f.close()
		rounds(2)
		f.net.Oracle.Begin(f.now())
		rounds(4)
		got := f.net.Report()
		if got.Double != 0 || got.Unlinked != 0 || got.Invalid != 0 || got.Missed != 0 || got.SlotsOurs < 36 {
			f.dump(f.members[0].began, 200)
			t.Fatalf("report=%+v, want nothing missed", brief(got))
		}
		if got.SignedExtra == 0 {
			t.Error("nobody signed beside the active replica: the test proves nothing")
		}
	})
}

// An upstream makes up a vote in our finalizer's name before that has voted: ours goes
// up all the same, and what another relay's echo of it is stays an echo.
func TestVoteInOurNameSilencesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBallots(t)
		defer v.close()
		next := savanna(v.base.id, v.slot+1, "bpb", 0, 0)
		v.up.write(next.frame)
		v.up.send(&wire.Vote{Block: next.id, Strong: true, Key: [96]byte{9}, Sig: [192]byte{0xff}})
		settle()
		before := v.b.votesFor(next.id)
		v.fin.vote(9, next.id)
		settle()
		if got := v.up.votesFor(next.id); got != 1 {
			t.Errorf("the upstream got our vote %d times, want once", got)
		}
		if got := v.b.votesFor(next.id) - before; got != 1 {
			t.Errorf("the standby got our vote %d times, want once", got)
		}
		v.up.vote(8, next.id)
		settle()
		v.a.vote(8, next.id) // the active replica tells what it heard of others to another relay
		settle()
		if v.up.votesFor(next.id) != 1 || v.b.votesFor(next.id)-before != 1 {
			t.Errorf("a vote of others, told again by a replica, went to the upstream or the standby")
		}
	})
}

// A leader's follower holds later votes against those that the leader has cast, once
// it leads: the key has voted already.
func TestVoteConflictAfterATakeover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, director.Votes, nil)
		defer s.close()
		s.stopLead()
		<-s.led
		base := savanna(genesis(100), s.slot, "bpb", 0, 0)
		left, right := savanna(base.id, s.slot+1, "bpb", 1, 0), savanna(base.id, s.slot+1, "bpb", 2, 0)
		a := s.dial("nodeos-a", base.id, base.id)
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
		for _, b := range []script{base, left, right} {
			leader.feed(67, append(append(append([]byte(nil), b.id[:]...), make([]byte, 32)...), 1<<4|1<<5)) // origin: the network
			leader.write(b.frame)
		}
		source := genesis(7)
		leader.feed(68, source[:]) // the next vote is ours
		leader.vote(7, left.id)
		settle()
		leader.close()
		<-ended

		s.lead()
		up := s.accept(base.id, base.id)
		settle()
		if up.gone() != nil { // dialled by the leadership that is over
			up = s.accept(base.id, base.id)
			settle()
		}
		for _, b := range []script{base, left, right} {
			up.write(b.frame)
		}
		settle()
		a.vote(7, right.id)
		settle()
		if got, told := up.votesFor(right.id), s.count(relay.VoteConflict); got != 0 || told != 1 {
			t.Errorf("the upstream got the second vote %d times, and %d conflicts were reported, want 0 and 1", got, told)
		}
		a.vote(7, left.id) // the first, by another way
		settle()
		if told := s.count(relay.VoteConflict); told != 1 {
			t.Errorf("%d conflicts reported, want 1: the vote that was cast is none", told)
		}
	})
}

// A replica from before Savanna closes on a vote: it gets none, also when it becomes
// active.
func TestNoVotesForAnOldReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBallots(t)
		defer v.close()
		old := v.old("nodeos-0", v.base.id)
		v.a.nc.Close()
		v.b.nc.Close()
		time.Sleep(time.Second) // it becomes active
		v.up.vote(2, v.base.id)
		settle()
		if status, _ := v.node.Status(t.Context()); status.Active != old.id {
			t.Errorf("active is %s, want the old replica", status.Active.Short())
		}
		if got := old.votesFor(v.base.id); got != 0 {
			t.Errorf("it got %d votes, want none", got)
		}
	})
}

// A replica from before Savanna signs whatever votes it is given: a sibling's blocks
// are kept from it until the round is over, also while votes are taken to flow.
func TestOldReplicaGetsOursAfterTheRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, director.Votes, nil)
		defer s.close()
		base := savanna(genesis(100), s.slot, "bpb", 0, 0)
		up := s.accept(base.id, base.id)
		up.write(base.frame)
		settle()
		a, b := s.old("nodeos-a", base.id), s.old("nodeos-b", base.id)
		ours := savanna(base.id, s.slot+1, "bpa", 0, 0)
		a.write(ours.frame)
		settle()
		if !up.has(ours.id) || b.has(ours.id) {
			t.Errorf("the upstream has our block: %v, the sibling: %v; want it at the upstream alone", up.has(ours.id), b.has(ours.id))
		}
		time.Sleep(7 * time.Second) // fake time: into the next round
		next := savanna(ours.id, s.slot+14, "bpb", 0, 0)
		up.write(next.frame)
		settle()
		if !b.has(ours.id) || !b.has(next.id) {
			t.Errorf("after the round the sibling has our block: %v, and the next one: %v; want both", b.has(ours.id), b.has(next.id))
		}
	})
}

// old dials a replica of Leap.
func (s *stage) old(name string, head wire.ID) *player {
	s.t.Helper()
	nc, err := s.mem.Host(name).Dial(s.ctx, "relay:9876")
	if err != nil {
		s.t.Fatal(err)
	}
	p := s.meet(name, nc)
	h := greeting(name, p.id, head, head)
	h.NetworkVersion = wire.VersionBase + wire.ProtoLeap
	p.send(&h)
	settle()
	return p
}
