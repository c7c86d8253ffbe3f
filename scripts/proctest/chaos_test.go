package proctest_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/relay/simnet"
)

// What a chaos run is, see the Makefile: go test -run TestChaos -args -faults 40.
var (
	chaosFaults = flag.Int("faults", 0, "chaos: how many faults; 0: no run")
	chaosSeed   = flag.Uint64("seed", 1, "chaos: seed of the schedule; 0: a random one")
	chaosKinds  = flag.String("kinds", "", "chaos: draw these kinds only, by comma")
	chaosFor    = flag.Duration("for", 0, "chaos: begin no wave after this time; 0: until all faults have been")
	chaosPause  = flag.Duration("longest", time.Minute, "chaos: how long a fault lasts at most")
	chaosReport = flag.String("report", "", "chaos: add the counts to this file, for several legs of one run")
)

// resumeWithin is how long after the last fault is healed the group must be
// whole again, and a block of ours must have left.
const resumeWithin = 30 * time.Second

// chaos is a run: waves of faults, some at once, on one group under
// transactions. All of a wave is healed, and the group must resume, before the
// next. Everything is done by the test's goroutine, but what watches.
type chaos struct {
	*group
	began    time.Time
	deck     *deck
	noticed  int // relays that have noticed that their data_dir was an old copy
	kinds    map[string]*tally
	struck   int // faults that had an effect
	unjudged []func()
	wave     int
	waves    []time.Duration // how long each took to resume
	locks    map[string]bool // what a fault under way has to itself
	down     map[string]int  // relays that a fault keeps down, by how many faults
	afflict  map[string]*affliction
	afflicts map[string]time.Time // when a relay's disk was bad last
	dirs     map[string]string    // the relays' folders
	mounted  bool                 // they have disks of their own
	backups  map[string]backup
	old      map[string]bool            // relays that were given one, since their data_dir was last empty
	unruly   map[string]*simnet.Replica // replicas that ignore the vote gate, by name
	fin2     *simnet.Replica            // a second host with our finalizer's key
	fin2Ran  bool
	ended    map[string]time.Time // relays found ended, and when
	lines    *lines
	watch    *watch
	pending  []event
	failures []string
}

// tally counts a kind of fault: how often it had an effect, and how often none.
type tally struct{ n, idle int }

// event is something to be done at a time.
type event struct {
	at time.Time
	do func()
}

func TestChaos(t *testing.T) {
	if *chaosFaults == 0 {
		t.Skip("no faults asked for: make chaos")
	}
	if *chaosSeed == 0 {
		*chaosSeed = rand.Uint64()>>40 + 1
	}
	c := newChaos(t, buildAfflicted(t, overlay{}), *chaosSeed, false)
	c.run(*chaosFaults)
	c.verdict()
}

// newChaos starts the group. In a wild one all replicas sign, votes or not.
func newChaos(t *testing.T, relayd string, seed uint64, wild bool) *chaos {
	t.Helper()
	c := &chaos{
		began: time.Now(), deck: newDeck(seed, *chaosKinds), kinds: make(map[string]*tally), locks: make(map[string]bool),
		down: make(map[string]int), afflict: make(map[string]*affliction), afflicts: make(map[string]time.Time), dirs: make(map[string]string), backups: make(map[string]backup), old: make(map[string]bool), ended: make(map[string]time.Time), lines: newLines(),
	}
	c.watch = newWatch(c)
	s := setup{seed: seed, wild: wild, watch: c.watch.event, prepare: func(r *relay) { c.prepare(t, r, relayd) }}
	if wild {
		s.apart = 30 * time.Millisecond // so that there is a while in which a proposal is under way
	}
	c.group = newGroup(t, s)
	c.lines.say("seed %d, %d kinds of fault, three relays, group whole after %s", seed, len(c.deck.kinds), time.Since(c.began).Round(time.Millisecond))
	c.standbys()
	c.watch.start(t)
	return c
}

// run lets faults happen, in waves, until so many had an effect; of those that had none
// there are as many at most.
func (c *chaos) run(faults int) {
	begun := 0
	for c.struck < faults && begun < 2*faults && !c.watch.broken() {
		if *chaosFor > 0 && time.Since(c.began) > *chaosFor {
			return
		}
		c.wave++
		r := rand.New(rand.NewPCG(c.seeds[0], uint64(c.wave)))
		n := min(c.atOnce(r), faults-c.struck, 2*faults-begun)
		c.backUp(r)
		for i, start := 0, time.Now(); i < n; i++ {
			c.until(start)
			c.strikeKind(r)
			begun++
			start = time.Now().Add(time.Duration(r.Int64N(int64(c.spacing()))))
		}
		c.until(time.Time{})
		c.resume()
		for _, judge := range c.unjudged {
			judge()
		}
		c.unjudged = nil
	}
}

// strikeKind begins the next fault of the deck that can be now.
func (c *chaos) strikeKind(r *rand.Rand) {
	for tries := range 60 + 4*len(c.deck.kinds) {
		if tries > 4*len(c.deck.kinds) {
			c.until(time.Now().Add(time.Second)) // all have to wait for something
		}
		k := c.deck.draw()
		fr := rand.New(rand.NewPCG(r.Uint64(), 1))
		f := c.prepareFault(k, fr)
		if f == nil {
			c.deck.putBack(k)
			continue
		}
		text := f.what
		if f.lasts > 0 {
			text += " for " + f.lasts.Round(10*time.Millisecond).String()
		}
		c.lines.say("wave %-3d %-12s %s", c.wave, k.name, text)
		f.begin()
		if f.heal != nil {
			c.at(f.lasts, func() {
				f.heal()
				c.count(k, f)
				c.unlock(f.locks)
			})
		} else {
			c.unjudged = append(c.unjudged, func() { c.count(k, f) })
			c.unlock(f.locks)
		}
		return
	}
	c.t.Fatal("none of these faults can be")
}

// count counts a fault that is over. One that had no effect comes again.
func (c *chaos) count(k *kind, f *fault) {
	if c.kinds[k.name] == nil {
		c.kinds[k.name] = &tally{}
	}
	if f.struck() {
		c.kinds[k.name].n++
		c.struck++
		return
	}
	c.kinds[k.name].idle++
	c.lines.say("wave %-3d %-12s without an effect: %s", c.wave, k.name, f.what)
	c.deck.putBack(k)
}

// prepareFault lets a kind choose what it does, nil when that cannot be now.
func (c *chaos) prepareFault(k *kind, r *rand.Rand) *fault {
	if k.inRound {
		c.untilRound(r)
	}
	if k.inTheirs {
		c.untilTheirs(r)
	}
	f := k.prepare(c, r)
	if f == nil {
		return nil
	}
	for _, l := range f.locks {
		if c.locks[l] {
			return nil
		}
	}
	for _, l := range f.locks {
		c.locks[l] = true
	}
	return f
}

// unlock lets other faults at what one had to itself, but for what is to be left
// alone until the wave is over.
func (c *chaos) unlock(locks []string) {
	for _, l := range locks {
		if !strings.HasPrefix(l, wholeWave) {
			delete(c.locks, l)
		}
	}
}

// wholeWave begins the name of a lock that lasts until the wave is over.
const wholeWave = "wave: "

// at does something later.
func (c *chaos) at(in time.Duration, do func()) {
	c.pending = append(c.pending, event{time.Now().Add(in), do})
}

// until does what is due until a time; zero: all of it. Relays that have ended
// by themselves are started again meanwhile, as a service manager does.
func (c *chaos) until(t time.Time) {
	for {
		c.supervise()
		next := -1
		for i, e := range c.pending {
			if next < 0 || e.at.Before(c.pending[next].at) {
				next = i
			}
		}
		now := time.Now()
		switch {
		case next >= 0 && !c.pending[next].at.After(now):
			e := c.pending[next]
			c.pending = slices.Delete(c.pending, next, next+1)
			e.do()
		case t.IsZero() && next < 0, !t.IsZero() && !now.Before(t):
			return
		default:
			pass(poll)
		}
	}
}

// atOnce is how many faults a wave has.
func (c *chaos) atOnce(r *rand.Rand) int {
	if c.setup.wild {
		return 1 + r.IntN(2)
	}
	return 3 + r.IntN(4)
}

// spacing is how far apart the faults of a wave begin, at most.
func (c *chaos) spacing() time.Duration {
	if c.setup.wild {
		return 400 * time.Millisecond
	}
	return 2500 * time.Millisecond
}

// opening is when, after the begin of a round, all replicas have built on the
// same block and none of what they built has been decided.
const opening = 250 * time.Millisecond

// untilRound waits for a random moment of a round of ours; in a wild group, of
// the first second of one, since later each replica is on a branch of its own.
func (c *chaos) untilRound(r *rand.Rand) {
	if c.setup.wild {
		begin, _ := c.round(time.Now())
		if time.Since(begin) > opening+time.Second {
			begin, _ = c.round(time.Now().Add(roundSlots * c.net.Chain.Clock.Length))
		}
		if begin.After(time.Now().Add(-opening)) {
			c.until(begin.Add(opening + time.Duration(r.Int64N(int64(opening)))))
		}
		return
	}
	begin, end := c.round(time.Now().Add(time.Second))
	if now := time.Now(); begin.Before(now) {
		begin = now
	}
	c.until(begin.Add(time.Duration(r.Int64N(int64(end.Sub(begin))))))
}

// untilTheirs waits for a random moment of a round that is not ours, but for its last second.
func (c *chaos) untilTheirs(r *rand.Rand) {
	const last = time.Second
	now := time.Now()
	begin, end := c.round(now.Add(last))
	if begin.Before(now.Add(last)) { // it is ours now
		begin, _ = c.round(end.Add(last))
	}
	from := begin.Add(-roundSlots * c.net.Chain.Clock.Length)
	if from.Before(now) {
		from = now
	}
	c.until(from.Add(time.Duration(r.Int64N(int64(begin.Add(-last).Sub(from)) + 1))))
}

// resume waits until all is well after the last fault of a wave.
func (c *chaos) resume() {
	healed := time.Now()
	var whole, block time.Duration
	ok := func(limit time.Duration) bool {
		return within(limit, func() bool {
			c.supervise()
			c.unpause()
			if whole == 0 && c.whole() && c.attached() == allAttached() {
				whole = time.Since(healed)
			}
			if e, left := c.emitted.fresh(healed); left && block == 0 {
				block = max(e.at.Sub(healed), time.Millisecond)
			}
			return whole > 0 && block > 0 || c.watch.broken()
		})
	}
	inTime := ok(resumeWithin)
	if !inTime {
		c.fail("not resumed within %s: %s", resumeWithin, c.state())
		if !ok(2 * time.Minute) {
			c.watch.halt("not resumed at all: "+c.state(), time.Now())
			return
		}
	}
	clear(c.locks)
	c.waves = append(c.waves, max(whole, block))
	c.lines.say("wave %-3d %-12s whole after %s, a block of ours after %s", c.wave, "resumed", whole.Round(10*time.Millisecond), block.Round(10*time.Millisecond))
}

// unpause lets the network's own producer go on when it has paused, as its
// operator would. One that has signed twice in a slot lacks its own vote for the
// second block; when our round then fails altogether, no vote follows, and it
// waits for ever. No relay has a part in that: votes of its own and of the two
// finalizers at up-1 reach it inside the network.
func (c *chaos) unpause() {
	bpb, err := c.net.Producer("bpb")
	if err != nil {
		c.t.Fatal(err)
	}
	if v, ok := bpb.View(); ok && v.Paused != "" {
		c.lines.say("         %-12s had paused (%s): its operator lets it go on", "bpb", v.Paused)
		bpb.Resume()
	}
}

// fail notes a broken promise that does not end the run.
func (c *chaos) fail(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	c.failures = append(c.failures, text)
	c.lines.say("wave %-3d %-12s %s", c.wave, "FAILED", text)
	c.watch.timeline(text, time.Now())
}

// state says in a line what is not well.
func (c *chaos) state() string {
	leader, s := c.leads()
	var b strings.Builder
	fmt.Fprintf(&b, "leader %q, quorum %d/%d, active %q, %d of %d attached;", leader, s.Quorum.Have, s.Quorum.Total, s.Active, c.attached(), allAttached())
	for _, m := range s.Members {
		fmt.Fprintf(&b, " %s %s %s %q stale=%v,", m.Name, m.Role, m.Upstream, m.Note, m.Stale)
	}
	for _, u := range s.Upstreams {
		fmt.Fprintf(&b, " %s %s %s,", u.Addr, u.State, u.LastError)
	}
	for _, n := range relayNames {
		if c.relays[n].pid() == 0 {
			fmt.Fprintf(&b, " %s does not run,", n)
		}
	}
	for _, n := range c.nodes() {
		if v, ok := n.View(); ok {
			fmt.Fprintf(&b, " %s head #%d root #%d paused %q,", n.Name(), v.Head.Num(), v.Root.Num(), v.Paused)
		}
	}
	return b.String()
}

// nodes are the nodeos that run: the network's, and ours.
func (c *chaos) nodes() (list []*simnet.Node) {
	if bpb, err := c.net.Producer("bpb"); err == nil {
		list = append(list, bpb)
	}
	for i := range upstreamNames {
		list = append(list, c.net.Upstream(i))
	}
	for _, name := range replicaNames {
		if n := c.replicas[name].Node(); n != nil {
			list = append(list, n)
		}
	}
	return list
}
