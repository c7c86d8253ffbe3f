package ctl

import (
	"fmt"
	"strings"
)

// configLines are the lines of a config.ini and what must not stand in it.
type configLines struct {
	Lines  []configLine `json:"lines"`
	Absent []configLine `json:"absent"`
	Notes  []string     `json:"notes"`
}

// configLine is one option with its reason. Secrets are left for the operator
// to fill in: such a line is printed as a comment.
type configLine struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Reason string `json:"reason"`
	Fill   bool   `json:"fill,omitzero"`
}

// lines chooses the lines (p2p notes, 8.4, 10, 13, 14).
func (o nodeosOptions) lines() (configLines, error) {
	rel, err := o.validate()
	if err != nil {
		return configLines{}, err
	}
	var c configLines
	add := func(key, value, reason string) {
		c.Lines = append(c.Lines, configLine{Key: key, Value: value, Reason: reason})
	}
	fill := func(key, value, reason string) {
		c.Lines = append(c.Lines, configLine{Key: key, Value: value, Reason: reason, Fill: true})
	}
	absent := func(key, reason string) { c.Absent = append(c.Absent, configLine{Key: key, Reason: reason}) }

	for i, r := range o.relays {
		reason := "the relays are the only way out: one direct path to the network and two of our blocks can meet there"
		if i > 0 {
			reason = "a further relay: any one of them is enough, and blocks that come twice are dropped unread"
		}
		add("p2p-peer-address", r, reason)
	}
	if len(o.relays) == 1 {
		fill("p2p-peer-address", "HOST:9876", "a second relay (--relay again): with one, this node is alone while that relay restarts")
	}
	add("p2p-listen-endpoint", "", "empty: nobody dials this node")
	add("connection-cleanup-period", "1", "dial a lost relay again after 1 s; the default of 30 s would cost whole rounds")
	if o.name != "" {
		reason := "the relays show this name, and failover.prefer ranks by it"
		if o.finalizer {
			reason = "list this name in downstream.observers of every relay: it gets every vote and is never made active"
		}
		add("agent-name", o.name, reason)
	} else {
		fill("agent-name", "nodeos-a", "a name of its own (--name): the relays show it, and failover.prefer ranks by it; without one every nodeos has the same")
	}

	if o.finalizer {
		add("vote-threads", "4", "a node without producer-name processes no votes by default, and then passes none on")
		fill("signature-provider", "PUB_BLS_...=KEY:PVT_BLS_...", "the finalizer key; unique to this host, its safety.dat is never copied or restored")
		absent("producer-name", "this node votes; the replicas produce")
		absent("producer signature-provider", "the block signing key belongs on the replicas only")
	} else {
		o.replicaLines(rel, add, fill, absent)
	}

	absent("p2p-auto-bp-peer", "nodeos would dial other producers by itself")
	absent("p2p-bp-gossip-endpoint", "nodeos would be told where other producers listen, and dial them")
	absent("plugin = eosio::net_api_plugin", "a connect call opens another way out; if you need the plugin, bind it to loopback")
	c.Notes = append(c.Notes, "Also close the way out in the firewall: from this host only the relays' ports, nothing else on p2p ports.",
		"Keep the clock with chrony or another NTP client: blocks from more than 7 s ahead make nodeos close the connection.")
	switch {
	case !rel.savanna:
		c.Notes = append(c.Notes, o.release+" has no votes to gate: the relay works in passive mode. Every replica produces, one is heard, and a replica that dies mid-round can cost the rest of the round.")
	case !o.finalizer:
		c.Notes = append(c.Notes, "Before Savanna is activated on the chain there are no votes, and the relay works in passive mode.",
			"Run the BLS key on two nodes of their own (relayctl nodeos-config --finalizer), one at a time active on chain: votes of finalizers named after the producer count for the pause above.")
	}
	return c, nil
}

func (o nodeosOptions) replicaLines(rel release, add, fill func(k, v, reason string), absent func(k, reason string)) {
	add("producer-name", o.producer, "the same on every replica; the relays let one of them speak")
	fill("signature-provider", "EOS...=KEY:...", "the same block signing key on every replica")
	add("enable-stale-production", "false", "a restarted replica produces only once it has caught up")
	add("pause-on-startup", "false", "who produces is decided by the relays; a paused replica would not take over")
	if rel.savanna {
		add("production-pause-vote-timeout-ms", "6000", "what the vote gate works by: a replica that hears no votes stops producing and follows the chain, ready to take over; 0 would disable it")
		absent("signature-provider = PUB_BLS_...", "a finalizer key on several replicas votes for two blocks at once; keep it on nodes of its own")
	}
	if rel.slowTrx {
		add("max-transaction-time", "50", "the default of 499 ms lets one transaction hold up a block, and a takeover behind it")
	}
}

func (c configLines) ini(o nodeosOptions) string {
	var b strings.Builder
	what := "replica of " + o.producer
	if o.finalizer {
		what = "finalizer node"
	}
	fmt.Fprintf(&b, "# nodeos %s, %s behind thinrelay\n", o.release, what)
	for _, l := range c.Lines {
		comment := ""
		if l.Fill {
			comment = "# fill in: "
		}
		fmt.Fprintf(&b, "\n# %s\n%s%s\n", l.Reason, comment, strings.TrimRight(l.Key+" = "+l.Value, " "))
	}
	b.WriteString("\n# These must not be set:\n")
	for _, l := range c.Absent {
		fmt.Fprintf(&b, "#   %s: %s\n", l.Key, l.Reason)
	}
	for _, n := range c.Notes {
		fmt.Fprintf(&b, "# %s\n", n)
	}
	return b.String()
}
