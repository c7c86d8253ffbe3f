package relay_test

import (
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// serveRanges answers sync requests on further connections of an upstream, until ln is closed.
func serveRanges(ln net.Listener, name string, chain []script) {
	for {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			defer nc.Close()
			last := chain[len(chain)-1].id
			h := greeting(name, wire.ID{7}, last, last)
			hello := wire.Encode(&h)
			nc.Write(hello.Bytes())
			hello.Release()
			for r := wire.NewReader(nc); ; {
				f, err := r.Next()
				if err != nil {
					return
				}
				if q, err := wire.ParseSyncRequest(f.Body()); f.Type() == wire.TypeSyncRequest && err == nil {
					for _, b := range chain {
						if b.id.Num() >= q.Start && b.id.Num() <= q.End {
							nc.Write(b.frame)
						}
					}
				}
				f.Release()
			}
		}()
	}
}

// lieBelow has the upstreams answer sync requests for what is below base, each with a chain of its own, and
// the one that lies say that it is ahead.
func (c *trial) lieBelow() (start wire.ID, chains [2][]script) {
	start = genesis(10)
	for i := range chains {
		for prev := start; prev.Num() < c.base.id.Num(); {
			b := child(prev, wire.Slot(prev.Num()), "bpb", byte(i), 0)
			chains[i], prev = append(chains[i], b), b.id
		}
	}
	go serveRanges(c.stage.up, "up", chains[0])
	go serveRanges(c.evilAt, "evil", chains[1])
	boast := greeting("evil", c.evil.id, c.base.id, genesis(c.base.id.Num()+20))
	boast.Generation = 2
	c.evil.send(&boast)
	settle()
	return start, chains
}

// An upstream that says it is ahead of the other one is asked for what a replica lacks that
// is far behind, and has blocks that no nodeos takes. The replica hangs up, comes back, and
// gets those of the other one.
func TestLieDuringSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTrial(t)
		defer c.close()
		start, chains := c.lieBelow()
		sync := func() *player {
			r := c.dial("a", start, start)
			settle()
			r.send(&wire.SyncRequest{Start: start.Num() + 1, End: c.base.id.Num()})
			settle()
			return r
		}
		r := sync()
		expect(t, []*player{r}, chains[1][0], true, "the first time")
		time.Sleep(time.Second) // fake time
		hangUp([]*player{r})
		r = sync()
		expect(t, []*player{r}, chains[1][0], false, "after it hung up")
		expect(t, []*player{r}, chains[0][len(chains[0])-1], true, "after it hung up")
		for range 2 { // for reasons of its own, and on a lie again
			time.Sleep(time.Second) // fake time
			hangUp([]*player{r})
			r = sync()
		}
		expect(t, []*player{r}, chains[0][len(chains[0])-1], true, "after more lies than anything else")
	})
}

// The same where the replica is connected to a follower, which says that it has ended.
func TestLieDuringSyncAtAFollower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTrial(t)
		defer c.close()
		start, chains := c.lieBelow()
		nc, _, ended := c.stage.follow(t)
		follower := c.meet("r2", nc)
		id := wire.ID{1}
		for i, want := range []script{chains[1][0], chains[0][0]} {
			follower.feed(65, append(append(append([]byte(nil), id[:]...), stageChain[:]...), 0, 1, 'a')) // attach, not fit
			settle()
			ours, theirs := net.Pipe()
			served := make(chan error, 1)
			go func() { served <- c.node.ServeSync(c.ctx, theirs) }()
			p := c.meet(fmt.Sprint("sync", i), ours)
			p.send(&wire.SyncRequest{Start: start.Num() + 1, End: c.base.id.Num()})
			settle()
			if got := p.got(); len(got) == 0 || got[0] != want.id {
				t.Errorf("range %d: got %d blocks, the first is the one expected: %v", i, len(got), len(got) > 0 && got[0] == want.id)
			}
			p.close()
			<-served
			follower.feed(66, id[:]) // detach
			settle()
		}
		follower.close()
		<-ended
	})
}
