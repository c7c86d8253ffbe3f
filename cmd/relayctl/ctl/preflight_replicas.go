package ctl

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/thinrelay/thinrelay/relay/control"
	"github.com/thinrelay/thinrelay/relay/wire"
)

const (
	// gateSettles is how long after a change of the active replica blocks of others are no sign of anything: nodeos stops 6 s
	// after the last vote it heard (production-pause-vote-timeout-ms).
	gateSettles = 10 * time.Second
	// gateWindow is how far back refusals count: some rounds of a schedule of 21 producers.
	gateWindow = 15 * time.Minute
	// gateFails is the number of refused blocks of one standby that no accident explains.
	gateFails = 3
)

// connected is a replica and the member it is connected to.
type connected struct {
	control.Replica
	member string
}

// judgeReplicas looks at the nodeos behind the relays, and returns what could not be looked at.
func judgeReplicas(c *checks, st control.Status, seen sighting, left *problems) (untold []string) {
	var replicas, observers []connected
	for _, m := range st.Members {
		if m.Role == control.RoleUnreachable {
			continue
		}
		for _, r := range m.Replicas {
			if r.Observer {
				observers = append(observers, connected{r, m.Name})
			} else {
				replicas = append(replicas, connected{r, m.Name})
			}
		}
	}
	if !left.take(c, "replicas", "", "no_replica", "no_live_replica", "no_active", "one_replica") {
		c.ok("replicas", "%s, active: %s", nameList(replicas), orDash(st.Active))
	}
	if all := append(slices.Clone(replicas), observers...); !judgeReleases(c, all, st.Mode) && len(all) > 0 {
		untold = append(untold, "versions of the replicas: the relays do not tell them")
	}
	if len(replicas) > 0 {
		judgeGate(c, st, seen, replicas, observers)
	}
	judgeObservers(c, st, observers, left)
	judgeRound(c, st, left)
	judgeAlarms(c, st)
	return untold
}

// nameList tells replicas with the members they are connected to; one of two relays is listed once.
func nameList(list []connected) string {
	var names []string
	at := map[string][]string{}
	for _, r := range list {
		if at[r.Name] == nil {
			names = append(names, r.Name)
		}
		at[r.Name] = append(at[r.Name], r.member)
	}
	for i, name := range names {
		names[i] = name + " (" + strings.Join(at[name], ", ") + ")"
	}
	return strings.Join(names, ", ")
}

// judgeReleases looks at the protocol versions of the replicas; false: none is known.
func judgeReleases(c *checks, list []connected, mode control.Mode) bool {
	known, old := map[string]bool{}, map[string]bool{}
	for _, r := range list {
		if r.Version == "" || known[r.Name] {
			continue
		}
		known[r.Name] = true
		what := "protocol of " + r.Name
		n, err := strconv.Atoi(r.Version)
		switch {
		case err != nil || n >= wire.ProtoVotes:
			c.ok(what, "%s", r.Version)
		case mode == control.ModePassive:
			c.ok(what, "%s, without votes; the mode is passive", r.Version)
		default:
			old[r.Name] = true
			c.fail(what, "run Spring 1.0 or newer there, or set failover.mode: passive", "%s, without votes: it cannot obey the vote gate", r.Version)
		}
	}
	return len(known) > 0
}

// judgeGate looks whether standbys are silent: each block of theirs that had to be refused was signed by a nodeos that
// hears votes in some other way, or does not mind hearing none.
func judgeGate(c *checks, st control.Status, seen sighting, replicas, observers []connected) {
	const what = "vote gate"
	if st.Mode != control.ModeVotes {
		c.warn(what, "on a Savanna chain set failover.mode: votes; before Savanna there is nothing to gate by",
			"mode %s: every replica signs, and one that dies in mid-round can cost the rest of the round", st.Mode)
		return
	}
	if st.Node != st.Leader {
		c.warn(what, askLeader(st), "%s does not see what is refused", st.Node)
		return
	}
	refused := refusedStandbys(st)
	quiet := true
	told := map[string]bool{}
	for _, r := range append(slices.Clone(replicas), observers...) {
		n := refused[r.Name]
		if n == 0 || told[r.Name] || r.Active {
			continue
		}
		told[r.Name], quiet = true, false
		switch {
		case r.Observer:
			c.fail(what, "take producer-name and the signing key out of its config.ini, or its name out of downstream.observers",
				"%s, an observer, signed %s lately", r.Name, blocksText(n))
		default:
			l := levelWarn
			if n >= gateFails {
				l = levelFail
			}
			c.add(l, what, "it hears votes by another way than the relays, or production-pause-vote-timeout-ms is 0: compare its config.ini with relayctl nodeos-config, and close its other ways out",
				"%s, a standby, signed %s lately: it would lose them in a takeover", r.Name, blocksText(n))
		}
	}
	switch {
	case !quiet:
	case seen.err != nil:
		c.warn(what, "try again; the log of the member says why", "listening failed: %v", seen.err)
	case seen.span > 0 && !seen.ours:
		c.warn(what, "watch longer, over a round of ours: relayctl status says when it comes", "no block of ours left within %s", seen.span)
	case seen.span > 0:
		c.ok(what, "no standby signed a block within %s", seen.span)
	case st.Round == nil && st.Forwarded == nil:
		c.warn(what, "watch a round of ours, then look again", "no round of ours was seen yet")
	case st.Counters.Refused > 0 && !slices.ContainsFunc(st.Events, isRefusal):
		c.warn(what, "relayctl preflight --watch 3m tells, over a round of ours; so does the leader's log: block refused",
			"%s refused since %s started; not told whose", blocksText(int(min(st.Counters.Refused, 1<<30))), st.Node)
	default:
		c.ok(what, "no standby signed a block lately")
	}
}

func isRefusal(e control.Event) bool { return e.Kind == control.KindRefused }

// refusedStandbys counts the refused blocks of each replica, without those that a standby could not help signing: soon
// after it was active, or after another member took the lead.
func refusedStandbys(st control.Status) map[string]int {
	count := map[string]int{}
	told := map[string]bool{} // two members may refuse one block
	for _, e := range st.Events {
		if !isRefusal(e) || st.Time.Sub(e.Time) > gateWindow {
			continue
		}
		switch e.Reason {
		case "source", "height", "unlinked", "slot":
		default:
			continue // it was not his turn, or not known whose
		}
		settling := slices.ContainsFunc(st.Events, func(o control.Event) bool {
			change := o.Kind == control.KindActive || o.Kind == control.KindLeader || o.Kind == control.KindReplicaUp && o.Source == e.Source
			return change && !o.Time.After(e.Time) && e.Time.Sub(o.Time) < gateSettles
		})
		if key := e.Source + " " + e.BlockID; !settling && (e.BlockID == "" || !told[key]) {
			told[key] = true
			count[e.Source]++
		}
	}
	return count
}

func judgeObservers(c *checks, st control.Status, observers []connected, left *problems) {
	const what = "observers"
	switch {
	case left.take(c, what, "", "no_finalizer"):
	case len(observers) > 0:
		c.ok(what, "%s", nameList(observers))
	case st.Mode == control.ModeVotes: // a relay of an earlier build, which says nothing of it
		c.warn(what, "run the BLS key on a node of its own (relayctl nodeos-config --finalizer) and list it in downstream.observers of every relay",
			"none is connected: where is our finalizer? With its key on a replica, our votes end with that replica")
	}
}

// judgeRound tells what became of our last round.
func judgeRound(c *checks, st control.Status, left *problems) {
	const what = "our last round"
	if left.take(c, what, "", "slots_missed") || st.Round == nil {
		return
	}
	var missed, decided int
	for _, s := range st.Round.Slots {
		if s.State != control.SlotPending {
			decided++
		}
		if s.State == control.SlotMissed {
			missed++
		}
	}
	if decided > 0 {
		c.ok(what, "%d of %d slots without a block", missed, decided)
	}
}

// judgeAlarms repeats the alarms of late, each once.
func judgeAlarms(c *checks, st control.Status) {
	told := map[string]bool{}
	for _, e := range st.Events {
		key := e.Text + "\x00" + e.Source
		if e.Kind != control.KindAlarm || st.Time.Sub(e.Time) > gateWindow || told[key] {
			continue
		}
		told[key] = true
		text := e.Text
		if e.Source != "" {
			text += " (" + e.Source + ")"
		}
		c.warn("alarm", "see the operations guide, and the log around that time", "%s ago: %s", since(st.Time.Sub(e.Time)), text)
	}
}
