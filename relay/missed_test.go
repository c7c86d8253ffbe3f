package relay_test

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/simnet"
	"github.com/thinrelay/thinrelay/relay/simnet/memnet"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// catchUps returns the blocks after which a peer was asked for more.
func (p *player) catchUps() (after []wire.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, q := range p.wants {
		if q.ReqBlocks.Mode == wire.ModeCatchUp {
			after = append(after, q.ReqBlocks.IDs...)
		}
	}
	return after
}

// A replica's connection breaks in its round. It is back with a head that is not known
// here: it is asked for what lies between, once, and that leaves, in order.
func TestMissedBlocksAreAskedFor(t *testing.T) {
	for _, tc := range []struct {
		name string
		// back is what the replica says when it is back, with three blocks of which none was heard.
		back func(s *stage, root wire.ID, lost []script) *player
	}{
		{"its handshake tells", func(s *stage, root wire.ID, lost []script) *player {
			return s.dial("a", root, lost[2].id)
		}},
		{"a notice tells", func(s *stage, root wire.ID, lost []script) *player {
			p := s.dial("a", root, root)
			p.send(&wire.Notice{KnownBlocks: wire.IDList{Mode: wire.ModeCatchUp, Pending: lost[2].id.Num(), IDs: []wire.ID{lost[2].id, wire.StartID(1)}}})
			return p
		}},
		{"its next block tells", func(s *stage, root wire.ID, lost []script) *player {
			p := s.dial("a", root, root)
			p.write(lost[2].frame)
			return p
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, director.Passive, nil)
				defer s.close()
				base := child(genesis(100), s.slot, "bpb", 0, 0)
				up := s.accept(base.id, base.id)
				up.write(base.frame)
				a := s.dial("a", base.id, base.id)
				settle()
				one := child(base.id, s.slot+1, "bpa", 0, 0)
				a.write(one.frame)
				settle()
				a.close()
				lost := []script{child(one.id, s.slot+2, "bpa", 0, 0)}
				for range 2 {
					last := lost[len(lost)-1]
					lost = append(lost, child(last.id, last.slot+1, "bpa", 0, 0))
				}
				a = tc.back(s, base.id, lost)
				settle()
				if got := a.catchUps(); !slices.Equal(got, []wire.ID{one.id}) {
					t.Fatalf("asked for what follows %v, want %v once", got, one.id)
				}
				for _, b := range lost {
					a.write(b.frame)
				}
				settle()
				for i, b := range lost {
					if !up.has(b.id) {
						t.Errorf("block %d of those missed did not leave: refused %v", i, s.refused(b.id))
					}
				}
			})
		})
	}
}

// A relay that has just begun hears of the chain after the replica is back, and the round
// is over: it asks for the last blocks all the same.
func TestMissedBlocksBeforeTheChainIsHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, director.Passive, nil)
		defer s.close()
		base := child(genesis(100), (s.slot/12+1)*12-1, "bpb", 0, 0)
		one := child(base.id, base.slot+1, "bpa", 0, 0)
		up := s.accept(base.id, base.id)
		time.Sleep(time.Until(one.slot.Time())) // fake time
		a := s.dial("a", base.id, one.id)
		settle()
		up.write(base.frame)
		time.Sleep(200 * time.Millisecond) // fake time
		if got := a.catchUps(); !slices.Equal(got, []wire.ID{base.id}) {
			t.Fatalf("asked for what follows %v, want %v once", got, base.id)
		}
		a.write(one.frame)
		settle()
		if !up.has(one.id) {
			t.Errorf("the last block of the round did not leave: refused %v", s.refused(one.id))
		}
	})
}

// What a replica may say without being asked for anything: nothing that it has could
// leave, or it is more than our round can hold. And it is not asked over and over.
func TestMissedBlocksAreNotAskedFor(t *testing.T) {
	head := func(p *player, root, id wire.ID) {
		h := greeting("a", p.id, root, id)
		h.Generation = 2
		p.send(&h)
	}
	for _, tc := range []struct {
		name string
		head func(base, one script) wire.ID
		want int
	}{
		{name: "a head that is here", head: func(_, one script) wire.ID { return one.id }},
		{name: "a head as high as ours", head: func(base, _ script) wire.ID { return child(base.id, base.slot+1, "bpa", 7, 0).id }},
		{name: "a head far above", head: func(_, one script) wire.ID { return genesis(one.id.Num() + 25) }},
		{name: "the greatest height", head: func(script, script) wire.ID { return genesis(1<<32 - 1) }},
		{name: "again and again", head: func(_, one script) wire.ID { return genesis(one.id.Num() + 2) }, want: 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, director.Passive, nil)
				defer s.close()
				base := child(genesis(100), s.slot, "bpb", 0, 0)
				up := s.accept(base.id, base.id)
				up.write(base.frame)
				a := s.dial("a", base.id, base.id)
				settle()
				one := child(base.id, s.slot+1, "bpa", 0, 0)
				a.write(one.frame)
				settle()
				for range 25 {
					head(a, base.id, tc.head(base, one))
					time.Sleep(100 * time.Millisecond) // fake time
				}
				if got := a.catchUps(); len(got) != tc.want || a.gone() != nil {
					t.Errorf("asked %d times, connection %v, want %d times", len(got), a.gone(), tc.want)
				}
			})
		})
	}
}

// A replica whose connection is old is told a root of today before it is asked for what was missed: if it has left the
// branch of the block named, it sends all that follows the root that it was told.
func TestMissedBlocksOnAnOldConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, director.Passive, nil)
		defer s.close()
		base := child(genesis(1000), s.slot, "bpb", 0, 0)
		up := s.accept(base.id, base.id)
		up.write(base.frame)
		settle()                                // or the replica may come first, and is told to sync
		a := s.dial("a", genesis(100), base.id) // its root was that when it connected
		chain := []script{base}
		for i := range 40 {
			prev := chain[i]
			next := child(prev.id, prev.slot+1, "bpb", 0, 0)
			if i == 39 {
				next = child(prev.id, prev.slot+1, "bpa", 0, 0) // our round
			}
			time.Sleep(wire.SlotInterval) // fake time
			up.write(next.frame)
			settle()
			chain = append(chain, next)
		}
		tip, final := chain[40], chain[38]
		h := greeting("up", up.id, final.id, tip.id)
		h.Generation = 2
		up.send(&h)
		settle()
		lost := child(tip.id, tip.slot+1, "bpa", 0, 0)
		last := child(lost.id, lost.slot+1, "bpa", 0, 0)
		a.write(last.frame)
		settle()
		if got := a.catchUps(); !slices.Equal(got, []wire.ID{tip.id}) {
			t.Fatalf("asked for what follows %v, want %v", got, tip.id)
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		if len(a.hellos) != 2 {
			t.Fatalf("said %d handshakes, want the echo and one more", len(a.hellos))
		}
		first, second := a.hellos[0], a.hellos[1]
		if second.Generation != 2 || second.NodeID != first.NodeID || second.HeadID != last.id {
			t.Errorf("said %+v, want its own head and generation 2", second)
		}
		if second.RootID != chain[14].id {
			t.Errorf("said root %d, want %d, %d below the last final block", second.RootNum, chain[14].id.Num(), 24)
		}
	})
}

// fragile is a node's transport whose connections can be broken.
type fragile struct {
	simnet.Transport
	mu    sync.Mutex
	conns []net.Conn
}

func (f *fragile) Dial(ctx context.Context, address string) (net.Conn, error) {
	nc, err := f.Transport.Dial(ctx, address)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.conns = append(f.conns, nc)
	return nc, nil
}

// under puts it under a host of the network.
func (f *fragile) under(host string) func(*simnet.Config) {
	return func(c *simnet.Config) {
		transport := c.Host
		c.Host = func(name string) simnet.Transport {
			if name == host {
				f.Transport = transport(name)
				return f
			}
			return transport(name)
		}
	}
}

func (f *fragile) reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, nc := range f.conns {
		nc.(*memnet.Conn).Reset()
	}
	f.conns = nil
}

// The only replica's connection breaks at any moment of our round, at the leader or at a
// follower, for up to two seconds: what it signs meanwhile is late, and nothing is lost.
func TestConnectionBreaksInTheRound(t *testing.T) {
	t.Parallel()
	for _, tc := range some([]struct {
		name  string
		mode  director.Mode
		relay int
		rel   simnet.Release
	}{
		{"at the leader", director.Votes, 0, simnet.Spring12},
		{"at a follower", director.Votes, 1, simnet.Spring12},
		{"in passive mode", director.Passive, 0, simnet.Spring10},
	}) {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				line := &fragile{}
				f := newFleet(t, fleetConfig{
					relays: 2, mode: tc.mode, load: 3, dials: [][]int{{tc.relay}}, finalizer: []int{0, 1},
					replica: func(_ int, c *simnet.ReplicaConfig) { c.Release = tc.rel },
					change:  line.under("nodeos-a"),
				})
				defer f.close()
				rounds(2)
				f.net.Oracle.Begin(f.now())
				at := f.members[tc.relay].name
				for i := range 8 {
					f.awaitSlot(i, time.Duration(50+61*i)*time.Millisecond)
					f.mem.CutBoth(at, "nodeos-a")
					line.reset()
					time.Sleep(time.Duration(100+250*i) * time.Millisecond) // fake time
					f.mem.HealBoth(at, "nodeos-a")
				}
				rounds(1)
				f.clean(80, 0)
			})
		})
	}
}

// A relay that has just begun hears the chain block by block, and for a moment it ends near
// the head of the replica, below that one's last irreversible block. It asks when it is there.
func TestMissedBlocksWhileTheChainComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, director.Passive, nil)
		defer s.close()
		chain := []script{child(genesis(100), (s.slot/12+1)*12-9, "bpb", 0, 0)}
		for range 8 {
			last := chain[len(chain)-1]
			chain = append(chain, child(last.id, last.slot+1, "bpb", 0, 0))
		}
		tip := chain[8]
		one := child(tip.id, tip.slot+1, "bpa", 0, 0)
		up := s.accept(tip.id, tip.id)
		time.Sleep(time.Until(one.slot.Time())) // fake time
		a := s.dial("a", chain[6].id, one.id)
		for _, b := range chain {
			up.write(b.frame)
			time.Sleep(100 * time.Millisecond) // fake time
		}
		if got := a.catchUps(); !slices.Equal(got, []wire.ID{chain[6].id}) && !slices.Equal(got, []wire.ID{tip.id}) {
			t.Fatalf("asked for what follows %v, want the chain's end once", got)
		}
		a.write(one.frame)
		settle()
		if !up.has(one.id) {
			t.Errorf("the last block of the round did not leave: refused %v", s.refused(one.id))
		}
	})
}
