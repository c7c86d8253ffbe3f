package proctest_test

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/thinrelay/thinrelay/relay/simnet"
)

// nodeosKinds happen to nodeos, ours and others'.
var nodeosKinds = []kind{
	{name: "replica-restart", inRound: true, prepare: (*chaos).replicaRestarted},
	{name: "replica-pause", inRound: true, prepare: (*chaos).replicaPaused},
	{name: "ungated", prepare: (*chaos).replicaUngated},
	{name: "two-finalizers", prepare: (*chaos).twoFinalizers},
	{name: "upstream-gone", prepare: func(c *chaos, r *rand.Rand) *fault {
		i := r.IntN(len(upstreamNames))
		return c.upstreamsGone(lasting(r, time.Second, 15*time.Second), i)
	}},
	{name: "all-upstreams", prepare: func(c *chaos, r *rand.Rand) *fault {
		return c.upstreamsGone(lasting(r, time.Second, 10*time.Second), 0, 1)
	}},
	{name: "lag", inTheirs: true, prepare: (*chaos).upstreamLags},
	{name: "lie", prepare: (*chaos).upstreamLies},
	{name: "stall-sync", prepare: (*chaos).upstreamStalls},
	{name: "fork", prepare: (*chaos).forked},
	{name: "microfork", prepare: (*chaos).microforked},
}

// standbys prepares the nodes that only faults start.
func (c *chaos) standbys() {
	c.unruly = make(map[string]*simnet.Replica)
	for i, name := range replicaNames {
		cfg := c.replicaConfig(i)
		cfg.IgnoreVotes = true
		r, err := c.net.Replica(cfg)
		if err != nil {
			c.t.Fatal(err)
		}
		c.unruly[name] = r
	}
	c.fin2 = c.net.Finalizer(simnet.ReplicaConfig{Name: "fin-2", Relays: c.doors})
}

// revive starts a replica that is down, on the network's chain.
func (c *chaos) revive(r *simnet.Replica) {
	if r.Alive() {
		return
	}
	if err := r.StartBehind(1 << 30); err != nil {
		c.t.Fatal(err)
	}
}

// someReplica is the active one, as often as not, or any.
func (c *chaos) someReplica(r *rand.Rand) (string, *simnet.Replica) {
	name := oneOf(r, replicaNames)
	if _, s := c.leads(); c.replicas[s.Active] != nil && r.IntN(2) == 0 {
		name = s.Active
	}
	if rep := c.replicas[name]; rep.Alive() {
		return name, rep
	}
	return "", nil
}

// replicaRestarted kills a replica in the middle of a round, and starts it again.
func (c *chaos) replicaRestarted(r *rand.Rand) *fault {
	name, replica := c.someReplica(r)
	if replica == nil {
		return nil
	}
	return &fault{
		what: name, locks: []string{"replica " + name}, lasts: lasting(r, 100*time.Millisecond, 5*time.Second),
		begin: replica.Kill, heal: func() { c.revive(replica) }, struck: another(replica),
	}
}

// another remembers the process of a replica; it reports whether that runs no more.
func another(r *simnet.Replica) func() bool {
	was := r.Node()
	return func() bool { return was != nil && r.Node() != was }
}

// replicaPaused is SIGSTOP of a replica: what it had begun it sends when it goes on.
func (c *chaos) replicaPaused(r *rand.Rand) *fault {
	name, replica := c.someReplica(r)
	if replica == nil {
		return nil
	}
	ended := another(replica)
	return &fault{
		what: name, locks: []string{"replica " + name}, lasts: lasting(r, 100*time.Millisecond, 20*time.Second),
		begin: replica.Freeze, heal: replica.Thaw, struck: func() bool { return !ended() },
	}
}

// replicaUngated puts a replica that produces without votes in a replica's place. It has
// struck when that signs although it has not been active for so long that any other one
// would have stopped for want of votes. There is a round of ours in every 12 s.
func (c *chaos) replicaUngated(r *rand.Rand) *fault {
	name, replica := c.someReplica(r)
	if replica == nil {
		return nil
	}
	return &fault{
		what: name, locks: []string{"replica " + name}, lasts: max(aloneAfter+7*time.Second, lasting(r, 5*time.Second, 20*time.Second)),
		begin: func() {
			replica.Kill()
			c.watch.loners.begin(name)
			c.revive(c.unruly[name])
		},
		heal: func() {
			c.unruly[name].Kill()
			c.revive(replica)
		},
		struck: func() bool { return c.watch.loners.seen(name) },
	}
}

// twoFinalizers starts a second host with our finalizer's key. From the second time on it
// begins where it was, so that it votes late, and where there was a fork for other blocks
// than the first host did. It has struck when both have voted in one slot.
func (c *chaos) twoFinalizers(r *rand.Rand) *fault {
	return &fault{
		what: "fin-2 beside fin-1", locks: []string{"fin-2"}, lasts: lasting(r, 3*time.Second, 20*time.Second),
		begin: func() {
			c.watch.votes.begin("fin-2")
			if c.fin2Ran {
				if err := c.fin2.Start(); err != nil {
					c.t.Fatal(err)
				}
				return
			}
			c.fin2Ran = true
			c.revive(c.fin2)
		},
		heal: c.fin2.Kill, struck: func() bool { return c.watch.votes.seen("fin-2") },
	}
}

// upstreamsGone kills upstreams, and starts them again.
func (c *chaos) upstreamsGone(lasts time.Duration, which ...int) *fault {
	var was []*simnet.Node
	f := &fault{lasts: lasts}
	for _, i := range which {
		was = append(was, c.net.Upstream(i))
		f.what += " " + upstreamNames[i]
		f.locks = append(f.locks, "upstream "+upstreamNames[i])
	}
	f.what = f.what[1:]
	f.begin = func() {
		for _, i := range which {
			c.net.KillUpstream(i)
		}
	}
	f.heal = func() {
		for _, i := range which {
			if err := c.net.StartUpstream(i); err != nil {
				c.t.Fatal(err)
			}
		}
	}
	f.struck = func() bool {
		for k, i := range which {
			if _, runs := was[k].View(); runs || c.net.Upstream(i) == was[k] {
				return false
			}
		}
		return true
	}
	return f
}

// upstreamLags makes an upstream hear of blocks late.
func (c *chaos) upstreamLags(r *rand.Rand) *fault {
	i, by := r.IntN(len(upstreamNames)), lasting(r, 300*time.Millisecond, 5*time.Second)
	up := c.net.Upstream(i)
	return &fault{
		what: fmt.Sprintf("%s by %s", upstreamNames[i], by.Round(10*time.Millisecond)), locks: []string{"upstream " + upstreamNames[i]},
		lasts: max(lasting(r, 2*time.Second, 15*time.Second), by+time.Second),
		begin: func() {
			c.watch.lags.begin(upstreamNames[i], by)
			up.Lag(by)
		},
		heal: func() { up.Lag(0) }, struck: func() bool { return c.watch.lags.seen(upstreamNames[i]) },
	}
}

// upstreamLies makes an upstream send what is not so.
func (c *chaos) upstreamLies(r *rand.Rand) *fault {
	i := r.IntN(len(upstreamNames))
	up := c.net.Upstream(i)
	lie := simnet.Lie(r.IntN(4))
	word := []string{"a block with a bad signature", "a block by somebody else", "a vote with a bad signature", "garbage for a block"}[lie]
	times := 1 + r.IntN(4)
	told := 0
	f := &fault{
		what: fmt.Sprintf("%s sends %d times %s", upstreamNames[i], times, word), locks: []string{"upstream " + upstreamNames[i]},
		lasts: 3 * time.Second, heal: func() {}, struck: func() bool { return told > 0 },
	}
	f.begin = func() {
		for n := range times {
			c.at(time.Duration(n)*600*time.Millisecond, func() { told += up.Lie(lie) })
		}
	}
	return f
}

// upstreamStalls makes an upstream accept sync requests and not serve them, while a replica
// comes back that lacks all but the first blocks of the chain, which no relay has kept.
func (c *chaos) upstreamStalls(r *rand.Rand) *fault {
	i := r.IntN(len(upstreamNames))
	_, s := c.leads()
	name := oneOf(r, without(replicaNames, s.Active))
	replica := c.replicas[name]
	if !replica.Alive() {
		return nil
	}
	up := c.net.Upstream(i)
	before, _ := up.View()
	return &fault{
		what: upstreamNames[i] + ", and " + name + " is far behind", lasts: lasting(r, 2*time.Second, 15*time.Second),
		locks: []string{"upstream " + upstreamNames[i], "replica " + name},
		begin: func() {
			up.StallSync(true)
			replica.Kill()
			if err := replica.StartBehind(historyOfRelays); err != nil {
				c.t.Fatal(err)
			}
		},
		heal: func() { up.StallSync(false) },
		struck: func() bool {
			v, ok := up.View()
			return ok && v.Stalled > before.Stalled
		},
	}
}

// historyOfRelays is how many blocks of the chain are older than any that a relay has heard.
const historyOfRelays = 20

// beforeOurs is how long it is until some slots before our next round.
func (c *chaos) beforeOurs(slots int) time.Duration {
	lead := time.Duration(slots) * c.net.Chain.Clock.Length
	now := time.Now()
	begin, end := c.round(now.Add(lead))
	if begin.Add(-lead).Before(now) {
		begin, _ = c.round(end.Add(time.Second))
	}
	return begin.Add(-lead).Sub(now)
}

// forked makes the producer before us sign two blocks for each of its last slots.
func (c *chaos) forked(r *rand.Rand) *fault {
	slots := 1 + r.IntN(3)
	bpb, err := c.net.Producer("bpb")
	if err != nil {
		c.t.Fatal(err)
	}
	before, slot := c.watch.twins.Load(), c.net.Chain.Clock.Length
	in := c.beforeOurs(slots) - slot/4 // the last block but so many is out by then
	return &fault{
		what: fmt.Sprintf("two blocks for each of the last %d slots before our round", slots), locks: []string{"bpb"},
		lasts: in + time.Duration(slots+1)*slot,
		begin: func() { c.at(in, func() { bpb.Equivocate(slots) }) }, heal: func() { bpb.Equivocate(0) },
		struck: func() bool { return c.watch.twins.Load() > before },
	}
}

// microforked makes the producer after us build on one of our earlier blocks.
func (c *chaos) microforked(r *rand.Rand) *fault {
	blocks := 1 + r.IntN(2)
	bpb, err := c.net.Producer("bpb")
	if err != nil {
		c.t.Fatal(err)
	}
	before := c.watch.leftOut.Load()
	_, end := c.round(time.Now())
	return &fault{
		what: fmt.Sprintf("of the last %d blocks of our next round", blocks), locks: []string{"bpb"},
		lasts: time.Until(end) + 2*c.net.Chain.Clock.Length, // its first block is out by then
		begin: func() { bpb.Microfork(blocks) }, heal: func() { bpb.Microfork(0) },
		struck: func() bool { return c.watch.leftOut.Load() > before },
	}
}
