package ctl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/thinrelay/thinrelay/relay/control"
)

// Limits of the group's figures, in milliseconds. A block waits for the commit of the one before it, 500 ms earlier.
const (
	commitWarn, commitFail = 150.0, 400.0
	diskWarn, diskFail     = 20.0, 100.0
)

// view is the group as one member sees it.
type view struct {
	status control.Status
	client *control.Client
}

// askAll asks every address of --addr, and puts the view that knows most first: the leader's, else one with a quorum.
func askAll(ctx context.Context, clients []*control.Client, c *checks) ([]view, error) {
	views := make([]*view, len(clients))
	parts := make([]checks, len(clients))
	var wg sync.WaitGroup
	for i, client := range clients {
		wg.Go(func() {
			st, err := statusOf(ctx, client)
			if err != nil {
				message, remedy := err.Error(), ""
				if e := (*control.Error)(nil); errors.As(err, &e) {
					message, remedy = e.Message, e.Remedy
				}
				parts[i].fail("relay at "+client.Addr(), remedy, "%s", message)
				return
			}
			views[i] = &view{st, client}
			parts[i].ok("relay at "+client.Addr(), "%s answers, version %s", st.Node, orDash(st.Version))
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	var out []view
	for i, v := range views {
		*c = append(*c, parts[i]...)
		if v != nil {
			out = append(out, *v)
		}
	}
	sortViews(out)
	return out, nil
}

// sortViews puts the view that knows most first.
func sortViews(views []view) {
	rank := func(v view) int {
		switch st := v.status; {
		case st.Quorum.OK && st.Leader == st.Node:
			return 0
		case st.Quorum.OK && st.Leader != "":
			return 1
		}
		return 2
	}
	slices.SortStableFunc(views, func(a, b view) int { return cmp.Compare(rank(a), rank(b)) })
}

// problems are those of a status that no check has taken up yet. What is degraded is decided in one place, by the relay: it
// fails here too.
type problems []control.Problem

// take moves the problems of some codes that concern node into the checks; false: there are none.
func (p *problems) take(c *checks, what, node string, codes ...string) bool {
	found := false
	*p = slices.DeleteFunc(*p, func(q control.Problem) bool {
		code, _, _ := strings.Cut(q.Code, " ") // upstream_refused names its address
		if q.Node != node || !slices.Contains(codes, code) && !slices.Contains(codes, q.Code) {
			return false
		}
		found = true
		c.problem(what, q)
		return true
	})
	return found
}

func (c *checks) problem(what string, q control.Problem) {
	l := levelFail
	if q.Level == control.HealthNotice {
		l = levelWarn
	}
	kind, _, _ := strings.Cut(what, " ")
	text := strings.TrimPrefix(strings.TrimPrefix(q.Text, what+" "), kind+" ") // it stands before it already
	c.add(l, what, q.Remedy, "%s", text)
}

// rest tells what no check has taken up.
func (p problems) rest(c *checks) {
	for _, q := range p {
		what := "group"
		if q.Node != "" {
			what = "member " + q.Node
		}
		c.problem(what, q)
	}
}

// judgeGroup looks at the group, its members and its way out, and returns the round trips that are known.
func judgeGroup(c *checks, views []view, left *problems) map[string]map[string]float64 {
	st := views[0].status
	judgeQuorum(c, st, left)
	for _, m := range st.Members {
		judgeMember(c, st, m, left)
	}
	judgeVersions(c, st)
	trips := judgeRoundTrips(c, views)
	for _, m := range st.Members {
		if m.Role != control.RoleUnreachable {
			judgeDisk(c, m, left)
		}
	}
	judgeClocks(c, st, left)
	if id := st.Cluster.ChainID; len(id) == 64 {
		c.ok("chain", "%s", id)
	} else {
		c.warn("chain", "it is learned from an upstream when "+clean(st.Node)+" leads for the first time; set chain_id to be safe from a wrong one", "chain id not known yet")
	}
	judgeUpstreams(c, st, left)
	return trips
}

func judgeQuorum(c *checks, st control.Status, left *problems) {
	apart := left.take(c, "quorum", st.Node, "not_member")
	if !left.take(c, "quorum", "", "no_quorum", "no_leader", "quorum_reduced") && !apart {
		c.ok("quorum", "%d of %d voters heard, %s leads in term %d", st.Quorum.Have, st.Quorum.Total, orDash(st.Leader), st.Term)
	}
	switch n := st.Quorum.Total; {
	case n == 1:
		c.warn("group size", "form a group of three: it survives the loss of one", "one relay: when it is down, no block leaves")
	case n > 0 && n%2 == 0:
		c.warn("group size", "add a relay or remove one", "%d voters survive the loss of %s, as %s would", n, lossText((n-1)/2), votersText(n-1))
	case n > 0:
		c.ok("group size", "%d voters survive the loss of %d", n, (n-1)/2)
	}
}

func lossText(n int) string {
	if n == 0 {
		return "none"
	}
	return fmt.Sprint(n)
}

func votersText(n int) string {
	if n == 1 {
		return "one"
	}
	return fmt.Sprint(n)
}

func judgeMember(c *checks, st control.Status, m control.Member, left *problems) {
	what := "member " + m.Name
	if left.take(c, what, m.Name, "member_unreachable", "nonvoter", "stale", "no_upstream", "upstream_unreachable", "upstream_not_taken", "replica_behind") {
		return
	}
	heard := "answers"
	if m.Name != st.Node {
		heard = "heard " + ageText(m.AgeMS) + " ago"
	}
	c.ok(what, "%s, %s, upstream %s", m.Role, heard, orDash(m.Upstream))
}

func judgeVersions(c *checks, st control.Status) {
	have := map[string][]string{}
	for _, m := range st.Members {
		if m.Version != "" {
			have[m.Version] = append(have[m.Version], m.Name)
		}
	}
	if len(have) > 1 {
		var text []string
		for _, v := range slices.Sorted(maps.Keys(have)) {
			text = append(text, v+" on "+strings.Join(have[v], ", "))
		}
		c.warn("versions", "finish the upgrade: one member at a time, the leader last", "%s", strings.Join(text, "; "))
		return
	}
	for v, names := range have {
		c.ok("versions", "%s on %s", v, strings.Join(names, ", "))
	}
}

// judgeRoundTrips tells the matrix, as far as the members asked know it, and what a commit costs from each.
func judgeRoundTrips(c *checks, views []view) map[string]map[string]float64 {
	const what = "round trips"
	st := views[0].status
	if len(st.Members) < 2 {
		return nil
	}
	trips := map[string]map[string]float64{}
	for _, v := range views {
		from := v.status.Node
		if trips[from] != nil {
			continue // two addresses of one member
		}
		row, voters, unknown := map[string]float64{}, []float64{}, []string{}
		for _, m := range v.status.Members {
			switch {
			case m.Name == from || m.Role == control.RoleUnreachable:
			case m.RTTMS == nil:
				unknown = append(unknown, m.Name)
			default:
				row[m.Name] = *m.RTTMS
				if m.Role != control.RoleNonvoter {
					voters = append(voters, *m.RTTMS)
				}
			}
		}
		trips[from] = row
		if len(row) > 0 {
			judgeRow(c, what+" of "+from, row, voters, v.status.Quorum.Need-1)
		}
		if len(unknown) > 0 {
			c.warn(what+" of "+from, "look again in half a minute; if it stays so, open the gossip port (TCP and UDP) between them",
				"to %s: not measured yet", strings.Join(unknown, ", "))
		}
	}
	return trips
}

// judgeRow judges the round trips of one member. With it as leader, a commit takes that to the others the majority needs.
func judgeRow(c *checks, what string, row map[string]float64, voters []float64, others int) {
	var text []string
	for _, to := range slices.Sorted(maps.Keys(row)) {
		text = append(text, fmt.Sprintf("%s %s", to, msText(row[to])))
	}
	list := strings.Join(text, ", ")
	if others < 1 || len(voters) < others {
		c.ok(what, "%s", list)
		return
	}
	slices.Sort(voters)
	commit := voters[others-1]
	const next = "put a relay nearer: of three, two in neighbouring regions; the distance to the third does not count"
	switch {
	case commit > commitFail:
		c.fail(what, next, "%s: as leader, a commit takes %s of the 500ms of a slot", list, msText(commit))
	case commit > commitWarn:
		c.warn(what, next, "%s: as leader, a commit takes %s of the 500ms of a slot", list, msText(commit))
	default:
		c.ok(what, "%s: as leader, a commit takes %s", list, msText(commit))
	}
}

const diskRemedy = "move data_dir to a local SSD that nothing else writes to"

func judgeDisk(c *checks, m control.Member, left *problems) {
	what := "disk of " + m.Name
	switch {
	case left.take(c, what, m.Name, "disk"):
	case m.DiskP99MS == nil:
		c.warn(what, "look again in a minute, or measure it there: relayctl preflight --data-dir", "not measured yet")
	case *m.DiskP99MS > diskWarn:
		c.warn(what, diskRemedy, "writes take %s (p99)", msText(*m.DiskP99MS))
	default:
		c.ok(what, "writes take %s (p99)", msText(*m.DiskP99MS))
	}
}

func judgeClocks(c *checks, st control.Status, left *problems) {
	var unknown []string
	for _, m := range st.Members {
		what := "clock of " + m.Name
		switch {
		case m.Name == st.Node || m.Role == control.RoleUnreachable:
		case left.take(c, what, m.Name, "clock"):
		case m.ClockOffsetMS == nil:
			unknown = append(unknown, m.Name)
		default:
			c.ok(what, "%+.0fms from that of %s", math.Round(*m.ClockOffsetMS)+0, st.Node) // +0: no "-0"
		}
	}
	switch {
	case len(unknown) == 0:
	case st.Node == st.Leader:
		c.warn("clocks", "look again in a few seconds; if it stays so, its link to the leader is missing: see its log", "%s: not known yet", strings.Join(unknown, ", "))
	default:
		c.warn("clocks", askLeader(st), "%s: not known to %s", strings.Join(unknown, ", "), st.Node)
	}
}

// askLeader is what to do about figures that the leader alone has.
func askLeader(st control.Status) string {
	if st.Leader == "" {
		return "look again when there is a leader"
	}
	return fmt.Sprintf("ask the leader: name the API of %s in --addr, or run it there", st.Leader)
}

func judgeUpstreams(c *checks, st control.Status, left *problems) {
	for _, u := range st.Upstreams {
		what := "upstream " + u.Addr
		switch {
		case left.take(c, what, u.Node, "upstream_refused "+u.Addr):
		case u.State == control.UpstreamConnected:
			c.ok(what, "connected to %s, head %s%s", orDash(u.Node), heightText(u.Head), rttText(u.RTTMS))
		default:
			c.warn(what, "check the address and the way out of the leader's host, and ask its operator for p2p-max-nodes-per-host >= 4",
				"%s: %s", u.State, orDash(u.LastError))
		}
	}
	left.take(c, "upstreams", "", "one_upstream", "upstreams_lost")
	if len(st.Upstreams) == 1 {
		c.warn("upstreams", "add a second one, on another host, to upstream.peers of every relay", "one configured: when it is down, so is the way out")
	}
}

func heightText(num uint32) string {
	if num == 0 {
		return "not told"
	}
	return fmt.Sprintf("#%d", num)
}

func rttText(ms *float64) string {
	if ms == nil {
		return ""
	}
	return ", " + msText(*ms)
}

func msText(ms float64) string {
	if ms < 10 {
		return fmt.Sprintf("%.1fms", ms)
	}
	return fmt.Sprintf("%.0fms", ms)
}
