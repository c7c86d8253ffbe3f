package relay_test

import (
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// An upstream makes up votes faster than a follower and a node of ours read them. They take
// no more than half of a queue: the link stands, which it would not with a full one, and a
// block finds room.
func TestVoteFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBallots(t)
		defer v.close()
		follower, served, over := v.follow(t)
		defer follower.Close()
		observer, err := v.mem.Host("slow").Dial(v.ctx, "relay:9876")
		if err != nil {
			t.Fatal(err)
		}
		defer observer.Close()
		h := greeting("fin-1", wire.ID{9}, v.base.id, v.base.id)
		f := wire.Encode(&h)
		observer.Write(f.Bytes())
		f.Release()
		settle()

		for n := range uint32(12000) {
			m := wire.Vote{Block: v.base.id, Strong: true}
			binary.BigEndian.PutUint32(m.Key[:], 1000+n)
			v.up.send(&m)
		}
		settle()
		behind := v.count(relay.ReplicaState)
		v.fin.vote(9, v.base.id)
		v.up.write(savanna(v.base.id, v.slot+1, "bpb", 0, 0).frame)
		settle()
		if v.count(relay.LinkDown) > 0 {
			t.Error("the link has ended")
		}
		if v.count(relay.ReplicaState) != behind {
			t.Error("a node of ours is behind")
		}
		served.Close()
		<-over
	})
}

// A node of ours makes up votes. Those of one slot do not fill the queues to the upstreams,
// where our blocks have to go; in the next slot its votes go up again.
func TestFloodOfOurVotes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBallots(t)
		defer v.close()
		for n := range uint32(6000) {
			m := wire.Vote{Block: v.base.id, Strong: true}
			binary.BigEndian.PutUint32(m.Key[:], 1000+n)
			v.fin.send(&m)
		}
		settle()
		if got := v.up.votesFor(v.base.id); got > 600 {
			t.Errorf("%d votes went up", got)
		}
		time.Sleep(wire.SlotInterval) // fake time
		next := savanna(v.base.id, v.slot+1, "bpb", 0, 0)
		v.up.write(next.frame)
		settle()
		v.fin.vote(9, next.id)
		settle()
		if got := v.up.votesFor(next.id); got != 1 {
			t.Errorf("%d votes went up in the next slot, want 1", got)
		}
	})
}
