package proctest_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// netKinds happen between parties.
var netKinds = []kind{
	{name: "cut", prepare: func(c *chaos, r *rand.Rand) *fault {
		what, ways := c.someWays(r)
		return c.severed(what, ways, r)
	}},
	{name: "cut-one-way", prepare: func(c *chaos, r *rand.Rand) *fault {
		what, ways := c.someWays(r)
		for i := range ways { // the first of each pair, or the second
			if i%2 == 0 {
				ways[i/2] = ways[i+r.IntN(2)]
			}
		}
		return c.severed("one way: "+what, ways[:len(ways)/2], r)
	}},
	{name: "cut-leader", inRound: true, prepare: func(c *chaos, r *rand.Rand) *fault {
		leader, _ := c.leads()
		if leader == "" {
			return nil
		}
		return c.severed(leader+" (leader) from the others", both(leader, without(relayNames, leader)), r)
	}},
	{name: "delay", prepare: func(c *chaos, r *rand.Rand) *fault {
		i := &impairment{delay: lasting(r, 10*time.Millisecond, 500*time.Millisecond)}
		return c.worse(i, fmt.Sprintf("%s on", i.delay.Round(time.Millisecond)), r)
	}},
	{name: "loss", prepare: func(c *chaos, r *rand.Rand) *fault { return c.harmed(swallow, r) }},
	{name: "reset", prepare: func(c *chaos, r *rand.Rand) *fault { return c.harmed(reset, r) }},
	{name: "slow-drip", prepare: func(c *chaos, r *rand.Rand) *fault { return c.harmed(drip, r) }},
}

// parties are all that are on the network.
func parties() []string {
	return slices.Concat(relayNames, upstreamNames, replicaNames, []string{"fin-1"})
}

// someWays are the ways between a relay and one other, or all others of a sort,
// in pairs.
func (c *chaos) someWays(r *rand.Rand) (string, []way) {
	a := c.someRelay(r)
	switch r.IntN(5) {
	case 0, 1:
		b := oneOf(r, c.known(a))
		return a + " and " + b, both(a, []string{b})
	case 2:
		return a + " and the other relays", both(a, without(relayNames, a))
	case 3:
		return a + " and the upstreams", both(a, upstreamNames)
	default:
		return a + " and everyone", both(a, without(parties(), a))
	}
}

// known are the parties that a relay has to do with: each replica dials two relays.
func (c *chaos) known(relay string) []string {
	list := without(parties(), relay)
	for i, name := range replicaNames {
		if at := slices.Index(relayNames, relay); at != i && at != (i+1)%len(relayNames) {
			list = without(list, name)
		}
	}
	return list
}

func without(list []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == name })
}

// severed cuts ways.
func (c *chaos) severed(what string, ways []way, r *rand.Rand) *fault {
	before := c.fabric.stops(ways...)
	return &fault{
		what: what, lasts: lasting(r, 300*time.Millisecond, 20*time.Second),
		begin:  func() { c.fabric.sever(ways...) },
		heal:   func() { c.fabric.mend(c.t, ways...) },
		struck: func() bool { return c.fabric.stops(ways...) > before },
	}
}

// worse makes ways bad.
func (c *chaos) worse(i *impairment, what string, r *rand.Rand) *fault {
	between, ways := c.someWays(r)
	i.seed = r.Uint64()
	return &fault{
		what: what + " " + between, lasts: lasting(r, time.Second, 15*time.Second),
		begin:  func() { c.fabric.worsen(i, ways...) },
		heal:   func() { c.fabric.improve(i, ways...) },
		struck: func() bool { return i.felt.Load() > 0 },
	}
}

// harmed makes 20 to 90 % of the connections suffer.
func (c *chaos) harmed(mode harm, r *rand.Rand) *fault {
	i := &impairment{share: 0.2 + 0.7*r.Float64(), mode: mode}
	return c.worse(i, fmt.Sprintf("%.0f %% of the connections of", 100*i.share), r)
}
