package proctest_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// moment is a line of a timeline.
type moment struct {
	at        time.Time
	who, what string
}

// lines is what an operator reads, as it happens, and can be asked for again.
type lines struct {
	began time.Time
	mu    sync.Mutex
	said  []moment
}

func newLines() *lines { return &lines{began: time.Now()} }

func (l *lines) say(format string, args ...any) {
	now := time.Now()
	text := fmt.Sprintf(format, args...)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.said = append(l.said, moment{now, "chaos", text})
	fmt.Printf("%7.1fs  %s\n", now.Sub(l.began).Seconds(), text)
}

// replay is the command that does it again.
func (c *chaos) replay() string {
	kinds := ""
	if *chaosKinds != "" {
		kinds = " KINDS=" + *chaosKinds
	}
	return fmt.Sprintf("make chaos SEED=%d FAULTS=%d%s", c.seeds[0], *chaosFaults, kinds)
}

// report says that a promise was broken, what led to it, and how to see it again.
func (w *watch) report(what string, at time.Time) {
	w.mu.Lock()
	if w.first == "" {
		w.first = what
	}
	w.mu.Unlock()
	w.c.lines.say("BROKEN       %s", what)
	w.timeline(what, at)
}

// timeline prints what happened before a moment: faults, blocks, and what the
// relays have logged, merged.
func (w *watch) timeline(what string, at time.Time) {
	const before, most = 8 * time.Second, 120
	var all []moment
	w.c.lines.mu.Lock()
	all = append(all, w.c.lines.said...)
	w.c.lines.mu.Unlock()
	w.mu.Lock()
	all = append(all, w.events...)
	w.mu.Unlock()
	for name, r := range w.c.relays {
		all = append(all, logged(name, r.log())...)
	}
	all = slices.DeleteFunc(all, func(m moment) bool { return m.at.Before(at.Add(-before)) || m.at.After(at) })
	slices.SortStableFunc(all, func(a, b moment) int { return a.at.Compare(b.at) })
	fmt.Printf("--- the last %s before: %s\n", before, what)
	for _, m := range all[max(0, len(all)-most):] {
		fmt.Printf("    %s  %-9s %s\n", m.at.UTC().Format("15:04:05.000"), m.who, m.what)
	}
	fmt.Printf("--- to see it again: %s\n", w.c.replay())
}

// logged reads a relay's log.
func logged(name, text string) (out []moment) {
	for line := range strings.Lines(text) {
		var l map[string]any
		if json.Unmarshal([]byte(line), &l) != nil {
			continue
		}
		at, err := time.Parse(time.RFC3339, fmt.Sprint(l["@timestamp"]))
		if err != nil || l["@module"] == "relayd.http" {
			continue
		}
		what := fmt.Sprint(l["@message"])
		for _, k := range slices.Sorted(maps.Keys(l)) {
			if k[0] != '@' && k != "node" {
				what += fmt.Sprintf(" %s=%.60v", k, l[k])
			}
		}
		out = append(out, moment{at, name, what})
	}
	return out
}

// leg is the outcome of a run, or of several together.
type leg struct {
	Legs, Waves, Faults           int
	Kinds                         map[string]int // what had an effect
	Idle                          map[string]int // what had none
	Took                          time.Duration
	Double, Unlinked, Lowered     int
	Slots, Lost, Late, NotResumed int
	Noticed                       int // old copies of a data_dir that were
	Votes, Against, Apart         int // that left; that were not to; that another process had voted against
	Resumed                       []time.Duration
	Seeds                         []uint64
}

// verdict ends the run: the marks on the disks, the counts, pass or fail.
func (c *chaos) verdict() {
	c.until(time.Time{})
	within(time.Minute, func() bool {
		v, ok := c.net.Upstream(0).View()
		return ok && v.Root.Slot > c.slotOf(time.Now())-2*roundSlots || c.watch.broken()
	})
	r := c.net.Report()
	for name, relay := range c.relays {
		c.watch.panicked(name, tail(relay.log(), 200))
	}
	if r.Left < r.Emitted {
		c.fail("%d blocks were seen leaving, of %d slots they arrived: not all connections are looked at", r.Left, r.Emitted)
	}
	against, apart, left := c.net.Oracle.Votes()
	for _, v := range apart {
		c.lines.say("a second vote of a key in a slot, by another process: %s gets %d (%.16s) from %s, beside %.16s", v.Node, v.Height, v.ID, v.Relay, v.Other)
	}
	if left == 0 {
		c.fail("no vote was seen leaving: they are not looked at")
	}
	c.marksOnDisk()
	l := leg{
		Legs: 1, Waves: c.wave, Kinds: make(map[string]int), Idle: make(map[string]int), Took: time.Since(c.began), Double: r.Double, Unlinked: r.Unlinked,
		Lowered: c.watch.lowered, Slots: r.SlotsOurs, Lost: r.Missed, Late: r.Late, NotResumed: len(c.failures), Resumed: c.waves,
		Noticed: c.noticed, Seeds: []uint64{c.seeds[0]}, Votes: left, Against: len(against), Apart: len(apart),
	}
	for name, n := range c.kinds {
		l.Faults += n.n
		if n.n > 0 {
			l.Kinds[name] = n.n
		}
		if n.idle > 0 {
			l.Idle[name] = n.idle
		}
	}
	l.print(c.lines)
	c.blind(l)
	if l.broken() || c.watch.broken() {
		c.t.Errorf("broken promises; to see it again: %s", c.replay())
	}
	if *chaosReport != "" {
		c.add(l)
	}
}

// broken reports a promise that was not kept. Nor may an old copy of a data_dir go
// unnoticed: what its owner has voted for since is forgotten there.
func (l leg) broken() bool {
	return l.Double+l.Unlinked+l.Lowered+l.Against+l.NotResumed > 0 || l.Noticed < l.Kinds["backup"]
}

// enough is how many faults of a kind without an effect are no chance any more.
const enough = 5

// blind fails the run for kinds of fault that never had an effect: what they should have
// shown was not looked at.
func (c *chaos) blind(l leg) {
	for _, k := range l.without() {
		c.lines.say("BROKEN       fault %s: %d of them, and not one had an effect", k, l.Idle[k])
		c.t.Errorf("fault %s does nothing", k)
	}
}

// without are the kinds of which enough were begun, and none had an effect.
func (l leg) without() (kinds []string) {
	for _, k := range slices.Sorted(maps.Keys(l.Idle)) {
		if l.Kinds[k] == 0 && l.Idle[k] >= enough {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

func (l leg) print(to *lines) {
	verdict := "PASS"
	if l.broken() || len(l.without()) > 0 {
		verdict = "FAIL"
	}
	to.say("%s  %d faults in %d waves, %s: %d double, %d unlinked, %d lowered marks, %d times not resumed or not ended in time",
		verdict, l.Faults, l.Waves, l.Took.Round(time.Second), l.Double, l.Unlinked, l.Lowered, l.NotResumed)
	to.say("slots of ours %d, lost %d, late %d; of %d old copies of a data_dir %d were noticed", l.Slots, l.Lost, l.Late, l.Kinds["backup"], l.Noticed)
	to.say("votes sent up %d, not for a later slot than the last %d, against another process's %d", l.Votes, l.Against, l.Apart)
	if len(l.Resumed) > 0 {
		to.say("resumed after the last fault of a wave: %s", spread(l.Resumed))
	}
	to.say("by kind:%s", counts(l.Kinds))
	if len(l.Idle) > 0 {
		to.say("not counted, since they had no effect:%s", counts(l.Idle))
	}
}

func counts(of map[string]int) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(of)) {
		fmt.Fprintf(&b, " %s %d", k, of[k])
	}
	return b.String()
}

var markOf = regexp.MustCompile(`mark +#(\d+)`)

// marksOnDisk stops the relays and asks each disk for its mark: the highest that a
// leader has told was agreed on, so it is on a majority of the disks, not just on one.
func (c *chaos) marksOnDisk() {
	var marks []uint64
	for _, r := range c.relays {
		r.kill()
		out, err := exec.Command(filepath.Join(bin, "relayd"), "recover", "--config", r.config).CombinedOutput()
		m := markOf.FindSubmatch(out)
		if m == nil {
			c.lines.say("no mark on the disk of %s: %v %s", r.name, err, out)
			continue
		}
		n, _ := strconv.ParseUint(string(m[1]), 10, 32)
		marks = append(marks, n)
	}
	told, have := c.watch.highest(), 0
	for _, n := range marks {
		if n >= uint64(told) {
			have++
		}
	}
	if told == 0 || have <= len(relayNames)/2 {
		c.watch.lowered++
		c.lines.say("BROKEN       S3: a leader told mark #%d, the disks have %v", told, marks)
	}
}

// add adds the outcome to the report's file, and prints its table.
func (c *chaos) add(l leg) {
	var sum leg
	b, err := os.ReadFile(*chaosReport)
	if err == nil {
		err = json.Unmarshal(b, &sum)
	}
	if err != nil && !os.IsNotExist(err) {
		c.t.Fatal(err)
	}
	if sum.Kinds == nil {
		sum.Kinds = make(map[string]int)
	}
	if sum.Idle == nil {
		sum.Idle = make(map[string]int)
	}
	for k, n := range l.Idle {
		sum.Idle[k] += n
	}
	for k, n := range l.Kinds {
		sum.Kinds[k] += n
	}
	sum.Legs, sum.Waves, sum.Faults, sum.Took = sum.Legs+1, sum.Waves+l.Waves, sum.Faults+l.Faults, sum.Took+l.Took
	sum.Double, sum.Unlinked, sum.Lowered = sum.Double+l.Double, sum.Unlinked+l.Unlinked, sum.Lowered+l.Lowered
	sum.Slots, sum.Lost, sum.Late, sum.NotResumed = sum.Slots+l.Slots, sum.Lost+l.Lost, sum.Late+l.Late, sum.NotResumed+l.NotResumed
	sum.Noticed += l.Noticed
	sum.Votes, sum.Against, sum.Apart = sum.Votes+l.Votes, sum.Against+l.Against, sum.Apart+l.Apart
	sum.Resumed, sum.Seeds = append(sum.Resumed, l.Resumed...), append(sum.Seeds, l.Seeds...)
	if b, err = json.MarshalIndent(sum, "", "  "); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(*chaosReport, b, 0o600); err != nil {
		c.t.Fatal(err)
	}
	sum.table()
	c.blind(sum)
}

// table prints what docs/evidence.md shows.
func (l leg) table() {
	commit, _ := exec.Command("git", "describe", "--always", "--dirty").Output()
	fmt.Printf("\n%s, commit %s, %s, %d cores, %s.\n", time.Now().UTC().Format("2006-01-02"), strings.TrimSpace(string(commit)), machine(), runtime.NumCPU(), runtime.Version())
	fmt.Printf("Seeds %v: %d faults in %d waves, %s.\n\n", l.Seeds, l.Faults, l.Waves, l.Took.Round(time.Second))
	fmt.Println("| what | |\n|---|---|")
	fmt.Printf("| heights with two blocks | %d |\n| unlinked blocks | %d |\n| lowered marks | %d |\n| not resumed within %s | %d |\n", l.Double, l.Unlinked, l.Lowered, resumeWithin, l.NotResumed)
	fmt.Printf("| votes sent up | %d |\n| not for a later slot than the last, by one process | %d |\n| two for a slot, by two processes | %d |\n", l.Votes, l.Against, l.Apart)
	fmt.Printf("| slots of ours, under faults all the time | %d |\n| of them lost | %d |\n| old copies of a data_dir, and noticed | %d, %d |\n", l.Slots, l.Lost, l.Kinds["backup"], l.Noticed)
	if len(l.Resumed) > 0 {
		fmt.Printf("| whole again, and a block of ours out | %s |\n", spread(l.Resumed))
	}
	fmt.Println("\n| fault | times | without an effect, not counted |\n|---|---|---|")
	for _, k := range kinds {
		fmt.Printf("| %s | %d | %d |\n", k.name, l.Kinds[k.name], l.Idle[k.name])
	}
}

// machine is the processor's name.
func machine() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(b)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimSpace(strings.TrimLeft(name, "\t :"))
		}
	}
	return runtime.GOARCH
}
