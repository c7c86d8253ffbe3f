package ctl

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/thinrelay/thinrelay/relay/control"
	"github.com/thinrelay/thinrelay/relay/upstream"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// Limits of what upstreams tell.
const (
	headWarn, headFail   = 20, 240 // blocks behind the others: 10 s, which looking takes, and 2 min
	clockWarn, clockFail = 250 * time.Millisecond, 2 * time.Second
)

// outside is one upstream and what a handshake with it told.
type outside struct {
	addr   string
	known  control.Upstream // what the relay says of it; no Addr: nothing
	report upstream.Report
	err    error
}

// tryUpstreams shakes hands with the upstreams of the flags, else with those of the relay.
func (p *preflight) tryUpstreams(ctx context.Context, c *checks, st control.Status) {
	known := map[string]control.Upstream{}
	addrs := p.upstreams
	for _, u := range st.Upstreams {
		known[u.Addr] = u
		if len(p.upstreams) == 0 && len(addrs) < maxProbes {
			addrs = append(addrs, u.Addr)
		}
	}
	list := make([]outside, len(addrs))
	for i, addr := range addrs {
		list[i] = outside{addr: addr, known: known[addr]}
	}
	var chain *wire.ID
	for _, text := range []string{p.chainID, st.Cluster.ChainID} {
		if id, ok := parseChain(text); ok && chain == nil {
			chain = &id
		}
	}
	p.meet(ctx, list, chain)
	if chain == nil {
		// nodeos tells its chain to those who know it: ask again with what others told.
		if chain = commonChain(list); chain != nil {
			p.meet(ctx, list, chain)
		}
	}
	heads := make([]uint32, 0, len(list))
	var clocks []time.Duration
	for _, o := range list {
		if o.err == nil && (chain == nil || o.report.ChainID == *chain) {
			heads, clocks = append(heads, o.report.Head.Num()), append(clocks, o.report.ClockOffset)
		}
	}
	for _, u := range st.Upstreams {
		if u.Head > 0 {
			heads = append(heads, u.Head)
		}
	}
	for _, o := range list {
		judgeHandshake(c, o, chain, median(heads))
	}
	judgeOwnClock(c, clocks)
}

// meet inspects those that were not met yet, all at once.
func (p *preflight) meet(ctx context.Context, list []outside, chain *wire.ID) {
	config := upstream.Config{Agent: "relayctl preflight", NodeName: "preflight"}
	if chain != nil {
		config.ChainID = func() (wire.ID, bool) { return *chain, true }
	}
	var wg sync.WaitGroup
	for i := range list {
		o := &list[i]
		if o.report.Took > 0 && o.err == nil || o.err != nil && !shy(o.err) {
			continue
		}
		wg.Go(func() { o.report, o.err = p.inspect(ctx, config, o.addr) })
	}
	wg.Wait()
}

// shy reports a peer that does not tell its chain to those who do not know it.
func shy(err error) bool {
	return errors.Is(err, upstream.ErrChainUnknown) || errors.Is(err, upstream.GoAway{Reason: wire.GoAwayWrongChain})
}

func parseChain(text string) (id wire.ID, ok bool) {
	if len(text) != 2*len(id) {
		return id, false
	}
	_, err := hex.Decode(id[:], []byte(text))
	return id, err == nil
}

// commonChain is the chain most of those that told one are on; of two equally frequent ones, the first.
func commonChain(list []outside) *wire.ID {
	count := map[wire.ID]int{}
	var best *wire.ID
	for _, o := range list {
		if o.err == nil {
			count[o.report.ChainID]++
		}
	}
	for _, o := range list {
		if id := o.report.ChainID; o.err == nil && (best == nil || count[id] > count[*best]) {
			best = &id
		}
	}
	return best
}

// median is the upper one of two; 0 of none.
func median[T uint32 | time.Duration](values []T) T {
	if len(values) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(values))[len(values)/2]
}

// judgeHandshake judges one upstream by its handshake.
func judgeHandshake(c *checks, o outside, chain *wire.ID, head uint32) {
	what := "handshake with " + o.addr
	if o.err != nil {
		if chain == nil && shy(o.err) {
			c.warn(what, "give --chain-id, as in get_info", "it is there, and tells nothing to those who do not know its chain")
			return
		}
		judgeNoHandshake(c, what, o)
		return
	}
	r := o.report
	if chain != nil && r.ChainID != *chain {
		c.fail(what, "compare chain_id with the peer's get_info; take it out of upstream.peers", "it is on chain %s, not on %s", shortChain(r.ChainID), shortChain(*chain))
		return
	}
	facts := fmt.Sprintf("%s, chain %s, head #%d, protocol %d, %s", orDash(r.Agent), shortChain(r.ChainID), r.Head.Num(), r.Version, took(r.Took))
	var findings []check
	note := func(l level, next, format string, args ...any) {
		findings = append(findings, check{Level: l, Finding: fmt.Sprintf(format, args...), Next: next})
	}
	if behind := int64(head) - int64(r.Head.Num()); behind > headWarn {
		l := levelWarn
		if behind > headFail {
			l = levelFail
		}
		note(l, "it syncs or is stuck: use another upstream until it has caught up", "%d blocks behind the others", behind)
	}
	if r.Version < wire.ProtoVotes {
		note(levelWarn, "use upstreams with Spring 1.0 or newer on a Savanna chain; before Savanna this is no fault", "protocol %d passes no votes on", r.Version)
	}
	if r.Second != nil {
		note(levelWarn, "ask its operator for p2p-max-nodes-per-host >= 4: replicas that sync use a connection of their own, and so does the next leader on this host's network",
			"no second connection from here: %v", r.Second)
	}
	if root := r.Root.Num(); root > 1 && r.Start >= root {
		note(levelWarn, "use upstreams that keep a block log (no block-log-retain-blocks = 0): what a replica or a relay has missed comes from there",
			"it has no block below #%d", r.Start)
	}
	if len(findings) == 0 {
		c.ok(what, "%s, takes a second connection", facts)
		return
	}
	for _, f := range findings {
		c.add(f.Level, what, f.Next, "%s: %s", facts, f.Finding)
	}
}

// judgeNoHandshake words why there was none. What the relay itself is connected to has to refuse a stranger beside it.
func judgeNoHandshake(c *checks, what string, o outside) {
	hint := upstream.Hint(o.err)
	if hint == "" {
		hint = "check the address, that nodeos listens there, and both firewalls"
	}
	text := strings.TrimSpace(o.err.Error())
	if o.known.State == control.UpstreamConnected {
		if errors.Is(o.err, upstream.ErrClosedEarly) {
			hint = "ask its operator for p2p-max-nodes-per-host >= 4: if this is the leader's host, its one connection is in use"
		}
		c.warn(what, hint, "none from here, but %s is connected: %s", orDash(o.known.Node), text)
		return
	}
	c.fail(what, hint, "%s", text)
}

// judgeOwnClock compares the clock of this host with those of the upstreams.
func judgeOwnClock(c *checks, offsets []time.Duration) {
	if len(offsets) == 0 {
		return
	}
	const what, next = "clock of this host", "run chrony or another NTP client here"
	off := -median(offsets)
	sign := "+"
	if off < 0 {
		sign = "-"
	}
	text := fmt.Sprintf("%s%s from the upstreams (%d asked)", sign, took(off.Abs()), len(offsets))
	switch {
	case off.Abs() > clockFail:
		c.fail(what, next, "%s", text)
	case off.Abs() > clockWarn:
		c.warn(what, next, "%s", text)
	default:
		c.ok(what, "%s", text)
	}
}

func shortChain(id wire.ID) string { return hex.EncodeToString(id[:4]) + "…" }
