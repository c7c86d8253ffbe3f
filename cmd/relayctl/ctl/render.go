package ctl

import (
	"fmt"
	"strings"
	"time"

	"github.com/thinrelay/thinrelay/relay/control"
)

// renderStatus draws a status as text.
func renderStatus(st control.Status, colours bool) string {
	var b strings.Builder
	b.WriteString(renderHead(st, colours))
	b.WriteString(renderMembers(st, colours))
	b.WriteString(renderProblems(st, colours))
	return b.String()
}

func renderHead(st control.Status, colours bool) string {
	var b strings.Builder
	name := st.Cluster.Name
	if name == "" {
		name = strings.Join(st.Cluster.Producers, ",")
	}
	quorum, tone := fmt.Sprintf("%d/%d", st.Quorum.Have, st.Quorum.Total), green
	switch {
	case st.Quorum.Total == 0:
		quorum, tone = "none yet", red
	case !st.Quorum.OK:
		quorum, tone = quorum+" LOST", red
	case st.Quorum.Have < st.Quorum.Total:
		tone = yellow
	}
	leader := "none"
	if st.Leader != "" {
		leader = clean(st.Leader)
	}
	if !st.LeaderSince.IsZero() {
		leader += " (" + since(st.Time.Sub(st.LeaderSince)) + ")"
	}
	fmt.Fprintf(&b, "CLUSTER %s   QUORUM %s   TERM %d   LEADER %s   MODE %s\n",
		clean(name), paint(colours, tone, quorum), st.Term, leader, clean(string(st.Mode)))

	b.WriteString("FORWARDED  " + forwardedText(st.Forwarded))
	switch {
	case st.Round != nil && st.Round.Live:
		fmt.Fprintf(&b, "   ROUND %s", roundMarks(*st.Round))
	case st.NextRoundMS != nil:
		fmt.Fprintf(&b, "   NEXT ROUND %ds", *st.NextRoundMS/1000)
	}
	b.WriteByte('\n')
	return b.String()
}

// forwardedText is the last block that left, and the one of another producer on which the mark rests since.
func forwardedText(f *control.Forwarded) string {
	switch {
	case f == nil:
		return "nothing yet"
	case f.Producer != "" && f.Ours == nil:
		return "not known here" + restsText(f)
	case f.Producer != "":
		return forwardedText(f.Ours) + restsText(f)
	}
	text := fmt.Sprintf("#%d %s  slot %s  %s ago", f.Num, shortID(f.ID), f.SlotTime.UTC().Format("15:04:05.000"), ageText(f.AgeMS))
	if f.Source != "" {
		text += "   from " + clean(f.Source)
	}
	return text
}

func restsText(f *control.Forwarded) string {
	return fmt.Sprintf("   MARK reserved on #%d of %s", f.Num, clean(f.Producer))
}

// roundMarks draws the twelve slots in twelve characters.
func roundMarks(r control.Round) string {
	var b strings.Builder
	for _, s := range r.Slots {
		switch s.State {
		case control.SlotForwarded:
			b.WriteByte('#')
		case control.SlotLate:
			b.WriteByte('l')
		case control.SlotMissed:
			b.WriteByte('x')
		case control.SlotOther:
			b.WriteByte('o')
		default:
			b.WriteByte('.')
		}
	}
	return "[" + b.String() + "]"
}

func renderMembers(st control.Status, colours bool) string {
	t := table{columns: []column{{"NODE", 5}, {"ROLE", 0}, {"UPSTREAM", 0}, {"REPLICAS", 20}, {"MARK", 0}, {"RTT", 0}, {"DISK p99", 0}, {"VERSION", 6}}}
	for _, m := range st.Members {
		tone := plain
		switch m.Role {
		case control.RoleLeader:
			tone = green
		case control.RoleUnreachable:
			tone = red
		}
		old := ""
		if m.Stale {
			old = "~"
		}
		mark := "-"
		if m.Mark != 0 {
			mark = fmt.Sprintf("%s#%d", old, m.Mark)
		}
		note := clean(m.Note)
		if m.Stale {
			note = strings.TrimPrefix(note+", ", ", ") + "heard " + ageText(m.AgeMS) + " ago"
		}
		row := []cell{
			text(clean(m.Name)),
			{clean(string(m.Role)), tone},
			text(oldText(old, clean(m.Upstream))), text(oldText(old, replicaList(m.Replicas))),
			text(mark), text(millis(old, m.RTTMS)), text(millis(old, m.DiskP99MS)), text(orDash(clean(m.Version))),
		}
		if note != "" {
			row = append(row, cell{note, yellow})
		}
		t.add(row...)
	}
	return t.render(colours)
}

func replicaList(replicas []control.Replica) string {
	if len(replicas) == 0 {
		return "-"
	}
	names := make([]string, len(replicas))
	for i, r := range replicas {
		name := clean(r.Name)
		switch {
		case r.Observer:
			name = "[" + name + "]"
		case r.Active:
			name += "*"
		}
		switch {
		case r.Syncing:
			name += "…"
		case r.Behind:
			name += "!"
		}
		names[i] = name
	}
	return strings.Join(names, " ")
}

// inTable says whether a problem is one that the table has anyway: a clock among the remarks, a member without a vote as its role.
func inTable(p control.Problem) bool {
	return p.Level == control.HealthNotice && (p.Code == "clock" || p.Code == "nonvoter")
}

// renderProblems lists what is wrong, or worth knowing, and stands nowhere else.
func renderProblems(st control.Status, colours bool) string {
	var b strings.Builder
	for _, p := range st.Problems {
		if inTable(p) {
			continue
		}
		tone, who := yellow, ""
		switch p.Level {
		case control.HealthDown:
			tone = red
		case control.HealthNotice:
			tone = plain
		}
		if p.Node != "" {
			who = clean(p.Node) + ": "
		}
		fmt.Fprintf(&b, "%s  %s%s\n", paint(colours, tone, strings.ToUpper(clean(string(p.Level)))), who, clean(p.Text))
		if p.Remedy != "" {
			fmt.Fprintf(&b, "  next: %s\n", clean(p.Remedy))
		}
	}
	if b.Len() == 0 {
		return ""
	}
	return "\n" + b.String()
}

// oldText marks what is too old to count on, where there is something.
func oldText(old, s string) string {
	if s == "" || s == "-" {
		return "-"
	}
	return old + s
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// shortID is the part of a block id that tells blocks of one height apart.
func shortID(id string) string {
	if len(id) < 16 {
		return clean(id)
	}
	return clean(id[8:16])
}

func millis(old string, ms *float64) string {
	if ms == nil {
		return "-"
	}
	return fmt.Sprintf("%s%.0fms", old, *ms)
}

// ageText is a short duration: "42ms", "1.2s", "3m12s".
func ageText(ms int64) string {
	d := time.Duration(ms) * time.Millisecond
	switch {
	case d < time.Second:
		return d.String()
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		return d.Round(time.Second).String()
	}
	return since(d)
}

// since is a long duration in its two greatest units: "2h13m", "5d3h", "41s".
func since(d time.Duration) string {
	d = max(d, 0)
	switch h := int(d.Hours()); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", int(d.Minutes()), int(d.Seconds())%60)
	case h < 48:
		return fmt.Sprintf("%dh%dm", h, int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%dd%dh", h/24, h%24)
	}
}
