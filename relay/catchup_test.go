package relay_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/simnet"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// arrivals notes when each block first reached each node.
type arrivals struct {
	mu sync.Mutex
	at map[string]map[wire.ID]time.Time
	// again counts blocks that came more than once.
	again map[string]int
}

func newArrivals() *arrivals {
	return &arrivals{at: make(map[string]map[wire.ID]time.Time), again: make(map[string]int)}
}

func (a *arrivals) event(e simnet.Event) {
	if e.Block == nil || e.Kind != simnet.Received && e.Kind != simnet.Duplicate {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.at[e.Node] == nil {
		a.at[e.Node] = make(map[wire.ID]time.Time)
	}
	if _, known := a.at[e.Node][e.Block.ID]; known {
		a.again[e.Node]++
		return
	}
	a.at[e.Node][e.Block.ID] = e.Time
}

// delay is how long after the first upstream had it each block took to reach
// the node, at most, for blocks since from.
func (a *arrivals) delay(node string, chain []*simnet.Block, from time.Time) (most time.Duration, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, b := range chain {
		at, ok := a.at[node][b.ID]
		first, seen := a.at["up-1"][b.ID]
		if second, ok := a.at["up-2"][b.ID]; ok && (!seen || second.Before(first)) {
			first, seen = second, true
		}
		if ok && seen && at.After(from) {
			most, n = max(most, at.Sub(first)), n+1
		}
	}
	return most, n
}

func (a *arrivals) count(node string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.at[node])
}

// farAway puts half a second between a replica and a relay, so that a sync
// takes a while.
func (f *fleet) farAway(replica string, relay int) {
	f.mem.SetDelay(f.members[relay].name, replica, 250*time.Millisecond)
	f.mem.SetDelay(replica, f.members[relay].name, 250*time.Millisecond)
}

// caughtUp waits until the replica has the network's head, or limit has passed.
func caughtUp(net *simnet.Network, r *simnet.Replica, limit time.Duration) (time.Duration, bool) {
	began := time.Now()
	for time.Since(began) < limit {
		time.Sleep(250 * time.Millisecond)
		want, ok1 := net.Upstream(0).View()
		if got, ok2 := r.Node().View(); ok1 && ok2 && got.Head.Num()+2 >= want.Head.Num() {
			return time.Since(began), true
		}
	}
	return limit, false
}

// A replica 5 000 blocks behind catches up through the relay, with one
// connection per host at the upstreams and with several, while its siblings get
// every block as soon as they would without it, and nothing of ours is lost.
func TestFarBehindCatchesUp(t *testing.T) {
	t.Parallel()
	for _, perHost := range []int{1, 4} {
		t.Run(fmt.Sprintf("connections per host=%d", perHost), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, m := newArrivals(), &tally{}
				f := newFleet(t, fleetConfig{
					relays: 1, mode: director.Votes, load: 1, history: 5200, maxPerHost: perHost, meter: m,
					dials: [][]int{{0}, {0}}, events: a.event,
				})
				defer f.close()
				late, err := f.net.Replica(simnet.ReplicaConfig{Name: "nodeos-z", Relays: f.addrs([]int{0})})
				if err != nil {
					t.Fatal(err)
				}
				rounds(2)
				f.net.Oracle.Begin(f.now())
				before := time.Now()
				rounds(1)
				usual, n := a.delay("nodeos-b", f.net.Upstream(0).Blocks(), before)
				if n < 20 {
					t.Fatalf("nodeos-b got %d blocks in a round, want more", n)
				}
				during := time.Now()
				f.farAway("nodeos-z", 0)
				if err := late.StartBehind(200); err != nil {
					t.Fatal(err)
				}
				took, ok := caughtUp(f.net, late, 2*time.Minute)
				if !ok {
					v, _ := late.Node().View()
					f.dump(during, 100)
					t.Fatalf("the replica is at %d after %v", v.Head.Num(), took)
				}
				if got := m.fetched.Load(); got < 200 {
					t.Errorf("%d blocks are counted as fetched, want at least 200", got)
				}
				time.Sleep(time.Second)
				busy, n := a.delay("nodeos-b", f.net.Upstream(0).Blocks(), during)
				t.Logf("caught up in %v; siblings: %v usually, %v meanwhile over %d blocks", took, usual, busy, n)
				if n < 8 {
					t.Fatalf("%d live blocks passed meanwhile, want more: the test proves nothing", n)
				}
				rounds(1)
				if busy > usual+2*time.Millisecond {
					t.Errorf("a sibling got a block %v after the network while the replica synced, usually %v", busy, usual)
				}
				if got := f.net.Report(); got.Missed != 0 || got.Double != 0 || got.Unlinked != 0 {
					t.Errorf("report=%+v, want nothing missed", brief(got))
				}
			})
		})
	}
}

// An upstream that is slow to serve what it was asked for is not asked again while it
// comes: an older one would begin anew each time. It is once nothing comes any more.
func TestSlowRangeIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, director.Passive, nil)
		defer s.close()
		parent := genesis(100)
		var chain []script
		for range 12 {
			b := child(parent, s.slot+wire.Slot(len(chain)), "bpb", 0, 0)
			chain, parent = append(chain, b), b.id
		}
		up := s.accept(chain[0].id, chain[11].id)
		settle()
		for _, b := range chain[:8] {
			up.write(b.frame)
			time.Sleep(700 * time.Millisecond) // fake time
		}
		if got := up.requests(); len(got) != 1 {
			t.Errorf("asked for %+v while the first range came, want that one alone", got)
		}
		time.Sleep(time.Second) // fake time
		if got := up.requests(); len(got) != 2 || got[1].End != chain[11].id.Num() {
			t.Errorf("asked for %+v, want its head again after a second of silence", got)
		}
	})
}

// A replica is told to sync to what it has had for a while from another relay. A
// nodeos that gets nothing new so does not say that it is done: it waits for the next
// block, and has to get it.
func TestSyncThatBringsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, director.Passive, nil)
		defer s.close()
		var chain []script
		for parent := genesis(100); len(chain) < 40; parent = chain[len(chain)-1].id {
			chain = append(chain, child(parent, s.slot-40+wire.Slot(len(chain)), "bpb", 0, 0))
		}
		at := func(num uint32) script { return chain[num-101] }
		up := s.accept(at(130).id, at(140).id)
		settle()
		for num := uint32(110); num <= 140; num++ {
			up.write(at(num).frame)
		}
		r := s.dial("nodeos-a", at(102).id, at(102).id)
		settle()
		if r.has(at(140).id) {
			t.Fatal("blocks were pushed that do not link to what the replica has told of")
		}
		r.send(&wire.SyncRequest{Start: 121, End: 130})
		settle()
		if !r.has(at(130).id) || r.has(at(131).id) {
			t.Fatal("the range asked for did not come, or more than that")
		}
		time.Sleep(5 * time.Second) // fake time
		next := child(at(140).id, s.slot+10, "bpb", 0, 0)
		up.write(next.frame)
		settle()
		for name, b := range map[string]script{"131": at(131), "140": at(140), "the next": next} {
			if !r.has(b.id) {
				t.Errorf("the replica did not get block %s", name)
			}
		}
	})
}

// The upstream that serves the sync dies in the middle of it: another one goes
// on.
func TestUpstreamDiesDuringSync(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newArrivals()
		f := newFleet(t, fleetConfig{
			relays: 1, mode: director.Votes, load: 1, history: 5200, maxPerHost: 4, dials: [][]int{{0}, {0}}, events: a.event,
		})
		defer f.close()
		late, err := f.net.Replica(simnet.ReplicaConfig{Name: "nodeos-z", Relays: f.addrs([]int{0})})
		if err != nil {
			t.Fatal(err)
		}
		rounds(1)
		began := time.Now()
		f.farAway("nodeos-z", 0)
		f.net.Upstream(0).StallSync(true)
		if err := late.StartBehind(200); err != nil {
			t.Fatal(err)
		}
		for a.count("nodeos-z") < 500 && time.Since(began) < time.Minute {
			time.Sleep(10 * time.Millisecond)
		}
		if n := a.count("nodeos-z"); n > 4000 {
			t.Fatalf("the sync has %d blocks already: the test proves nothing", n)
		}
		f.net.Upstream(0).StallSync(false)
		f.mem.CutBoth("up-2", "r1") // silent from now on, like a host that lost power
		if took, ok := caughtUp(f.net, late, 2*time.Minute); !ok {
			v, _ := late.Node().View()
			f.dump(began, 100)
			t.Fatalf("the replica is at %d after %v", v.Head.Num(), took)
		}
	})
}

// A replica that was away for 300 blocks gets them from the ring, in one piece,
// and the upstreams are not asked.
func TestMediumGapComesFromTheRing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newArrivals()
		f := newFleet(t, fleetConfig{relays: 1, mode: director.Votes, load: 1, dials: [][]int{{0}, {0}, {0}}, events: a.event})
		defer f.close()
		rounds(2)
		f.replicas[2].Stop()
		time.Sleep(150 * time.Second)
		f.net.Upstream(0).StallSync(true)
		f.net.Upstream(1).StallSync(true)
		began := time.Now()
		f.startReplica(f.replicas[2])
		took, ok := caughtUp(f.net, f.replicas[2], 20*time.Second)
		if !ok || took > 3*time.Second {
			v, _ := f.replicas[2].Node().View()
			f.dump(began, 50)
			t.Fatalf("caught up=%v after %v at %d, want at once", ok, took, v.Head.Num())
		}
	})
}

// A replica at a follower that is 5 000 blocks behind syncs through the leader.
func TestFarBehindAtAFollower(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, fleetConfig{relays: 2, mode: director.Votes, load: 1, history: 5200, maxPerHost: 1, dials: [][]int{{0}, {1}}, finalizer: []int{0}})
		defer f.close()
		late, err := f.net.Replica(simnet.ReplicaConfig{Name: "nodeos-z", Relays: f.addrs([]int{1})})
		if err != nil {
			t.Fatal(err)
		}
		rounds(2)
		f.net.Oracle.Begin(f.now())
		began := time.Now()
		f.farAway("nodeos-z", 1)
		if err := late.StartBehind(200); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1500 * time.Millisecond)
		// The leader changes in the middle; the follower becomes the leader.
		f.group.elect(nil)
		f.members[0].resign()
		f.appoint(f.members[1], 100*time.Millisecond)
		took, ok := caughtUp(f.net, late, 2*time.Minute)
		if !ok {
			v, _ := late.Node().View()
			f.dump(began, 100)
			t.Fatalf("the replica is at %d after %v", v.Head.Num(), took)
		}
		t.Logf("caught up in %v", took)
		rounds(1)
		if got := f.net.Report(); got.Missed != 0 || got.Double != 0 || got.Unlinked != 0 {
			f.dump(began, 100)
			t.Errorf("report=%+v, want nothing missed", brief(got))
		}
	})
}

// A replica of two relays is fed by one of them only.
func TestReplicaOfTwoRelaysIsFedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newArrivals()
		f := newFleet(t, fleetConfig{relays: 3, mode: director.Votes, load: 2, dials: [][]int{{0, 1}, {1, 2}, {2, 0}}, events: a.event})
		defer f.close()
		rounds(2)
		a.mu.Lock()
		clear(a.again)
		a.mu.Unlock()
		rounds(3)
		a.mu.Lock()
		defer a.mu.Unlock()
		for _, r := range f.replicas {
			if n := a.again[r.Name()]; n != 0 {
				t.Errorf("%s got %d blocks twice, want none", r.Name(), n)
			}
		}
	})
}

// The relay restarts, as a new process, at any moment of our round: the replicas
// come back, and the next rounds are whole.
func TestRelayRestarts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, fleetConfig{relays: 1, mode: director.Votes, load: 4, dials: [][]int{{0}, {0}, {0}}})
		defer f.close()
		rounds(2)
		begin := time.Now()
		for i := range 6 {
			f.net.Oracle.Begin(f.now())
			f.awaitSlot(2*i, 100*time.Millisecond)
			f.members[0].kill()
			f.group.elect(nil)
			time.Sleep(200 * time.Millisecond)
			f.members[0].start()
			f.appoint(f.members[0], 0)
			time.Sleep(8 * time.Second)
			f.net.Oracle.Begin(f.now())
			rounds(2)
			got := f.net.Report()
			if got.Missed != 0 || got.Double != 0 || got.Unlinked != 0 || got.SlotsOurs < 12 {
				f.dump(begin, 300)
				t.Fatalf("after restart %d: report=%+v, want a whole round", i, brief(got))
			}
		}
	})
}

// A replica that is behind dials two relays. While the far one's answer to its
// handshake is on the way, the near one brings it up to the head: by that answer it
// takes the far one for a node that syncs from it, says so and sends it nothing.
// Told that this is not so, it speaks when that relay has to take over, in the
// middle of our round, when nothing new of the network would tell it.
func TestTakenForSyncing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, fleetConfig{
			relays: 3, mode: director.Votes, load: 1, history: 400, dials: [][]int{{0, 1}}, finalizer: []int{0, 1, 2}, quiet: true,
		})
		defer f.close()
		rounds(2)
		apart := func(relay int, d time.Duration) {
			f.mem.SetDelay(f.members[relay].name, "nodeos-a", d)
			f.mem.SetDelay("nodeos-a", f.members[relay].name, d)
		}
		apart(0, 120*time.Millisecond)
		apart(1, 250*time.Millisecond)
		if err := f.replicas[0].StartBehind(200); err != nil {
			t.Fatal(err)
		}
		if took, ok := caughtUp(f.net, f.replicas[0], time.Minute); !ok {
			t.Fatalf("not caught up after %v", took)
		}
		apart(0, time.Millisecond)
		apart(1, time.Millisecond)
		rounds(2)
		f.net.Oracle.Begin(f.now())
		f.awaitSlot(3, 250*time.Millisecond)
		begin := time.Now()
		f.members[0].kill()
		f.appoint(f.members[1], 600*time.Millisecond)
		time.Sleep(8 * time.Second) // fake time
		if got := f.net.Report(); got.Missed > 0 || got.Double != 0 {
			f.dump(begin, 60)
			t.Errorf("report=%+v, want nothing missed", brief(got))
		}
	})
}

// A chain from before Savanna says nothing of finality in its headers, and an
// upstream tells it once. Long after, a replica further behind than the ring
// reaches is still told to sync, and comes to the head.
func TestFarBehindLongAfterTheUpstreamCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, director.Passive, func(c *relay.Config) { c.RingBlocks = 512 })
		defer s.close()
		prev := child(genesis(100), s.slot, "bpb", 0, 0)
		up := s.accept(prev.id, prev.id)
		up.write(prev.frame)
		chain := map[uint32]script{prev.id.Num(): prev}
		grow := func(n int) {
			for range n {
				time.Sleep(500 * time.Millisecond) // fake time
				prev = child(prev.id, prev.slot+1, "bpb", 0, 0)
				chain[prev.id.Num()] = prev
				up.write(prev.frame)
			}
		}
		grow(1200)
		r := s.dial("a", chain[400].id, chain[410].id)
		settle()
		r.mu.Lock()
		told := r.told
		r.mu.Unlock()
		if len(told) != 1 || told[0].KnownTrx.Pending <= 410 {
			t.Fatalf("told %v, want one notice to sync to a block above its head", told)
		}
		to := told[0].KnownTrx.Pending
		h := greeting("a", r.id, chain[400].id, chain[to].id)
		h.Generation = 2
		r.send(&h)
		grow(4)
		settle()
		if !r.has(prev.id) {
			t.Errorf("after it has synced to %d it does not get block %d", to, prev.id.Num())
		}
	})
}

// A follower that has just started has, on a chain from before Savanna, what a
// replica lacks that has synced up to finality.
func TestFarBehindAtANewFollowerBeforeSavanna(t *testing.T) {
	t.Parallel()
	for _, at := range []int{150, 1250} { // blocks it begins with: below and above what is final
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(t, fleetConfig{
				relays: 2, mode: director.Passive, load: 1, history: 1200, dials: [][]int{{0}}, noFinalizer: true,
				change: func(c *simnet.Config) { c.Legacy, c.LegacyLag = true, 330 },
			})
			defer f.close()
			late, err := f.net.Replica(simnet.ReplicaConfig{Name: "nodeos-z", Relays: f.addrs([]int{1})})
			if err != nil {
				t.Fatal(err)
			}
			rounds(3)
			f.members[1].kill()
			f.members[1].start()
			time.Sleep(2 * time.Second) // fake time
			began := time.Now()
			if err := late.StartBehind(at); err != nil {
				t.Fatal(err)
			}
			if took, ok := caughtUp(f.net, late, 30*time.Second); !ok {
				f.dump(began, 20)
				v, _ := late.Node().View()
				t.Fatalf("from %d it is at %d after %v", at, v.Head.Num(), took)
			}
		})
	}
}

// Finality has fallen behind what the ring holds. A replica that is further behind
// syncs to a block of the ring and goes on from there; it is not told again and again
// to sync to what it has, which a nodeos answers with a handshake.
func TestFarBehindWhileFinalityStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, director.Passive, func(c *relay.Config) { c.RingBlocks = 64 })
		defer s.close()
		prev := child(genesis(100), s.slot, "bpb", 0, 0)
		up := s.accept(prev.id, prev.id)
		up.write(prev.frame)
		chain := map[uint32]script{prev.id.Num(): prev}
		for range 600 {
			time.Sleep(500 * time.Millisecond) // fake time
			prev = child(prev.id, prev.slot+1, "bpb", 0, 0)
			chain[prev.id.Num()] = prev
			up.write(prev.frame)
		}
		root, head := chain[150].id, chain[160].id
		r := s.dial("a", root, head)
		told := 0
		for i := range 80 {
			time.Sleep(50 * time.Millisecond) // fake time
			if i%10 == 0 {
				prev = child(prev.id, prev.slot+1, "bpb", 0, 0)
				up.write(prev.frame)
			}
			r.mu.Lock()
			news := r.told[told:]
			r.mu.Unlock()
			for _, n := range news {
				if told++; n.KnownTrx.Pending > head.Num() {
					head = chain[n.KnownTrx.Pending].id // it syncs
				}
				h := greeting("a", r.id, root, head)
				h.Generation = int16(told + 1)
				r.send(&h)
			}
		}
		if told > 2 || !r.has(prev.id) {
			t.Errorf("told %d times to sync, and it has the last block: %v", told, r.has(prev.id))
		}
	})
}
