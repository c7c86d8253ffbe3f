package ctl

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/relay/control"
	"github.com/thinrelay/thinrelay/relay/upstream"
	"github.com/thinrelay/thinrelay/relay/wire"
)

var flightChain = wire.ID{0xac, 0xa3, 0x76}

// ready is a group that may go live.
func ready() control.Status {
	s := sample()
	s.Cluster.ChainID = hex.EncodeToString(flightChain[:])
	s.Members[2].ClockOffsetMS, s.Members[2].Note = ptr(12.0), ""
	s.Members[1].ClockOffsetMS = ptr(-3.0)
	s.Members[1].Replicas = append(s.Members[1].Replicas, control.Replica{Name: "fin-1", Observer: true})
	for i := range s.Members {
		for j := range s.Members[i].Replicas {
			s.Members[i].Replicas[j].Version = "11"
		}
	}
	s.Upstreams = []control.Upstream{
		{Addr: "seed1:9876", State: control.UpstreamConnected, Head: 381223050, RTTMS: ptr(8.2), Node: "eu-1"},
		{Addr: "seed2:9876", State: control.UpstreamConnected, Head: 381223050, RTTMS: ptr(31.0), Node: "eu-1"},
	}
	return s
}

// troubled is the same group with all that can be wrong while it works.
func troubled() control.Status {
	s := ready()
	s.Members[1].Version, s.Members[1].DiskP99MS, s.Members[1].RTTMS = "0.2.0", ptr(34.0), ptr(260.0)
	s.Members[1].ClockOffsetMS, s.Members[1].Replicas[0].Behind = ptr(-80.0), true
	s.Members[2].DiskP99MS, s.Members[2].ClockOffsetMS, s.Members[2].RTTMS = nil, nil, nil
	s.Members[0].DiskP99MS = ptr(70.0)
	s.Members[1].Replicas = s.Members[1].Replicas[:1]
	s.Members[0].Replicas[1].Version = "7"
	s.Upstreams[1].State, s.Upstreams[1].LastError = control.UpstreamRefused, "peer is on another chain"
	for i := range 4 {
		s.Events = append(s.Events, control.Event{Time: at().Add(-time.Duration(i) * time.Second), Kind: control.KindRefused, Source: "nodeos-b", Reason: "source"})
	}
	s.Events = append(s.Events, control.Event{Time: at().Add(-3 * time.Minute), Kind: control.KindAlarm, Text: "two live nodes hold one finalizer key"},
		control.Event{Time: at().Add(-4 * time.Minute), Kind: control.KindAlarm, Text: "two live nodes hold one finalizer key"})
	s.Problems = []control.Problem{{Level: control.HealthNotice, Code: "new", Text: "something a later relay knows", Remedy: "do it"}}
	return s
}

// handshakes is a network where peers say what a test told them to.
func handshakes(context.Context, upstream.Config, string) (upstream.Report, error) {
	return upstream.Report{ChainID: flightChain, Version: 11, Agent: "seed", Head: wire.ID{0x16, 0xb9, 0x00, 0x8a}, Took: 12 * time.Millisecond, ClockOffset: -3 * time.Millisecond}, nil
}

// fly runs a preflight against members and returns its report.
func fly(t *testing.T, p *preflight, statuses ...control.Status) preflightReport {
	t.Helper()
	var addrs []string
	for _, st := range statuses {
		addrs = append(addrs, serve(t, &fakeNode{status: func(int) control.Status { return st }}))
	}
	if p.app == nil {
		p.app = newApp(&bytes.Buffer{}, &bytes.Buffer{})
	}
	p.app.addr, p.offline = strings.Join(addrs, ","), p.offline || len(statuses) == 0
	if p.inspect == nil {
		p.inspect = handshakes
	}
	if err := p.validate(); err != nil {
		t.Fatal(err)
	}
	r, err := p.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range r.Checks {
		for j, addr := range addrs {
			r.Checks[i].What = strings.ReplaceAll(r.Checks[i].What, addr, fmt.Sprintf("http://10.0.0.%d:9870", j+5))
		}
		if c := r.Checks[i]; c.Finding == "" || c.What == "" || (c.Next == "") != (c.Level == levelOK) {
			t.Errorf("%+v: a finding, and what to do about what is not ok", c)
		}
	}
	return r
}

// grades are the levels of the checks about what.
func grades(r preflightReport, what string) (out []level) {
	for _, c := range r.Checks {
		if c.What == what {
			out = append(out, c.Level)
		}
	}
	return out
}

func wantGrades(t *testing.T, r preflightReport, what string, want ...level) {
	t.Helper()
	if got := grades(r, what); !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v, in\n%s", what, got, want, r.render(false))
	}
}

func TestPreflight(t *testing.T) {
	fromUS := ready()
	fromUS.Node = "us-1"
	fromUS.Members = slices.Clone(fromUS.Members)
	fromUS.Members[0].RTTMS, fromUS.Members[1].RTTMS, fromUS.Members[2].RTTMS = ptr(79.1), nil, ptr(181.0)
	for name, test := range map[string]struct {
		statuses []control.Status
		code     int
	}{
		"preflight_ready":    {[]control.Status{ready()}, exitOK},
		"preflight_everyone": {[]control.Status{fromUS, ready()}, exitOK},
		"preflight_troubled": {[]control.Status{troubled()}, exitDegraded},
		"preflight_lost":     {[]control.Status{lost()}, exitDown},
		"preflight_fresh": {[]control.Status{{
			Node: "eu-1", Version: "0.1.0", Time: at(), Cluster: control.Cluster{Producers: []string{"bpa"}}, Mode: control.ModePassive,
			Quorum: control.Quorum{Have: 1, Need: 1, Total: 1, OK: true}, Term: 1, Leader: "eu-1",
			Members: []control.Member{{Name: "eu-1", Role: control.RoleLeader, Upstream: "0 connected", Version: "0.1.0"}},
		}}, exitDegraded},
	} {
		t.Run(name, func(t *testing.T) {
			r := fly(t, &preflight{}, test.statuses...)
			golden(t, name, r.render(false))
			if r.exit() != test.code {
				t.Errorf("exit %d, want %d", r.exit(), test.code)
			}
		})
	}
}

func TestPreflightCommand(t *testing.T) {
	st := ready()
	st.Upstreams = nil // nobody is dialled
	node := &fakeNode{status: func(int) control.Status { return st }}
	out, errs, code := exec(t, serve(t, node), "preflight")
	if code != exitOK || errs != "" || !strings.Contains(out, "ok    quorum: 3 of 3 voters heard") {
		t.Errorf("exit %d %q\n%s", code, errs, out)
	}
	out, _, code = exec(t, serve(t, node), "preflight", "--json")
	var r struct {
		Checks     []check
		RoundTrips map[string]map[string]float64 `json:"round_trips_ms"`
		NotChecked []string                      `json:"not_checked"`
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitOK || len(r.Checks) < 15 || r.RoundTrips["eu-1"]["ap-1"] != 161 || len(r.NotChecked) == 0 {
		t.Errorf("--json: exit %d %v\n%s", code, err, out)
	}

	// With nobody there, what can be tried is.
	dead := deadAddr(t)
	out, _, code = exec(t, dead, "preflight", "--data-dir", t.TempDir(), "--port", dead)
	for _, want := range []string{"fail  relay at http://" + dead, "next: check that relayd runs there", "disk at ", "fail  port " + dead} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if code != exitDown {
		t.Errorf("nobody answers: exit %d", code)
	}
	// One of two members is down: the other tells, and the exit says that something failed.
	if out, _, code := exec(t, dead+","+serve(t, node), "preflight"); code != exitDegraded || !strings.Contains(out, "ok    quorum") {
		t.Errorf("one of two: exit %d\n%s", code, out)
	}

	for _, args := range [][]string{
		{"--offline"},
		{"--upstream", "seed1"},
		{"--port", "x:0"},
		{"--peer", "10.0.0.1:8300"},
		{"--peer", "us-1=x"},
		{"--peer", "/=x:1"},
		{"--peer", "us-1=x:1", "--peer", "ap-1=x:1"},
		{"--ca", "ca.pem"},
		{"--cert", "a", "--key", "b"},
		{"--chain-id", "aca3"},
		{"--watch", "-1s"},
		{"--offline", "--data-dir", "x", "--watch", "1s"},
		{"--chain-id", strings.Repeat("x", 64)},
		append([]string{"--offline"}, strings.Fields(strings.Repeat("--port x:1 ", maxProbes+1))...),
	} {
		if out, errs, code := exec(t, dead, append([]string{"preflight"}, args...)...); code != exitDegraded || out != "" || !strings.Contains(errs, "next:") {
			t.Errorf("%v: exit %d %q %q", args, code, out, errs)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if code := run(ctx, []string{"--addr", dead, "preflight"}, newApp(&bytes.Buffer{}, &bytes.Buffer{})); code != exitDegraded {
		t.Errorf("interrupted: exit %d", code)
	}
}

// TestPreflightGate tells standbys that sign from those that were active a moment ago.
func TestPreflightGate(t *testing.T) {
	refused := func(ago time.Duration, source, reason string) control.Event {
		return control.Event{Time: at().Add(-ago), Kind: control.KindRefused, Source: source, Reason: reason}
	}
	since := func(kind control.Kind, ago time.Duration, source string) control.Event {
		return control.Event{Time: at().Add(-ago), Kind: kind, Source: source}
	}
	for name, test := range map[string]struct {
		events []control.Event
		want   []level
	}{
		"nothing refused": {nil, []level{levelOK}},
		"one block":       {[]control.Event{refused(time.Second, "nodeos-c", "height")}, []level{levelWarn}},
		"a round":         {[]control.Event{refused(1, "nodeos-c", "height"), refused(2, "nodeos-c", "unlinked"), refused(3, "nodeos-c", "source")}, []level{levelFail}},
		"refused by three": {[]control.Event{
			{Time: at(), Kind: control.KindRefused, Source: "nodeos-c", Reason: "height", BlockID: "aa", Node: "eu-1"},
			{Time: at(), Kind: control.KindRefused, Source: "nodeos-c", Reason: "unlinked", BlockID: "aa", Node: "us-1"},
			{Time: at(), Kind: control.KindRefused, Source: "nodeos-c", Reason: "unlinked", BlockID: "aa", Node: "ap-1"},
		}, []level{levelWarn}},
		"two standbys":            {[]control.Event{refused(1, "nodeos-c", "height"), refused(2, "nodeos-b", "source")}, []level{levelWarn, levelWarn}},
		"an observer":             {[]control.Event{refused(1, "fin-1", "source")}, []level{levelFail}},
		"the active one":          {[]control.Event{refused(1, "nodeos-a", "source")}, []level{levelOK}},
		"one that has gone":       {[]control.Event{refused(1, "nodeos-x", "source")}, []level{levelOK}},
		"long ago":                {[]control.Event{refused(time.Hour, "nodeos-c", "source")}, []level{levelOK}},
		"nobody's fault":          {[]control.Event{refused(1, "nodeos-c", "not_leader"), refused(1, "nodeos-c", "duplicate"), refused(1, "nodeos-c", "pending"), refused(1, "nodeos-c", "not_ours")}, []level{levelOK}},
		"active until just then":  {[]control.Event{refused(time.Minute, "nodeos-c", "source"), since(control.KindActive, time.Minute+5*time.Second, "")}, []level{levelOK}},
		"connected just then":     {[]control.Event{refused(time.Minute, "nodeos-c", "source"), since(control.KindReplicaUp, time.Minute+5*time.Second, "nodeos-c")}, []level{levelOK}},
		"another one connected":   {[]control.Event{refused(time.Minute, "nodeos-c", "source"), since(control.KindReplicaUp, time.Minute+5*time.Second, "nodeos-b")}, []level{levelWarn}},
		"a change that came late": {[]control.Event{refused(time.Minute, "nodeos-c", "source"), since(control.KindActive, time.Second, "")}, []level{levelWarn}},
		"a change long before":    {[]control.Event{refused(time.Minute, "nodeos-c", "source"), since(control.KindLeader, 2*time.Minute, "")}, []level{levelWarn}},
	} {
		t.Run(name, func(t *testing.T) {
			st := ready()
			st.Events = test.events
			wantGrades(t, fly(t, &preflight{}, st), "vote gate", test.want...)
		})
	}
	st := ready()
	st.Counters.Refused = 7
	wantGrades(t, fly(t, &preflight{}, st), "vote gate", levelWarn) // somebody's
	st.Events = []control.Event{refused(time.Hour, "nodeos-c", "source")}
	wantGrades(t, fly(t, &preflight{}, st), "vote gate", levelOK) // told, and long ago
	st = ready()
	st.Node = "us-1"
	wantGrades(t, fly(t, &preflight{}, st), "vote gate", levelWarn) // it cannot know
	st = ready()
	st.Forwarded = nil
	wantGrades(t, fly(t, &preflight{}, st), "vote gate", levelWarn) // nothing to judge by
	for i := range st.Members {
		for j := range st.Members[i].Replicas {
			st.Members[i].Replicas[j].Version = ""
		}
	}
	if r := fly(t, &preflight{}, st); !slices.ContainsFunc(r.NotChecked, func(s string) bool { return strings.HasPrefix(s, "versions of the replicas") }) {
		t.Errorf("untold versions are not told: %q", r.NotChecked)
	}
}

// TestPreflightRemovedMember says that the member asked is outside, and not that its quorum is well or lost.
func TestPreflightRemovedMember(t *testing.T) {
	st := lost()
	st.Problems = []control.Problem{control.NotMember("eu-1")}
	r := fly(t, &preflight{}, st)
	wantGrades(t, r, "quorum", levelFail)
	if text := r.render(false); !strings.Contains(text, "move data_dir away") || strings.Contains(text, "lost quorum") || r.exit() != exitDown {
		t.Errorf("exit %d\n%s", r.exit(), text)
	}
}

// TestPreflightWording reads well at the edges: a group of two survives what one does, and no clock is off by -0ms.
func TestPreflightWording(t *testing.T) {
	st := ready()
	st.Members[1].ClockOffsetMS = ptr(-0.3)
	for total, want := range map[int]string{
		2: "group size: 2 voters survive the loss of none, as one would\n",
		3: "group size: 3 voters survive the loss of 1\n",
		4: "group size: 4 voters survive the loss of 1, as 3 would\n",
	} {
		st.Quorum = control.Quorum{Have: total, Need: total/2 + 1, Total: total, OK: true}
		text := fly(t, &preflight{}, st).render(false)
		for _, want := range []string{want, "clock of us-1: +0ms from", "protocol of nodeos-a: 11\n"} {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in\n%s", want, text)
			}
		}
	}
}

// TestPreflightAfterHandOver does not fail for the moment in which the next leader has not picked the active replica yet.
func TestPreflightAfterHandOver(t *testing.T) {
	for until, want := range map[int]level{2: levelOK, 100: levelFail} { // the ask that finds an active replica
		p := &preflight{app: newApp(&bytes.Buffer{}, &bytes.Buffer{}), inspect: handshakes}
		p.app.pollEvery = time.Millisecond
		p.app.addr = serve(t, &fakeNode{status: func(ask int) control.Status {
			st := ready()
			if ask < until {
				st.Active, st.Members[0].Replicas[0].Active = "", false
			}
			return st
		}})
		r, err := p.run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		wantGrades(t, r, "replicas", want)
	}
}

// TestPreflightSlotsMissed fails while the slots of ours stay empty, as status does.
func TestPreflightSlotsMissed(t *testing.T) {
	for lost, want := range map[int]struct {
		level level
		exit  int
	}{0: {levelOK, exitOK}, 2: {levelOK, exitOK}, 3: {levelFail, exitDegraded}, 12: {levelFail, exitDegraded}} {
		st := ready()
		st.Round = &control.Round{Producer: "bpa", Slots: make([]control.Slot, 12)}
		for i := range st.Round.Slots {
			st.Round.Slots[i] = control.Slot{Time: at(), State: control.SlotForwarded}
			if i < lost {
				st.Round.Slots[i].State = control.SlotMissed
			}
		}
		r := fly(t, &preflight{}, st)
		wantGrades(t, r, "our last round", want.level)
		if r.exit() != want.exit {
			t.Errorf("%d slots lost: exit %d, want %d", lost, r.exit(), want.exit)
		}
	}
}

func TestPreflightRoundTrips(t *testing.T) {
	for _, test := range []struct {
		us, ap float64
		role   control.Role
		want   level
	}{
		{78, 900, control.RoleFollower, levelOK}, // the farther one does not count
		{160, 161, control.RoleFollower, levelWarn},
		{410, 450, control.RoleFollower, levelFail},
		{78, 450, control.RoleNonvoter, levelFail}, // who does not vote does not count
	} {
		st := ready()
		st.Members[1].RTTMS, st.Members[2].RTTMS, st.Members[1].Role = ptr(test.us), ptr(test.ap), test.role
		wantGrades(t, fly(t, &preflight{}, st), "round trips of eu-1", test.want)
	}
}

// TestPreflightHandshakes judges what upstreams tell of themselves.
func TestPreflightHandshakes(t *testing.T) {
	head := func(num uint32) wire.ID {
		return wire.ID{byte(num >> 24), byte(num >> 16), byte(num >> 8), byte(num)}
	}
	good, _ := handshakes(t.Context(), upstream.Config{}, "")
	change := func(f func(*upstream.Report)) upstream.Report {
		r := good
		f(&r)
		return r
	}
	peers := map[string]upstream.Report{
		"good1:1": good, "good2:1": good,
		"behind:1": change(func(r *upstream.Report) { r.Head = head(good.Head.Num() - 100) }),
		"stuck:1":  change(func(r *upstream.Report) { r.Head = head(good.Head.Num() - 10_000) }),
		"old:1":    change(func(r *upstream.Report) { r.Version = 7 }),
		"single:1": change(func(r *upstream.Report) { r.Second = upstream.ErrClosedEarly }),
		"bare:1":   change(func(r *upstream.Report) { r.Root, r.Start = head(1000), 1000 }),
		"log:1":    change(func(r *upstream.Report) { r.Root, r.Start = head(1000), 900 }),
		"both:1":   change(func(r *upstream.Report) { r.Version, r.Second = 7, upstream.ErrClosedEarly }),
		"other:1":  change(func(r *upstream.Report) { r.ChainID = wire.ID{1} }),
		"late:1":   change(func(r *upstream.Report) { r.ClockOffset = time.Hour }), // one is not believed
	}
	refusals := map[string]error{
		"dead:1": errors.New("connection refused"), "key:1": upstream.GoAway{Reason: wire.GoAwayAuthentication},
		"full:1": upstream.ErrClosedEarly, "used:1": upstream.ErrClosedEarly,
	}
	inspect := func(_ context.Context, c upstream.Config, addr string) (upstream.Report, error) {
		if addr == "shy:1" { // tells its chain to those who know it
			if c.ChainID == nil {
				return upstream.Report{}, upstream.ErrChainUnknown
			}
			return good, nil
		}
		return peers[addr], refusals[addr]
	}
	want := map[string][]level{
		"good1:1": {levelOK}, "good2:1": {levelOK}, "shy:1": {levelOK}, "late:1": {levelOK},
		"behind:1": {levelWarn}, "stuck:1": {levelFail}, "old:1": {levelWarn}, "single:1": {levelWarn}, "both:1": {levelWarn, levelWarn},
		"bare:1": {levelWarn}, "log:1": {levelOK},
		"other:1": {levelFail}, "dead:1": {levelFail}, "key:1": {levelFail}, "full:1": {levelFail}, "used:1": {levelWarn},
	}
	var addrs []string
	for addr := range want {
		addrs = append(addrs, addr)
	}
	slices.Sort(addrs)
	st := ready()
	st.Upstreams = []control.Upstream{{Addr: "used:1", State: control.UpstreamConnected, Node: "eu-1"}}
	for _, known := range []bool{true, false} {
		if !known {
			st.Cluster.ChainID = ""
		}
		r := fly(t, &preflight{upstreams: addrs, inspect: inspect}, st)
		for addr, levels := range want {
			wantGrades(t, r, "handshake with "+addr, levels...)
		}
		wantGrades(t, r, "clock of this host", levelOK)
	}
	for off, want := range map[time.Duration]level{200 * time.Millisecond: levelOK, -300 * time.Millisecond: levelWarn, 3 * time.Second: levelFail} {
		r := fly(t, &preflight{upstreams: []string{"x:1"}, inspect: func(context.Context, upstream.Config, string) (upstream.Report, error) {
			return change(func(r *upstream.Report) { r.ClockOffset = off }), nil
		}})
		wantGrades(t, r, "clock of this host", want)
	}
}

// noisy is a leader whose events a test makes.
type noisy struct {
	*fakeNode
	events chan control.Event
}

func (n noisy) Events(context.Context) <-chan control.Event { return n.events }

// TestPreflightWatch listens to the leader for what its status does not tell.
func TestPreflightWatch(t *testing.T) {
	for name, test := range map[string]struct {
		kinds []control.Kind
		want  []level
	}{
		"nothing happens":   {nil, []level{levelWarn}},
		"the active speaks": {[]control.Kind{control.KindForwarded}, []level{levelOK}},
		"a standby too":     {[]control.Kind{control.KindForwarded, control.KindRefused}, []level{levelFail}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			st := ready()
			st.Upstreams, st.Time = nil, time.Now()
			node := noisy{&fakeNode{status: func(int) control.Status { return st }}, make(chan control.Event)}
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			defer wg.Wait()
			defer stop()
			wg.Go(func() {
				if err := control.New(control.Config{Node: node}).Run(ctx, ln); err != nil {
					t.Error(err)
				}
			})
			wg.Go(func() {
				tick := time.NewTicker(10 * time.Millisecond)
				defer tick.Stop()
				for i := 0; ; i++ {
					select {
					case <-tick.C:
					case <-ctx.Done():
						return
					}
					for _, kind := range test.kinds {
						select {
						case node.events <- control.Event{Kind: kind, Time: time.Now(), Source: "nodeos-b", Reason: "height", BlockID: fmt.Sprint(i)}:
						case <-ctx.Done():
							return
						}
					}
				}
			})
			var errs bytes.Buffer
			p := &preflight{app: newApp(&bytes.Buffer{}, &errs), inspect: handshakes, watchFor: 400 * time.Millisecond}
			p.app.addr = ln.Addr().String()
			r, err := p.run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			wantGrades(t, r, "vote gate", test.want...)
			if got := errs.String(); got != "listening to eu-1 for 400ms\n" {
				t.Errorf("told %q", got)
			}
		})
	}
}
