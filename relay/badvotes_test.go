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
		time.Sleep(time.Second) // it becomes active
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
