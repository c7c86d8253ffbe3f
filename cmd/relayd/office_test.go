package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/control"
	"github.com/thinrelay/thinrelay/relay/upstream"
)

func TestOffice(t *testing.T) {
	var (
		follows = relay.Status{}
		bare    = relay.Status{Leading: true, Term: 7, Upstreams: []upstream.PeerStatus{{State: upstream.BackingOff}}}
		again   = relay.Status{Leading: true, Term: 9}
	)
	t0 := time.Now()
	served := func(since time.Duration) relay.Status {
		return relay.Status{Leading: true, Term: 9, Upstreams: []upstream.PeerStatus{{State: upstream.Connected, Since: t0.Add(since)}}}
	}
	type look struct {
		at      time.Duration
		s       relay.Status
		reached bool
		want    bool
	}
	tests := map[string][]look{
		"a follower":           {{0, follows, true, true}, {time.Second, follows, false, false}, {time.Hour, follows, true, true}},
		"a leader gets a time": {{0, bare, true, true}, {connectLimit - 1, bare, true, true}, {connectLimit, bare, true, false}},
		"not while TCP fails":  {{0, bare, true, true}, {connectLimit, bare, false, false}, {2*connectLimit - 1, bare, true, true}, {2 * connectLimit, bare, true, false}},
		"a new leadership":     {{0, bare, true, true}, {connectLimit, again, true, true}},
		"unfit for a while": {
			{0, bare, true, true},
			{connectLimit, bare, true, false},
			{connectLimit + unfitFirst - 1, follows, true, false},
			{connectLimit + unfitFirst, follows, true, true},
		},
		"for longer the next time": {
			{0, bare, true, true},
			{connectLimit, bare, true, false},
			{time.Hour, again, true, true},
			{time.Hour + connectLimit, again, true, false},
			{time.Hour + connectLimit + unfitFirst, follows, true, false},
			{time.Hour + connectLimit + 2*unfitFirst, follows, true, true},
		},
		"leads again and is taken": {
			{0, bare, true, true},
			{connectLimit, bare, true, false},
			{connectLimit + time.Second, again, true, false},
			{connectLimit + 2*time.Second, served(connectLimit + 2*time.Second), true, true},
			{connectLimit + 3*time.Second, follows, true, true},
		},
		"a moment's connection does not clear it": {
			{0, bare, true, true},
			{connectLimit, bare, true, false},
			{time.Minute, served(time.Minute), true, true},
			{2 * time.Minute, again, true, false},
			{3 * time.Minute, follows, true, false},
			{4 * time.Minute, follows, true, true},
		},
		"one that lasts does": {
			{0, bare, true, true},
			{connectLimit, bare, true, false},
			{time.Minute, served(time.Minute - takenFor), true, true},
			{2 * time.Minute, again, true, false},
			{3 * time.Minute, follows, true, true},
		},
	}
	for name, looks := range tests {
		t.Run(name, func(t *testing.T) {
			var o office
			for i, l := range looks {
				if got := o.judge(t0.Add(l.at), l.s, l.reached); got != l.want {
					t.Errorf("look %d, at %s: got %v, want %v", i, l.at, got, l.want)
				}
			}
		})
	}
}

// No member is taken by an upstream, for a day: leadership goes round once, then more and more seldom.
func TestOfficeComesToRest(t *testing.T) {
	offices := make([]office, 3)
	leader, term, moves := 0, uint64(1), 0
	var last time.Duration
	t0 := time.Now()
	for at := time.Duration(0); at < 24*time.Hour; at += 500 * time.Millisecond {
		fit := make([]bool, len(offices))
		for i := range offices {
			fit[i] = offices[i].judge(t0.Add(at), relay.Status{Leading: i == leader, Term: term}, true)
		}
		for i := range offices {
			if fit[i] && !fit[leader] && at-last >= minTenure {
				leader, last, term, moves = i, at, term+1, moves+1
			}
		}
		if at == time.Minute && moves > 2 {
			t.Errorf("%d moves in the first minute, want each member once", moves)
		}
	}
	if most := 3 * (int(24*time.Hour/unfitMost) + 6); moves > most {
		t.Errorf("%d moves in a day, want at most %d", moves, most)
	}
}

// A member whose connections to upstreams are accepted and closed does not keep leadership while another is served, nor get it back
// at once; and when all have that trouble, leadership does not go round and round.
func TestLeaderThatNoUpstreamTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newSimGroup(t, 1)
		defer g.close()
		g.speaks("at the start")
		was, m := g.leader()
		others := slices.DeleteFunc(slices.Clone(simNames[:]), func(name string) bool { return name == was })
		g.shut(others[0])
		if _, err := m.group.StepDown(t.Context(), others[0]); err != nil {
			t.Fatal(err)
		}
		time.Sleep(connectLimit + 2*time.Second) // fake time
		now, m := g.leader()
		if now == others[0] {
			t.Fatalf("%s still leads, without an upstream\n%s", now, g.story())
		}
		if s, _ := m.node.Status(t.Context()); connected(s.Upstreams) == 0 {
			t.Errorf("%s leads now and has no upstream either", now)
		}
		g.speaks("under another leader")

		g.shut(simNames[:]...)
		if now == was {
			was = others[1]
		}
		if _, err := m.group.StepDown(t.Context(), was); err != nil {
			t.Fatal(err)
		}
		moves, led := 0, was
		for range 100 {
			time.Sleep(500 * time.Millisecond) // fake time
			if name, m := g.leader(); m != nil && m.group.Status().Role == "leader" && name != led {
				led, moves = name, moves+1
			}
		}
		if moves == 0 || moves > 2 {
			t.Errorf("%d hand-overs in 50 s between members that are all in trouble, want at most one to each", moves)
		}
		g.shut()
		g.speaks("with upstreams again")
		time.Sleep(takenFor + 5*time.Second) // fake time
		led, m = g.leader()
		for _, name := range simNames {
			if err := m.ready(name); name != led && err != nil {
				t.Errorf("what troubled all is over, and %s may not lead: %v", name, err)
			}
		}
	})
}

// An operator hears once for each such leadership that no upstream took this relay, and for how long others are to lead. While the process
// stands still nobody is asked, and that is not counted.
func TestOfficeTellsTheOperator(t *testing.T) {
	var said bytes.Buffer
	m := &member{log: hclog.New(&hclog.LoggerOptions{Output: &said, DisableTime: true})}
	at := time.Now()
	lead := func(term uint64, looks int) (fit bool) {
		for range looks {
			at = at.Add(probeEvery)
			fit = m.judge(at, relay.Status{Leading: true, Term: term}, true)
		}
		return fit
	}
	for _, tt := range []struct {
		what string
		term uint64
		told string
	}{
		{"a first time", 7, "for=1m0s"},
		{"the same term", 7, ""},
		{"a second time", 8, "for=2m0s"},
	} {
		said.Reset()
		if lead(tt.term, 7) {
			t.Errorf("%s: fit to lead", tt.what)
		}
		if got, want := m.upstreamState(relay.Status{}), string(control.UpstreamNotTaken); got != want {
			t.Errorf("%s: status says %q, want %q", tt.what, got, want)
		}
		if got := said.String(); (got == "") != (tt.told == "") || !strings.Contains(got, tt.told) || strings.Count(got, "\n") > 1 {
			t.Errorf("%s: said %q, want one line with %q", tt.what, got, tt.told)
		}
	}
	said.Reset()
	at = at.Add(time.Hour)
	lead(9, 2)
	at = at.Add(connectLimit)
	fit := lead(9, 4)
	if got := m.upstreamState(relay.Status{}); !fit || said.Len() > 0 || got == string(control.UpstreamNotTaken) {
		t.Errorf("after a standstill that is no fault of the upstreams: fit %v, said %q, status %q", fit, said.String(), got)
	}
}

// What troubled another leader as well is over when that one is taken. As long as others are, it is this member's own.
func TestOfficeHearsOfOthers(t *testing.T) {
	const reaches, unknown = 'r', '?' // anything else: it reaches none
	lead := relay.Status{Leading: true, Term: 7}
	for name, tt := range map[string]struct {
		told string // by another leader, each second since we failed
		want int    // the second from which on we are fit
	}{
		"others are taken":             {strings.Repeat("r", 100), 60},
		"nobody leads":                 {strings.Repeat("?", 100), 60},
		"none is taken":                {strings.Repeat("r", 5) + strings.Repeat("n", 95), 60},
		"none was, and one is":         {"rrrrrnnnnn" + strings.Repeat("r", 90), 19},
		"one is for a moment":          {"nnnrrrrrr" + strings.Repeat("n", 91), 60},
		"another one leads then":       {"nnn?????" + strings.Repeat("r", 92), 17},
		"it was so the last time only": {strings.Repeat("r", 100), 60},
	} {
		t.Run(name, func(t *testing.T) {
			var o office
			at := time.Now()
			if name == "it was so the last time only" {
				o.common, o.well = true, at.Add(-time.Hour)
			}
			o.judge(at, lead, true)
			at = at.Add(connectLimit)
			o.judge(at, lead, true)
			for second, told := range tt.told {
				now := at.Add(time.Duration(second) * time.Second)
				o.heard(now, told == reaches, told != unknown)
				if got, want := o.judge(now, relay.Status{}, true), second >= tt.want; got != want {
					t.Fatalf("second %d: fit %v, want %v", second, got, want)
				}
			}
		})
	}
}

// shut makes upstreams close connections from these members on sight, and from no other.
func (g *simGroup) shut(names ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.unwelcome = names
}

// upstreamDialer dials upstreams for the next life of a member, and lets the oracle see what
// leaves.
func (g *simGroup) upstreamDialer(name string) func(context.Context, string) (net.Conn, error) {
	process := fmt.Sprintf("%s, life %d", name, g.members[name].lives+1)
	return func(ctx context.Context, addr string) (net.Conn, error) {
		return g.dialUpstream(ctx, name, process, addr)
	}
}

func (g *simGroup) dialUpstream(ctx context.Context, name, process, addr string) (net.Conn, error) {
	c, err := g.mem.Host(name).Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	if !g.isUnwelcome(name) {
		return g.net.Oracle.Watched(c, process, addr), nil
	}
	c.Close()
	near, far := net.Pipe()
	far.Close()
	return near, nil
}

func (g *simGroup) isUnwelcome(name string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Contains(g.unwelcome, name)
}
