package relay_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/simnet/memnet"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// attack is a hostile host: it opens connections to the relay as a replica
// would, and does what it likes.
type attack struct {
	*fleet
	host *memnet.Host
	rng  *rand.Rand
}

func (a *attack) dial() *player {
	nc, err := a.host.Dial(a.t.Context(), "r1:9876")
	if err != nil {
		return nil
	}
	p := &player{t: a.t, name: "evil", nc: nc, done: make(chan struct{})}
	go p.read()
	return p
}

// enter dials and shakes hands as a replica on our chain.
func (a *attack) enter(change func(*wire.Handshake)) *player {
	p := a.dial()
	if p == nil {
		return nil
	}
	var id wire.ID
	binary.BigEndian.PutUint64(id[:], a.rng.Uint64())
	v, _ := a.net.Upstream(0).View()
	h := greeting("evil", id, v.Root.ID, v.Head.ID)
	h.ChainID = a.net.Chain.ID
	if change != nil {
		change(&h)
	}
	p.send(&h)
	return p
}

// bigBlock is a well-formed block of ours with a header that parses and a
// parent nobody knows, as large as a frame may be.
func (a *attack) bigBlock(size int) []byte {
	v, _ := a.net.Upstream(0).View()
	parent := v.Head.ID
	parent[9] = byte(a.rng.Uint32())
	binary.BigEndian.PutUint32(parent[12:], a.rng.Uint32())
	return child(parent, v.Head.Slot+1, "bpa", byte(a.rng.Uint32()), size).frame
}

// Whatever hostile replicas do, the others' rounds stay whole, and memory stays
// bounded.
func TestHostileReplicas(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		during func(a *attack) // for about one round of the schedule
		slots  int
	}{
		{"garbage frames", func(a *attack) {
			for range 200 {
				if p := a.enter(nil); p != nil {
					junk := make([]byte, 300)
					for i := range junk {
						junk[i] = byte(a.rng.Uint32())
					}
					binary.LittleEndian.PutUint32(junk, uint32(a.rng.IntN(296)))
					junk[4] = byte(a.rng.IntN(16))
					p.write(junk)
					time.Sleep(90 * time.Millisecond)
					p.close()
				}
			}
		}, 12},
		{"blocks of 8 MiB that link nowhere", func(a *attack) {
			p := a.enter(nil)
			defer p.close()
			for range repeat(60) {
				p.write(a.bigBlock(8 << 20))
				time.Sleep(300 * time.Millisecond)
			}
		}, 12},
		{"a length of 4 GiB, then nothing", func(a *attack) {
			var open []*player
			for range 50 {
				p := a.enter(nil)
				p.write([]byte{0xff, 0xff, 0xff, 0xff, 7})
				q := a.enter(nil)
				q.write([]byte{0xff, 0xff, 0x7f, 0, 7}) // just under 8 MiB, never finished
				open = append(open, p, q)
				time.Sleep(360 * time.Millisecond)
			}
			for _, p := range open {
				p.close()
			}
		}, 12},
		{"readers that never read", func(a *attack) {
			for range 20 {
				nc, err := a.host.Dial(a.t.Context(), "r1:9876")
				if err != nil {
					continue
				}
				p := &player{t: a.t, nc: nc}
				v, _ := a.net.Upstream(0).View()
				h := greeting("evil", wire.ID{byte(a.rng.Uint32()), 1}, v.Root.ID, v.Head.ID)
				h.ChainID = a.net.Chain.ID
				p.send(&h)
				p.send(&wire.SyncRequest{Start: 1, End: 1 << 30})
				defer nc.Close()
			}
			time.Sleep(18 * time.Second)
		}, 12},
		{"a thousand connects a second", func(a *attack) {
			for range repeat(6000) {
				if nc, err := a.host.Dial(a.t.Context(), "r1:9876"); err == nil {
					time.Sleep(time.Millisecond)
					nc.Close()
				}
			}
			time.Sleep(12 * time.Second)
		}, 12},
		{"another chain", func(a *attack) {
			for range 100 {
				if p := a.enter(func(h *wire.Handshake) { h.ChainID[3] ^= 1 }); p != nil {
					time.Sleep(180 * time.Millisecond)
					p.close()
				}
			}
		}, 12},
		{"forged handshakes", func(a *attack) {
			for i := range 100 {
				p := a.enter(func(h *wire.Handshake) {
					switch i % 5 {
					case 0:
						h.HeadNum, h.RootNum = 1<<31, 1<<31
					case 1:
						h.RootNum = h.HeadNum + 5
					case 2:
						h.Generation = 7
					case 3:
						h.NetworkVersion = 65535
					case 4:
						h.HeadID, h.RootID = wire.ID{1}, wire.ID{2}
					}
				})
				if p != nil {
					p.send(&wire.Request{ReqBlocks: wire.IDList{Mode: wire.ModeCatchUp}})
					time.Sleep(180 * time.Millisecond)
					p.close()
				}
			}
		}, 12},
		{"votes nobody cast", func(a *attack) {
			p := a.enter(nil)
			defer p.close()
			for i := range repeat(18000) {
				var id wire.ID
				binary.BigEndian.PutUint32(id[:], a.rng.Uint32())
				p.vote(byte(i), id)
				if i%100 == 0 {
					time.Sleep(100 * time.Millisecond)
				}
			}
		}, 12},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, fleetConfig{relays: 1, mode: director.Votes, load: 2, dials: [][]int{{0}, {0}}})
				defer f.close()
				rounds(2)
				f.net.Oracle.Begin(f.now())
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				a := &attack{f, f.mem.Host("evil"), rand.New(rand.NewPCG(4, 4))}
				tc.during(a)
				runtime.GC()
				runtime.ReadMemStats(&after)
				rounds(1)
				f.clean(tc.slots, 0)
				if grown := int64(after.HeapInuse) - int64(before.HeapInuse); grown > 400<<20 {
					t.Errorf("memory grew by %d MiB", grown>>20)
				}
				s, _ := f.members[0].node.Status(t.Context())
				if s.RingBytes > 512<<20 {
					t.Errorf("the ring holds %d MiB", s.RingBytes>>20)
				}
			})
		})
	}
}

// A hostile upstream: a replica's feed comes from the honest one, our blocks
// reach it.
func TestHostileUpstream(t *testing.T) {
	for _, tc := range []struct {
		name string
		junk func(rng *rand.Rand, head wire.ID, slot wire.Slot) []byte
	}{
		{"made-up blocks", func(rng *rand.Rand, head wire.ID, slot wire.Slot) []byte {
			binary.BigEndian.PutUint32(head[:], head.Num()+uint32(rng.IntN(4000)))
			head[8] = byte(rng.Uint32())
			return child(head, slot+wire.Slot(rng.IntN(4000)), "bpb", byte(rng.Uint32()), 4<<10).frame
		}},
		{"garbage", func(rng *rand.Rand, _ wire.ID, _ wire.Slot) []byte {
			return append([]byte{200, 0, 0, 0, byte(rng.IntN(16))}, bytes.Repeat([]byte{byte(rng.Uint32())}, 199)...)
		}},
		{"notices of blocks nobody has", func(rng *rand.Rand, head wire.ID, _ wire.Slot) []byte {
			binary.BigEndian.PutUint32(head[:], rng.Uint32())
			return wire.Append(nil, &wire.Notice{
				KnownTrx:    wire.IDList{Mode: wire.ModeLastIrrCatchUp, Pending: head.Num()},
				KnownBlocks: wire.IDList{Mode: wire.ModeLastIrrCatchUp, Pending: head.Num(), IDs: []wire.ID{head}},
			})
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, director.Passive, func(c *relay.Config) { c.Upstream.Peers = []string{"up:9876", "evil:9876"} })
				defer s.close()
				base := child(genesis(100), s.slot, "bpb", 0, 0)
				up := s.accept(base.id, base.id)
				r := s.dial("nodeos-a", base.id, base.id)
				settle()
				up.write(base.frame)
				settle()
				ln, err := s.mem.Host("evil").Listen("evil:9876")
				if err != nil {
					t.Fatal(err)
				}
				rng := rand.New(rand.NewPCG(5, 5))
				stop, ended := make(chan struct{}), make(chan struct{})
				defer func() {
					close(stop)
					ln.Close()
					<-ended
				}()
				go func() {
					defer close(ended)
					for {
						nc, err := ln.Accept()
						if err != nil {
							return
						}
						p := &player{t: t, nc: nc, done: make(chan struct{})}
						go p.read()
						h := greeting("evil", wire.ID{9}, base.id, base.id)
						p.send(&h)
						for i := 0; p.gone() == nil; i++ {
							p.write(tc.junk(rng, base.id, s.slot))
							if i%20 == 0 {
								time.Sleep(10 * time.Millisecond)
							}
							select {
							case <-stop:
								p.close()
								return
							default:
							}
						}
						p.close()
					}
				}()
				prev := base
				for i := range 20 {
					producer, from := "bpb", up
					if i >= 10 {
						producer, from = "bpa", r
					}
					b := child(prev.id, prev.slot+1, producer, 0, 0)
					from.write(b.frame)
					time.Sleep(500 * time.Millisecond)
					if to := map[bool]*player{true: up, false: r}[i >= 10]; !to.has(b.id) {
						t.Fatalf("block %d by %s did not arrive; refused %v", i, producer, s.refused(b.id))
					}
					prev = b
				}
			})
		})
	}
}

// The first block a relay hears is a lie: the chain that then goes on elsewhere
// is taken up all the same, after a while.
func TestFirstBlockIsALie(t *testing.T) {
	for _, height := range []uint32{1, 3000, 1 << 20, 1 << 31, 1<<32 - 3} {
		t.Run(fmt.Sprint(height), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { firstBlockIsALie(t, height) })
		})
	}
}

func firstBlockIsALie(t *testing.T, height uint32) {
	s := newStage(t, director.Passive, nil)
	defer s.close()
	base := child(genesis(100), s.slot, "bpb", 0, 0)
	up := s.accept(base.id, base.id)
	lie := child(genesis(height), s.slot+900, "bpb", 0, 0)
	up.write(lie.frame)
	settle()
	prev, healed := base, 0
	for i := range 60 {
		b := child(prev.id, prev.slot+1, "bpb", 0, 0)
		up.write(b.frame)
		time.Sleep(500 * time.Millisecond) // fake time
		if status, _ := s.node.Status(t.Context()); status.Tip.ID == b.id {
			healed++
		} else if healed > 0 {
			t.Fatalf("block %d did not arrive although one before it did", i)
		}
		prev = b
	}
	if healed < 30 {
		t.Errorf("%d of 60 blocks arrived, want those after ten seconds at least", healed)
	}
}

// The upstream that comes first lies, of a chain that links to nothing, and goes on
// with it. The replicas get, and keep, the chain of the other one after a while; if
// that one came first they never lose it.
func TestFirstUpstreamLiesOn(t *testing.T) {
	for _, tc := range []struct {
		height uint32
		last   bool // the liar comes last
		needed int  // of 120 blocks
	}{{100, false, 90}, {130, false, 90}, {3000, false, 90}, {1 << 20, false, 90}, {130, true, 120}, {3000, true, 120}} {
		t.Run(fmt.Sprint(tc.height, tc.last), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, director.Passive, func(c *relay.Config) { c.Upstream.Peers = []string{"up:9876", "evil:9876"} })
				defer s.close()
				ln, err := s.mem.Host("evil").Listen("evil:9876")
				if err != nil {
					t.Fatal(err)
				}
				defer ln.Close()
				base := child(genesis(100), s.slot, "bpb", 0, 0)
				chain := []script{base}
				lie := child(genesis(tc.height), s.slot, "bpb", 9, 0)
				nc, err := ln.Accept()
				if err != nil {
					t.Fatal(err)
				}
				var up, evil *player
				for _, honest := range []bool{tc.last, !tc.last} {
					if honest {
						up = s.accept(base.id, base.id)
						up.write(base.frame)
					} else {
						evil = s.play("evil", nc, lie.id, lie.id)
						evil.write(lie.frame)
					}
					settle()
				}
				r := []*player{s.dial("a", base.id, base.id), s.dial("b", base.id, base.id)}
				came, served := 0, 0
				for range 120 {
					last := chain[len(chain)-1]
					good := child(last.id, last.slot+1, "bpb", 0, 0)
					chain = append(chain, good)
					lie = child(lie.id, lie.slot+1, "bpb", 9, 0)
					evil.write(lie.frame)
					for _, q := range up.requests()[served:] {
						served++
						for _, b := range chain {
							if b.id.Num() >= q.Start && b.id.Num() <= q.End {
								up.write(b.frame)
							}
						}
					}
					up.write(good.frame)
					time.Sleep(500 * time.Millisecond) // fake time
					for i, p := range r {
						p.send(&wire.Time{Xmt: time.Now().UnixNano()})
						for _, id := range p.got() { // a nodeos hangs up on what is not of its chain
							if !slices.ContainsFunc(chain, func(b script) bool { return b.id == id }) {
								p.close()
								r[i] = s.dial(p.name, base.id, last.id)
								break
							}
						}
					}
					if r[0].has(good.id) && r[1].has(good.id) {
						came++
					}
				}
				if came < tc.needed {
					t.Errorf("the replicas had %d of 120 blocks in time, want %d", came, tc.needed)
				}
			})
		})
	}
}

// Long after the only upstream came, a block is missing that it does not serve: the ring
// is begun anew where the chain is now, not where it was when the upstream said so.
func TestGapLongAfterTheUpstreamCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, director.Passive, func(c *relay.Config) { c.RingBlocks = 64 })
		defer s.close()
		chain := []script{child(genesis(100), s.slot, "bpb", 0, 0)}
		up := s.accept(chain[0].id, chain[0].id)
		up.write(chain[0].frame)
		served, came := 0, 0
		for i := range 320 {
			last := chain[len(chain)-1]
			b := child(last.id, last.slot+1, "bpb", 0, 0)
			chain = append(chain, b)
			for _, q := range up.requests()[served:] {
				served++
				for _, old := range chain[:min(len(chain), 150)] {
					if old.id.Num() >= q.Start && old.id.Num() <= q.End {
						up.write(old.frame)
					}
				}
			}
			if i != 200 {
				up.write(b.frame)
			}
			time.Sleep(500 * time.Millisecond) // fake time
			if status, _ := s.node.Status(t.Context()); status.Tip.ID == b.id && i > 200 {
				came++
			}
		}
		if came < 90 {
			t.Errorf("%d of 119 blocks after the gap came, want those after ten seconds or so", came)
		}
	})
}

// While the network stands still, blocks far below the chain do not clear the
// ring when a replica is on its chain.
func TestStrayBelowAStillChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, director.Passive, func(c *relay.Config) { c.RingBlocks = 16 })
		defer s.close()
		prev := child(genesis(100), s.slot, "bpb", 0, 0)
		up := s.accept(prev.id, prev.id)
		up.write(prev.frame)
		prev = s.grow(up, prev, 20, 0)
		s.dial("nodeos-a", prev.id, prev.id)
		settle()
		low := genesis(1)
		head := greeting("up", up.id, low, low)
		head.Generation = 2
		up.send(&head) // else they are taken for what was asked for
		for range 40 {
			up.write(child(low, prev.slot, "bpb", 0, 0).frame)
			time.Sleep(500 * time.Millisecond) // fake time
		}
		if status, _ := s.node.Status(t.Context()); status.Tip.ID != prev.id || status.RingLen < 16 {
			t.Errorf("at %d with %d blocks, want %d with all", status.Tip.ID.Num(), status.RingLen, prev.id.Num())
		}
	})
}

// One upstream tells of a last irreversible block far beyond the chain. A replica
// that is far behind is not sent after blocks that nobody has.
func TestIrreversibleBlockIsALie(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, director.Passive, func(c *relay.Config) { c.RingBlocks = 16 })
		defer s.close()
		prev := child(genesis(100), s.slot, "bpb", 0, 0)
		up := s.accept(prev.id, prev.id)
		up.write(prev.frame)
		prev = s.grow(up, prev, 40, 0)
		far := genesis(1 << 31)
		h := greeting("up", up.id, far, far)
		h.Generation = 2
		up.send(&h)
		settle()
		r := s.dial("nodeos-a", genesis(50), genesis(50))
		settle()
		prev = child(prev.id, prev.slot+1, "bpb", 0, 0)
		up.write(prev.frame)
		settle()
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.told) == 0 {
			t.Fatal("the replica was not told to sync")
		}
		for _, n := range r.told {
			if n.KnownTrx.Pending > prev.id.Num() {
				t.Errorf("told to sync to block %d of a chain of %d", n.KnownTrx.Pending, prev.id.Num())
			}
		}
	})
}

// Blocks of the future, from one upstream, do not stop the schedule from being learned:
// neither of the only one nor of one of two.
func TestFutureBlockLeavesTheSchedule(t *testing.T) {
	for _, tc := range []struct {
		name string
		only bool
		lie  func(slot wire.Slot) wire.Slot
	}{
		{"far, of the only upstream", true, func(wire.Slot) wire.Slot { return 1 << 31 }},
		{"near, of the only upstream", true, func(slot wire.Slot) wire.Slot { return slot + 2*director.RoundSlots - 1 }},
		{"near, of one of two", false, func(slot wire.Slot) wire.Slot { return slot + 2*director.RoundSlots - 1 }},
		{"the next round, of one of two", false, func(slot wire.Slot) wire.Slot { return slot + director.RoundSlots }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, director.Passive, func(c *relay.Config) {
					if !tc.only {
						c.Upstream.Peers = append(c.Upstream.Peers, "evil:9876")
					}
				})
				defer s.close()
				ln, err := s.mem.Host("evil").Listen("evil:9876")
				if err != nil {
					t.Fatal(err)
				}
				defer ln.Close()
				begin := (s.slot/12 + 2) * 12
				prev := child(genesis(100), begin, "bpb", 0, 0)
				ups := []*player{s.accept(prev.id, prev.id)}
				evil := ups[0]
				if !tc.only {
					nc, err := ln.Accept()
					if err != nil {
						t.Fatal(err)
					}
					evil = s.play("evil", nc, prev.id, prev.id)
					ups = append(ups, evil)
				}
				for slot := begin; slot < begin+12*4+6; slot++ {
					if slot > begin {
						producer := "bpb"
						if slot/12%2 == 1 {
							producer = "bpa"
						}
						prev = child(prev.id, slot, producer, 0, 0)
					}
					time.Sleep(time.Until(slot.Time())) // fake time
					for _, up := range ups {
						up.write(prev.frame)
					}
					settle()
					evil.write(child(prev.id, tc.lie(slot), "bpc", 9, 0).frame)
				}
				settle()
				if status, _ := s.node.Status(t.Context()); status.NextRound.IsZero() && !status.InRound {
					t.Error("the schedule is not known")
				}
			})
		})
	}
}

// stepped is a clock that was set by hand, or by NTP.
type stepped struct {
	relay.SystemClock
	ahead atomic.Int64 // a duration
}

func (c *stepped) SlotAt(t time.Time) wire.Slot {
	return c.SystemClock.SlotAt(t.Add(time.Duration(c.ahead.Load())))
}

func (c *stepped) TimeOf(s wire.Slot) time.Time {
	return c.SystemClock.TimeOf(s).Add(-time.Duration(c.ahead.Load()))
}

// A clock that was an hour ahead for a moment does not end the judging of slots:
// for that hour no slot was missed, and no replica late.
func TestClockSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := &stepped{}
		s := newStage(t, director.Passive, func(c *relay.Config) { c.Clock = clock })
		defer s.close()
		begin := (s.slot/12 + 2) * 12
		prev := child(genesis(100), begin, "bpb", 0, 0)
		up := s.accept(prev.id, prev.id)
		play := func(from, to wire.Slot) {
			for slot := from; slot < to; slot++ {
				time.Sleep(time.Until(slot.Time())) // fake time
				producer := "bpb"
				if slot/12%2 == 1 {
					producer = "bpa"
				}
				prev = child(prev.id, slot, producer, 0, 0)
				up.write(prev.frame)
			}
			settle()
		}
		our := begin + 48 // a round of ours, none of which comes
		if our/12%2 == 0 {
			our += 12
		}
		play(begin+1, our-6)
		clock.ahead.Store(int64(time.Hour))
		time.Sleep(100 * time.Millisecond) // fake time
		clock.ahead.Store(0)
		time.Sleep(time.Until((our - 1).Time())) // fake time
		before := s.count(relay.Missed)
		time.Sleep(14 * wire.SlotInterval) // fake time
		settle()
		if n := s.count(relay.Missed) - before; n != 12 {
			t.Errorf("%d slots of our round are missed, want all 12", n)
		}
	})
}

// stalled is a clock that can hold the hub up, as a machine that is short of time does.
type stalled struct {
	relay.SystemClock
	gate atomic.Pointer[chan struct{}]
}

func (c *stalled) SlotAt(t time.Time) wire.Slot {
	if gate := c.gate.Load(); gate != nil {
		<-*gate
	}
	return c.SystemClock.SlotAt(t)
}

// transaction returns the body of a transaction message of about size bytes. Its last
// bytes but one can be changed.
func transaction(t *testing.T, size int) []byte {
	t.Helper()
	trx := make([]byte, 10, size)                    // expiration, reference block
	trx = append(trx, 0, 0, 0, 0, 1)                 // limits, no context-free action, one action
	trx = append(trx, make([]byte, 16)...)           // its account and name
	trx = append(trx, 0)                             // no authorization
	trx = binary.AppendUvarint(trx, uint64(size-64)) // its data
	trx = append(trx, make([]byte, size-64)...)
	trx = append(trx, 0) // no extensions
	body := binary.AppendUvarint([]byte{0, 0, 0}, uint64(len(trx)))
	body = append(body, trx...)
	if _, err := wire.CheckTransaction(body, 0); err != nil {
		t.Fatal(err)
	}
	return body
}

// Transactions of several megabytes that come faster than they are handled are
// dropped, and take no more memory than the inbox may.
func TestLargeTransactionsPileUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := &stalled{}
		s := newStage(t, director.Passive, func(c *relay.Config) { c.Clock = clock })
		defer s.close()
		base := child(genesis(100), s.slot, "bpb", 0, 0)
		up := s.accept(base.id, base.id)
		up.write(base.frame)
		settle()
		const size, count = 4 << 20, 40
		body := transaction(t, size)
		used := func() uint64 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before := used()
		gate := make(chan struct{})
		clock.gate.Store(&gate)
		settle()
		for i := range count {
			binary.LittleEndian.PutUint32(body[len(body)-8:], uint32(i))
			f := wire.RawFrame(wire.TypeTransaction, body)
			up.write(f.Bytes())
			f.Release()
		}
		took := used() - before
		clock.gate.Store(nil)
		close(gate)
		if most := uint64(100 << 20); took > most {
			t.Errorf("%d MiB of transactions wait, want at most %d", took>>20, most>>20)
		}
	})
}
