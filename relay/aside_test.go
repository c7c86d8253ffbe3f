package relay_test

import (
	"bytes"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/simnet"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// trial is a relay with two upstreams, one of which is to lie, and replicas that
// hang up.
type trial struct {
	*stage
	evilAt net.Listener
	base   script
	up     *player
	evil   *player
}

func newTrial(t *testing.T, change ...func(*relay.Config)) *trial {
	t.Helper()
	s := newStage(t, director.Passive, func(c *relay.Config) {
		c.Upstream.Peers = []string{"up:9876", "evil:9876"}
		for _, f := range change {
			f(c)
		}
	})
	ln, err := s.mem.Host("evil").Listen("evil:9876")
	if err != nil {
		t.Fatal(err)
	}
	c := &trial{stage: s, evilAt: ln, base: child(genesis(100), s.slot, "bpb", 0, 0)}
	c.up = s.accept(c.base.id, c.base.id)
	c.evil = c.acceptEvil()
	settle()
	c.up.write(c.base.frame)
	c.evil.write(c.base.frame)
	settle()
	return c
}

func (c *trial) acceptEvil() *player {
	nc, err := c.evilAt.Accept()
	if err != nil {
		c.t.Fatal(err)
	}
	return c.play("evil", nc, c.base.id, c.base.id)
}

func (c *trial) close() {
	c.evilAt.Close()
	c.stage.close()
}

// replicas dials as many replicas, whose head is given.
func (c *trial) replicas(head wire.ID, names ...string) (list []*player) {
	for _, name := range names {
		list = append(list, c.dial(name, c.base.id, head))
	}
	settle()
	return list
}

// hangUp makes replicas close their connections, all that got one of the blocks.
func hangUp(list []*player) {
	for _, r := range list {
		r.close()
	}
	settle()
}

func expect(t *testing.T, list []*player, b script, want bool, when string) {
	t.Helper()
	for _, r := range list {
		if got := r.has(b.id); got != want {
			t.Errorf("%s: %s has block %d: %v, want %v", when, r.name, b.id.Num(), got, want)
		}
	}
}

// One upstream alone tells a block that makes all replicas hang up. They do not
// get it again, nor what builds on it, and follow the chain that the other one
// tells; ours goes on there. The one that lied is dropped.
func TestLieIsSetAside(t *testing.T) {
	for _, lies := range []int{1, 40} { // 40: an upstream that far behind would not be fed
		synctest.Test(t, func(t *testing.T) {
			c := newTrial(t)
			defer c.close()
			r := c.replicas(c.base.id, "a", "b")
			lie := child(c.base.id, c.slot+1, "bpb", 9, 0)
			last := lie
			for i := range lies {
				if i > 0 {
					last = child(last.id, last.slot+1, "bpb", 9, 0)
				}
				c.evil.write(last.frame)
			}
			settle()
			expect(t, r, lie, true, "before it is known for a lie")
			hangUp(r)
			if c.evil.gone() == nil {
				t.Error("the upstream that lied is still connected")
			}
			r = c.replicas(c.base.id, "a", "b")
			expect(t, r, lie, false, "after it was set aside")
			good := child(c.base.id, c.slot+1, "bpb", 1, 0)
			c.up.write(good.frame)
			settle()
			expect(t, r, good, true, "the chain goes on")
			ours := child(good.id, c.slot+2, "bpa", 0, 0)
			r[0].write(ours.frame) // whichever of the two is active
			r[1].write(ours.frame)
			time.Sleep(500 * time.Millisecond)
			expect(t, []*player{c.up}, ours, true, fmt.Sprintf("ours goes on after %d lies, refused %v", lies, c.refused(ours.id)))
			came := make(chan *player)
			go func() { came <- c.acceptEvil() }() // it is tried again after a while
			tip := good
			for c.evil = nil; c.evil == nil; {
				tip = child(tip.id, tip.slot+1, "bpb", 0, 0)
				c.up.write(tip.frame)
				select {
				case c.evil = <-came:
				case <-time.After(500 * time.Millisecond):
				}
			}
			next := child(last.id, last.slot+1, "bpb", 9, 0)
			c.evil.write(next.frame)
			time.Sleep(time.Second)
			expect(t, r, lie, false, "the lie goes on")
			expect(t, r, next, false, "the lie goes on")
			if got := c.count(relay.SetAside); got != 1 {
				t.Errorf("%d lines of blocks set aside, want 1", got)
			}
		})
	}
}

// As soon as a second source has the block it is given to everybody.
func TestSecondSourceReleases(t *testing.T) {
	for name, tell := range map[string]func(c *trial, b script, r *player){
		"upstream":          func(c *trial, b script, _ *player) { c.up.write(b.frame) },
		"upstream, a child": func(c *trial, b script, _ *player) { c.up.write(child(b.id, b.slot+1, "bpb", 3, 0).frame) },
		"head of a replica": func(c *trial, b script, _ *player) { c.dial("c", c.base.id, b.id) },
		"replica's block":   func(c *trial, b script, r *player) { r.write(child(b.id, b.slot+1, "bpa", 3, 0).frame) },
		"vote of a node of ours": func(_ *trial, b script, r *player) {
			r.vote(4, b.id)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newTrial(t)
				defer c.close()
				r := c.replicas(c.base.id, "a", "b")
				b := child(c.base.id, c.slot+1, "bpb", 9, 0)
				c.evil.write(b.frame)
				settle()
				hangUp(r)
				r = c.replicas(c.base.id, "a", "b")
				expect(t, r, b, false, "after it was set aside")
				tell(c, b, r[1])
				settle()
				expect(t, r[:1], b, true, "after somebody else has told it")
				if got := c.count(relay.Readmitted); got != 1 {
					t.Errorf("%d lines of blocks readmitted, want 1", got)
				}
			})
		})
	}
}

// A block that two upstreams have told is not set aside, whoever hangs up.
func TestTwoSourcesAreNotDoubted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTrial(t)
		defer c.close()
		r := c.replicas(c.base.id, "a", "b")
		b := child(c.base.id, c.slot+1, "bpb", 9, 0)
		c.evil.write(b.frame)
		c.up.write(b.frame)
		settle()
		hangUp(r)
		expect(t, c.replicas(c.base.id, "a", "b"), b, true, "when they come back")
		if got := c.count(relay.SetAside); got != 0 {
			t.Errorf("%d blocks set aside, want none", got)
		}
	})
}

// With one upstream, every block has one source. A replica that goes down for
// reasons of its own costs the others nothing, and is itself behind for a second.
func TestRestartWithOneUpstream(t *testing.T) {
	for name, others := range map[string][]string{"alone": nil, "among others": {"b", "c"}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, director.Passive, nil)
				c := &trial{stage: s, base: child(genesis(100), s.slot, "bpb", 0, 0)}
				defer s.close()
				c.up = s.accept(c.base.id, c.base.id)
				settle()
				c.up.write(c.base.frame)
				settle()
				rest := c.replicas(c.base.id, others...)
				a := c.replicas(c.base.id, "a")
				b := child(c.base.id, c.slot+1, "bpb", 0, 0)
				c.up.write(b.frame)
				settle()
				hangUp(a)
				next := child(b.id, c.slot+2, "bpb", 0, 0)
				c.up.write(next.frame)
				settle()
				expect(t, rest, next, true, "the others go on")
				a = c.replicas(c.base.id, "a")
				time.Sleep(time.Second)
				expect(t, a, b, true, "a second later")
				expect(t, a, next, true, "a second later")
			})
		})
	}
}

// An upstream is the first to send a true block, with another signature: the
// other one's takes its place, whether it comes before or after replicas hang up.
func TestTrueBlockWithAFalseSignature(t *testing.T) {
	for name, before := range map[string]bool{"before the replicas hang up": true, "after": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newTrial(t)
				defer c.close()
				r := c.replicas(c.base.id, "a", "b")
				good := child(c.base.id, c.slot+1, "bpb", 9, 0)
				bad := good
				bad.frame = bytes.Clone(good.frame)
				bad.frame[len(bad.frame)-1] ^= 1
				c.evil.write(bad.frame)
				settle()
				if before {
					c.up.write(good.frame)
					settle()
				}
				hangUp(r)
				if !before {
					c.up.write(good.frame)
					settle()
				}
				if c.evil.gone() == nil {
					t.Error("the upstream that lied is still connected")
				}
				next := child(good.id, c.slot+2, "bpb", 9, 0)
				c.up.write(next.frame)
				r = c.replicas(c.base.id, "a", "b")
				expect(t, r, good, true, "when they come back")
				expect(t, r, next, true, "when they come back")
				for _, p := range r {
					if !p.took(good) {
						t.Errorf("%s has got the bytes that nobody takes", p.name)
					}
				}
			})
		})
	}
}

// A vote that makes two replicas hang up, and that one upstream alone has told
// while the others come from both, is not handed to the next active replica. The
// others are.
func TestBadVoteIsNotReplayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTrial(t)
		defer c.close()
		r := c.replicas(c.base.id, "a")
		r = append(r, c.replicas(c.base.id, "b")...) // a is active
		time.Sleep(time.Second)                      // fake time: past leadGrace, which ends at the instant of a settle
		good, bad := c.base, genesis(100)
		for _, up := range []*player{c.up, c.evil} {
			up.vote(1, good.id)
			up.vote(3, good.id)
		}
		c.evil.vote(2, bad)
		settle()
		for _, p := range r {
			if p.votesFor(good.id) != 2 || p.votesFor(bad) != 1 {
				t.Errorf("%s has %d and %d votes, want 2 and 1", p.name, p.votesFor(good.id), p.votesFor(bad))
			}
		}
		hangUp(r[:1])
		hangUp(r[1:]) // after it was handed them in its turn: what ends two at once may be their host
		p := c.replicas(c.base.id, "c")[0]
		time.Sleep(time.Second) // it becomes active
		if p.votesFor(good.id) != 2 || p.votesFor(bad) != 0 {
			t.Errorf("the next active replica is handed %d good and %d bad votes, want 2 and 0", p.votesFor(good.id), p.votesFor(bad))
		}
	})
}

// An upstream tells lies that only a node can see through, again and again, to
// relays whose replicas are here, there, or at followers alone. Replicas lose
// their connections now and then, as it comes back; our rounds go on.
func TestUpstreamLiesOn(t *testing.T) {
	t.Parallel()
	for _, tc := range some([]struct {
		name   string
		relays int
		dials  [][]int
	}{
		{"one relay", 1, [][]int{{0}, {0}, {0}}},
		{"replicas everywhere", 3, [][]int{{0}, {1}, {2}}},
		{"replicas at followers", 3, [][]int{{1}, {1}, {2}}},
	}) {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, fleetConfig{relays: tc.relays, mode: director.Votes, load: 4, dials: tc.dials})
				defer f.close()
				rounds(2)
				f.net.Oracle.Begin(f.now())
				down := f.count(relay.ReplicaDown)
				for i := range repeat(60) {
					f.net.Upstream(1).Lie([]simnet.Lie{simnet.LieSignature, simnet.LieSchedule}[i%2])
					time.Sleep(1700 * time.Millisecond)
				}
				rounds(2)
				got := f.net.Report()
				down = f.count(relay.ReplicaDown) - down
				t.Logf("%d slots of ours, %d missed; %d times a replica was gone, %d blocks set aside", got.SlotsOurs, got.Missed, down, f.count(relay.SetAside))
				f.clean(24, got.SlotsOurs/2)
			})
		})
	}
}
