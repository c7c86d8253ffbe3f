package relay_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// An upstream makes up one vote after another, and each makes the active replica hang up.
// After two of those nothing that it alone tells gets to a replica, but for when nobody
// else tells any.
func TestBadVotesGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTrial(t)
		defer c.close()
		r := c.replicas(c.base.id, "a", "b")
		time.Sleep(time.Second) // fake time: past leadGrace
		good := func(finalizer byte) {
			for _, up := range []*player{c.up, c.evil} {
				up.vote(finalizer, c.base.id)
			}
		}
		good(1)
		good(3)
		good(4)
		c.evil.vote(2, genesis(100))
		settle()
		hangUp(r[:1])
		settle() // the other one is active
		hangUp(r[1:])
		p := c.replicas(c.base.id, "c")[0]
		time.Sleep(time.Second) // fake time: it becomes active
		bad := genesis(101)
		c.evil.vote(2, bad)
		c.evil.vote(5, c.base.id) // and a false one before the true one comes
		settle()
		c.up.send(&wire.Vote{Block: c.base.id, Strong: true, Key: [96]byte{5}, Sig: [192]byte{1}})
		settle()
		if p.votesFor(bad) != 0 || p.votesFor(c.base.id) != 4 {
			t.Errorf("the next active replica has %d bad votes and %d good ones, want 0 and 4", p.votesFor(bad), p.votesFor(c.base.id))
		}
		time.Sleep(5 * time.Second) // fake time: the other one tells none
		c.evil.vote(6, c.base.id)
		settle()
		if p.votesFor(c.base.id) != 5 {
			t.Errorf("a vote that nobody else tells was left out although there are no others")
		}
	})
}

// Two replicas, on one host, end at once, while of each of the upstreams a vote is on its way that
// the other one has not told yet. Both are suspected of it, and for all that the third one is
// given votes: two seconds later it gets all.
func TestVotesWhereAllAreSuspected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTrial(t)
		defer c.close()
		r := c.replicas(c.base.id, "a", "b", "c")
		time.Sleep(time.Second) // fake time: past leadGrace
		both := func(finalizer byte) {
			c.up.vote(finalizer, c.base.id)
			c.evil.vote(finalizer, c.base.id)
			settle()
		}
		for n := range byte(4) {
			both(n)
		}
		c.up.vote(4, c.base.id)
		c.evil.vote(5, c.base.id)
		settle()
		hangUp(r[:1])
		hangUp(r[1:2])
		for n := range byte(30) {
			both(10 + n)
			time.Sleep(wire.SlotInterval / 5) // fake time
		}
		before := r[2].votesFor(c.base.id)
		for n := range byte(10) {
			both(50 + n)
		}
		if n := r[2].votesFor(c.base.id) - before; n != 10 {
			t.Errorf("the third replica was given %d votes, want 10", n)
		}
	})
}

// The same where the first two replicas are connected to a follower, which says that they
// have ended.
func TestBadVotesAtAFollower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTrial(t)
		defer c.close()
		nc, _, ended := c.stage.follow(t)
		follower := c.meet("r2", nc)
		ids := []wire.ID{{1}, {2}}
		for _, id := range ids {
			follower.feed(65, append(append(append([]byte(nil), id[:]...), stageChain[:]...), 1<<3, 1, 'a'+id[0])) // attach, fit
		}
		time.Sleep(time.Second) // fake time: the first one is active
		for n := range byte(3) {
			c.up.vote(n, c.base.id)
			c.evil.vote(n, c.base.id)
		}
		bad := []wire.ID{genesis(100), genesis(101)}
		c.evil.vote(9, bad[0])
		settle()
		for _, id := range ids {
			follower.feed(66, id[:]) // detach
			settle()
		}
		p := c.replicas(c.base.id, "c")[0]
		time.Sleep(time.Second) // fake time: it becomes active
		c.evil.vote(9, bad[1])
		settle()
		if p.votesFor(bad[0])+p.votesFor(bad[1]) != 0 || p.votesFor(c.base.id) != 3 {
			t.Errorf("the next active replica has %d and %d bad votes, and %d good ones, want 0, 0 and 3",
				p.votesFor(bad[0]), p.votesFor(bad[1]), p.votesFor(c.base.id))
		}
		follower.close()
		<-ended
	})
}

// A finalizer host and the active replica, on one host, end at once, while of one upstream a vote is
// on its way that the other one has not told yet. That is one reason to suspect it, and not two.
func TestVotesWhereTwoEndAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTrial(t)
		defer c.close()
		r := c.replicas(c.base.id, "a", "b", "fin-1")
		time.Sleep(time.Second) // fake time: past leadGrace
		for n := range byte(4) {
			c.up.vote(n, c.base.id)
			c.evil.vote(n, c.base.id)
			settle()
		}
		c.up.vote(4, c.base.id)
		settle()
		hangUp(r[2:])
		hangUp(r[:1])
		before := r[1].votesFor(c.base.id)
		c.up.vote(5, c.base.id)
		settle()
		if n := r[1].votesFor(c.base.id) - before; n != 1 {
			t.Errorf("the other replica was given %d votes, want the one that the upstream told", n)
		}
	})
}
