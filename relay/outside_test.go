package relay_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/simnet"
)

// clean fails the test unless the oracle saw at least slots slots of ours and
// nothing wrong with them.
func (f *fleet) clean(slots, missed int) {
	f.t.Helper()
	got := f.net.Report()
	if got.Double != 0 || got.Unlinked != 0 || got.Missed > missed || got.SlotsOurs < slots {
		f.dump(f.members[0].began, 200)
		f.t.Fatalf("report=%+v, want nothing double or unlinked, at least %d slots, at most %d missed", brief(got), slots, missed)
	}
}

func oneRelay(t *testing.T, mode director.Mode) *fleet {
	f := newFleet(t, fleetConfig{relays: 1, mode: mode, load: 4, dials: [][]int{{0}, {0}, {0}}})
	rounds(2)
	f.net.Oracle.Begin(f.now())
	return f
}

// An upstream that lags by seconds, or for minutes, costs nothing: the other one
// carries the feed, and what the lagging one gets links there.
func TestLaggingUpstream(t *testing.T) {
	t.Parallel()
	for _, lag := range some([]time.Duration{700 * time.Millisecond, 4 * time.Second, 40 * time.Second}) {
		t.Run(lag.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := oneRelay(t, director.Votes)
				defer f.close()
				f.net.Upstream(1).Lag(lag)
				rounds(4)
				f.net.Upstream(1).Lag(0)
				rounds(2)
				f.clean(60, 0)
			})
		})
	}
}

// An upstream is down for a while, at any moment of our round: when it is back
// it gets the blocks of ours that it lacks before the next one.
func TestUpstreamReconnectsInTheRound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := oneRelay(t, director.Votes)
		defer f.close()
		for i := range 6 {
			f.awaitSlot(2*i, 100*time.Millisecond)
			f.mem.CutBoth("r1", "up-2")
			time.Sleep(time.Duration(i) * 700 * time.Millisecond)
			f.mem.HealBoth("r1", "up-2")
			f.awaitSlot(3, 0)
			f.net.KillUpstream(1)
			time.Sleep(1500 * time.Millisecond)
			if err := f.net.StartUpstream(1); err != nil {
				t.Fatal(err)
			}
		}
		rounds(1)
		f.clean(60, 0)
	})
}

// All upstreams are out of reach for three seconds in the middle of our round:
// our blocks are late, not lost.
func TestAllUpstreamsGoneForAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := oneRelay(t, director.Votes)
		defer f.close()
		for range 3 {
			f.awaitSlot(3, 0)
			f.mem.CutBoth("r1", "up-1")
			f.mem.CutBoth("r1", "up-2")
			time.Sleep(3 * time.Second)
			f.mem.HealAll()
			time.Sleep(time.Second)
		}
		rounds(1)
		got := f.net.Report()
		if got.Late == 0 {
			t.Errorf("no block was late: the test proves nothing (%+v)", brief(got))
		}
		f.clean(36, 0)
	})
}

// All upstreams are out of reach at the end of our round, until the network has
// gone on without its last blocks: what was on its way by then arrives late, and
// is no breach of ours.
func TestHeldBackUntilTooLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := oneRelay(t, director.Votes)
		defer f.close()
		for i := range 16 {
			f.awaitSlot(8, 0)
			f.mem.CutBoth("r1", "up-1")
			f.mem.CutBoth("r1", "up-2")
			time.Sleep(3*time.Second + time.Duration(i)*250*time.Millisecond)
			f.mem.HealAll()
		}
		rounds(1)
		got := f.net.Report()
		if got.Double != 0 || got.Unlinked != 0 || got.Emitted < 16*8 || got.Missed < 16 {
			f.dump(f.members[0].began, 300)
			t.Errorf("report=%+v %+v, want our last blocks missed and nothing double or unlinked", brief(got), got.Unlinkeds)
		}
	})
}

// Our round begins while all upstreams are out of reach, on a block that the
// network has gone on from by then: when they are back, and what they hold is
// irreversible, the rest of the round goes nowhere, and is not sent.
func TestRoundOnADeadBranch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := oneRelay(t, director.Votes)
		defer f.close()
		for i := range 8 {
			f.awaitSlot(0, time.Duration(3000+i*100)*time.Millisecond)
			f.mem.CutBoth("r1", "up-1")
			f.mem.CutBoth("r1", "up-2")
			time.Sleep(time.Duration(5000+i*300) * time.Millisecond)
			f.mem.HealAll()
			rounds(1)
		}
		got := f.net.Report()
		if got.Double != 0 || got.Unlinked != 0 || got.Missed < 8 {
			f.dump(f.members[0].began, 300)
			t.Errorf("report=%+v %+v, want blocks missed, none unlinked", brief(got), got.Unlinkeds)
		}
	})
}

// A leader dies before our round, and its successor misses some of the network's
// blocks that no upstream serves when asked: how far back their branch leaves ours
// nobody tells. Nothing is sent that cannot link, and as soon as they serve again the
// round builds on their branch.
func TestUpstreamsServeNoSync(t *testing.T) {
	t.Parallel()
	for stalled, most := range map[time.Duration]int{700 * time.Millisecond: 16, 3 * time.Second: 54, 8 * time.Second: 72} {
		t.Run(stalled.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, fleetConfig{relays: 2, mode: director.Votes, load: 4, dials: [][]int{{0, 1}, {0, 1}, {0, 1}}})
				defer f.close()
				stall := func(on bool) {
					for u := range f.net.Addrs() {
						f.net.Upstream(u).StallSync(on)
					}
				}
				rounds(2)
				f.net.Oracle.Begin(f.now())
				for i := range 6 {
					f.awaitSlot(0, time.Duration(2600+i*100)*time.Millisecond)
					stall(true)
					dead, next := f.members[i%2], f.members[(i+1)%2]
					dead.kill()
					f.appoint(next, time.Duration(900+i*200)*time.Millisecond)
					time.Sleep(stalled) // fake time
					stall(false)
					rounds(1)
					dead.start()
					time.Sleep(time.Second) // fake time
				}
				got := f.net.Report()
				if got.Double != 0 || got.Unlinked != 0 || got.SlotsOurs < 6*12 || got.Missed > most {
					f.dump(f.members[0].began, 300)
					t.Errorf("report=%+v %+v, want none unlinked and at most %d missed", brief(got), got.Unlinkeds, most)
				}
			})
		})
	}
}

// The same where upstreams are there just in time to tell the last block before our round, and it alone: what is
// irreversible cannot be read in it. Nothing is sent beside what it certifies.
func TestUpstreamsTellTheLastBlockAlone(t *testing.T) {
	t.Parallel()
	stall := func(f *fleet, on bool) {
		f.net.Upstream(0).StallSync(on)
		f.net.Upstream(1).StallSync(on)
	}
	gapThenTheLastBlock(t, 2000*time.Millisecond, 900*time.Millisecond, stall)
	gapThenTheLastBlock(t, 2200*time.Millisecond, 900*time.Millisecond, stall)
	gapThenTheLastBlock(t, 2200*time.Millisecond, 1200*time.Millisecond, stall)
}

// The same where the other upstream serves and lags: what it tells half a second later fills the gap, and what is
// irreversible at the first one can be read then.
func TestLaggingUpstreamFillsTheGap(t *testing.T) {
	t.Parallel()
	lag := func(d time.Duration) func(*fleet, bool) {
		return func(f *fleet, on bool) {
			f.net.Upstream(0).StallSync(on)
			if !on {
				d = 0
			}
			f.net.Upstream(1).Lag(d)
		}
	}
	gapThenTheLastBlock(t, 2000*time.Millisecond, 900*time.Millisecond, lag(1400*time.Millisecond))
	gapThenTheLastBlock(t, 2200*time.Millisecond, 900*time.Millisecond, lag(1600*time.Millisecond))
	gapThenTheLastBlock(t, 2400*time.Millisecond, 1200*time.Millisecond, lag(1400*time.Millisecond))
}

// gapThenTheLastBlock has the leader die before our round, nobody lead for a while, and upstreams in trouble from then until after the round.
func gapThenTheLastBlock(t *testing.T, before, gap time.Duration, trouble func(f *fleet, on bool)) {
	t.Helper()
	t.Run(before.String()+" before our round, for "+gap.String(), func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(t, fleetConfig{relays: 2, mode: director.Votes, load: 4, dials: [][]int{{0, 1}, {0, 1}, {0, 1}}})
			defer f.close()
			rounds(2)
			f.net.Oracle.Begin(f.now())
			f.awaitSlot(0, before)
			trouble(f, true)
			f.members[0].kill()
			f.appoint(f.members[1], gap)
			time.Sleep(8 * time.Second) // fake time
			trouble(f, false)
			rounds(1)
			if got := f.net.Report(); got.Double != 0 || got.Unlinked != 0 || got.SlotsOurs < 12 {
				f.dump(f.members[1].began, 300)
				t.Errorf("report=%+v %+v, want none unlinked", brief(got), got.Unlinkeds)
			}
		})
	})
}

// One upstream is not heard any more, but hears us, and the other one lags: our
// round begins on a block that the network has gone on from. What that is the
// lagging one tells, and nothing is sent to the one that must know by then.
func TestUnheardUpstream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := oneRelay(t, director.Votes)
		defer f.close()
		for i := range 8 {
			f.awaitSlot(0, time.Duration(3000+i*200)*time.Millisecond)
			f.mem.Cut("up-1", "r1")
			f.net.Upstream(1).Lag(time.Duration(2000+i*200) * time.Millisecond)
			time.Sleep(9 * time.Second)
			f.mem.HealAll()
			f.net.Upstream(1).Lag(0)
			rounds(1)
		}
		f.allLink(8)
	})
}

// The same where the other one stood still, and tells of the network again in the middle of our round: the block after that waits until it
// is known whether that stands, and is not sent then.
func TestUnheardUpstreamWhileAnotherComesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := oneRelay(t, director.Votes)
		defer f.close()
		for i := range 8 {
			f.awaitSlot(0, 2300*time.Millisecond) // what comes before our round is not heard, and the first block of ours ignored
			f.mem.Cut("up-1", "r1")
			f.net.Upstream(1).Freeze()
			time.Sleep(time.Duration(2520+i*20) * time.Millisecond) // fake time
			f.net.Upstream(1).Thaw()
			time.Sleep(5 * time.Second) // fake time
			f.mem.HealAll()
			rounds(1)
		}
		f.allLink(8)
	})
}

// allLink judges so many rounds of one relay: no second block of a height, and none that does not link.
func (f *fleet) allLink(rounds int) {
	f.t.Helper()
	got := f.net.Report()
	if got.Double != 0 || got.Unlinked != 0 || got.SlotsOurs < rounds*12 {
		f.dump(f.members[0].began, 300)
		f.t.Errorf("report=%+v %+v, want none unlinked", brief(got), got.Unlinkeds)
	}
}

// All upstreams close their connections in our round, instead of hanging.
func TestAllUpstreamsCloseInTheRound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := oneRelay(t, director.Votes)
		defer f.close()
		for i := range 4 {
			f.awaitSlot(1+i, 0)
			f.net.KillUpstream(1)
			f.mem.CutBoth("r1", "up-1")
			time.Sleep(2500 * time.Millisecond)
			f.mem.HealAll()
			if err := f.net.StartUpstream(1); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		rounds(1)
		// The last two slots may be overtaken by the next producer.
		f.clean(48, 2)
	})
}

// The producer before us forks out our predecessor's last blocks, or ours are
// forked out by the next one: what we send links, and our round is whole.
func TestMicroForks(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		by     string
		missed int
	}{
		{"before our round", "bpc", 0},
		{"after our round", "bpb", 4 * 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := oneRelay(t, director.Votes)
				defer f.close()
				node, err := f.net.Producer(tc.by)
				if err != nil {
					t.Fatal(err)
				}
				for range 4 {
					node.Microfork(2)
					rounds(1)
				}
				rounds(1)
				if got := f.net.Report(); got.ForkSwitches == 0 {
					t.Errorf("no fork: the test proves nothing (%+v)", brief(got))
				}
				f.clean(48, tc.missed)
			})
		})
	}
}

// A lying upstream: replicas close on what it makes up, and come back; nothing
// double or unlinked leaves, and once it has stopped every round is whole.
func TestLyingUpstream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := oneRelay(t, director.Votes)
		defer f.close()
		for i, lie := range []simnet.Lie{simnet.LieSignature, simnet.LieSchedule, simnet.LieVote, simnet.LieGarbage} {
			f.awaitSlot(2+i, 0)
			f.net.Upstream(1).Lie(lie)
		}
		rounds(1)
		got := f.net.Report()
		if got.Double != 0 || got.Unlinked != 0 {
			f.dump(f.members[0].began, 300)
			t.Fatalf("report=%+v, want nothing double or unlinked", brief(got))
		}
		t.Logf("while it lied: %+v", brief(got))
		f.net.Oracle.Begin(f.now())
		rounds(3)
		f.clean(24, 0)
		if f.count(relay.UpstreamDown) == 0 {
			t.Error("the upstream that sent garbage was not closed")
		}
	})
}
