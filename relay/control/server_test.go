package control_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/control"
)

// post sends a state change from loopback.
func post(s *control.Server, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", path, strings.NewReader(body))
	r.RemoteAddr, r.Host = "127.0.0.1:4711", "127.0.0.1:9870"
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

func get(s *control.Server, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w
}

func TestStatusAndClient(t *testing.T) {
	node := newFakeNode()
	node.blocks = []control.Block{{Num: 3}, {Num: 2}, {Num: 1}}
	url, _ := start(t, control.Config{Node: node})
	c, err := control.NewClient(control.ClientConfig{Addr: strings.TrimPrefix(url, "http://")})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()

	st, err := c.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if st.Leader != "eu-1" || st.Forwarded.Num != 381223044 || *st.NextRoundMS != 88_000 || st.Health != control.HealthNotice {
		t.Errorf("status %+v", st)
	}
	blocks, err := c.Blocks(ctx, 2)
	if err != nil || len(blocks) != 2 || blocks[0].Num != 3 {
		t.Errorf("blocks %v, %v", blocks, err)
	}
	list, err := c.Members(ctx)
	if err != nil || len(list.Members) != 3 || list.Node != "eu-1" {
		t.Errorf("members %v, %v", list, err)
	}
	down, err := c.StepDown(ctx, control.StepDownRequest{To: "ap-1"})
	if err != nil || down.To != "ap-1" || *down.GapMS != 63 {
		t.Errorf("step-down %+v, %v", down, err)
	}
	_, err = c.StepDown(ctx, control.StepDownRequest{To: "mars-1"})
	var e *control.Error
	if !errors.As(err, &e) || e.Code != control.CodeNotFound || !strings.Contains(e.Remedy, "us-1") {
		t.Errorf("step-down to nobody: %v", err)
	}
	ready, err := c.Ready(ctx)
	if err != nil || !ready.Ready {
		t.Errorf("ready %+v, %v", ready, err)
	}
}

func TestClientErrorsSayWhatToDo(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := "http://" + ln.Addr().String()
	_ = ln.Close()
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }))
	defer other.Close()
	refuses := httptest.NewServer(http.NotFoundHandler())
	defer refuses.Close()

	for _, addr := range []string{dead, other.URL, refuses.URL} {
		c, err := control.NewClient(control.ClientConfig{Addr: addr})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Status(t.Context())
		var e *control.Error
		if !errors.As(err, &e) || e.Code != control.CodeUnreachable || e.Remedy == "" {
			t.Errorf("%s: %v, want unreachable with a remedy", addr, err)
		}
	}
	for _, addr := range []string{"", "ftp://x", "http://", "http://u:p@h", "http://h:99999", "http://h:0", "h:port", "http://h/?q", "::"} {
		if _, err := control.NewClient(control.ClientConfig{Addr: addr}); err == nil {
			t.Errorf("address %q taken", addr)
		}
	}
}

// TestClientAddress takes the port of relayd where none is named, and says which scheme is the right one.
func TestClientAddress(t *testing.T) {
	for addr, want := range map[string]string{
		"127.0.0.1": "http://127.0.0.1:9870", "eu-1": "http://eu-1:9870", "[::1]": "http://[::1]:9870", "eu-1:80": "http://eu-1:80",
		"http://eu-1": "http://eu-1", "https://eu-1": "https://eu-1", // a proxy, maybe
	} {
		if u, err := control.ParseAddr(addr); err != nil || u.String() != want {
			t.Errorf("%s reads as %v, %v, want %s", addr, u, err, want)
		}
	}
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	for addr, want := range map[string]string{
		strings.Replace(plain.URL, "http:", "https:", 1):  "write http://: http.tls is not set there",
		strings.Replace(secure.URL, "https:", "http:", 1): "write https://",
	} {
		c, err := control.NewClient(control.ClientConfig{Addr: addr})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Status(t.Context())
		var e *control.Error
		if !errors.As(err, &e) || e.Code != control.CodeUnreachable || !strings.HasPrefix(e.Remedy, want) {
			t.Errorf("%s: %v, want %q", addr, err, want)
		}
	}
}

func TestErrorsAreJSON(t *testing.T) {
	s := control.New(control.Config{Node: newFakeNode()})
	for name, test := range map[string]struct {
		got  *httptest.ResponseRecorder
		want int
	}{
		"unknown path":      {get(s, "/v2"), 404},
		"no metrics":        {get(s, "/metrics"), 404},
		"GET of an action":  {get(s, "/v1/step-down"), 405},
		"POST of a read":    {post(s, "/v1/status", "{}"), 405},
		"limit":             {get(s, "/v1/blocks?limit=x"), 400},
		"limit of 0":        {get(s, "/v1/blocks?limit=0"), 400},
		"no body":           {post(s, "/v1/step-down", ""), 400},
		"unknown field":     {post(s, "/v1/step-down", `{"too":"us-1"}`), 400},
		"two values":        {post(s, "/v1/step-down", `{}{}`), 400},
		"huge body":         {post(s, "/v1/step-down", `{"to":"`+strings.Repeat("x", 1<<20)+`"}`), 400},
		"timeout":           {post(s, "/v1/step-down", `{"timeout":"soon"}`), 400},
		"negative timeout":  {post(s, "/v1/step-down", `{"timeout":"-5s"}`), 400},
		"long timeout":      {post(s, "/v1/step-down", `{"timeout":"2h"}`), 400},
		"to the leader":     {post(s, "/v1/step-down", `{"to":"eu-1"}`), 409},
		"to nobody":         {post(s, "/v1/step-down", `{"to":"mars-1"}`), 404},
		"remove without it": {post(s, "/v1/members/remove", `{}`), 400},
	} {
		var e control.Error
		if test.got.Code != test.want || json.Unmarshal(test.got.Body.Bytes(), &e) != nil || e.Message == "" || e.Remedy == "" {
			t.Errorf("%s: %d %s, want %d and a JSON error", name, test.got.Code, test.got.Body, test.want)
		}
	}
}

func TestReadyz(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*control.Status)
		want   int
		code   string
	}{
		"healthy":             {func(*control.Status) {}, 200, ""},
		"no group yet":        {func(s *control.Status) { s.Quorum = control.Quorum{Need: 1} }, 503, "no_quorum"},
		"no quorum":           {func(s *control.Status) { s.Quorum = control.Quorum{Have: 1, Need: 2, Total: 3} }, 503, "no_quorum"},
		"no leader":           {func(s *control.Status) { s.Leader = "" }, 503, "no_leader"},
		"own disk":            {func(s *control.Status) { s.Members[0].DiskP99MS = ptr(400.0) }, 503, "disk"},
		"another's disk":      {func(s *control.Status) { s.Members[1].DiskP99MS = ptr(400.0) }, 200, ""},
		"another is gone":     {func(s *control.Status) { s.Members[1].Role = control.RoleUnreachable }, 200, ""},
		"reaches no upstream": {func(s *control.Status) { s.Node, s.Members[1].Upstream = "us-1", "unreachable" }, 503, "upstream_unreachable"},
		"none took it":        {func(s *control.Status) { s.Node, s.Members[1].Upstream = "us-1", "not taken" }, 503, "upstream_not_taken"},
		"leads, none took it": {func(s *control.Status) { s.Members[0].Upstream = "not taken" }, 503, "no_upstream"},
		"leads, no upstream":  {func(s *control.Status) { s.Members[0].Upstream = "0 connected" }, 503, "no_upstream"},
		"no replica":          {func(s *control.Status) { s.Members[0].Replicas, s.Members[1].Replicas = nil, nil }, 503, "no_replica"},
		"the node's own reason": {func(s *control.Status) {
			s.Problems = []control.Problem{{Level: control.HealthDown, Code: "wrong_chain"}}
		}, 503, "wrong_chain"},
	} {
		node := newFakeNode()
		node.change(func(s *control.Status) {
			s.Members = append([]control.Member(nil), s.Members...)
			test.change(s)
		})
		w := get(control.New(control.Config{Node: node}), "/readyz")
		var r control.Readiness
		if err := json.Unmarshal(w.Body.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		if w.Code != test.want || r.Ready != (test.want == 200) {
			t.Errorf("%s: %d %s, want %d", name, w.Code, w.Body, test.want)
		}
		if test.code != "" && (len(r.Reasons) == 0 || r.Reasons[0].Code != test.code) {
			t.Errorf("%s: reasons %v, want %s first", name, r.Reasons, test.code)
		}
		if w := get(control.New(control.Config{Node: node}), "/healthz"); w.Code != 200 {
			t.Errorf("%s: healthz %d, want 200 always", name, w.Code)
		}
	}
}

// TestMemberWithoutMark does not count a member that has just started for well before it has taken over the log.
func TestMemberWithoutMark(t *testing.T) {
	st := sampleStatus()
	st.Members[2].Mark = 0
	if st.Assess(); st.Health != control.HealthDegraded || st.Problems[0].Code != "no_mark" || st.Problems[0].Node != "ap-1" {
		t.Errorf("%s %+v, want degraded by no_mark of ap-1", st.Health, st.Problems)
	}
	st = sampleStatus()
	for i := range st.Members {
		st.Members[i].Mark = 0 // nothing was forwarded yet
	}
	if st.Assess(); st.Health != control.HealthNotice {
		t.Errorf("%s %+v, want the notice of its clock alone", st.Health, st.Problems)
	}
}

// TestRemovedMember does not send the operator of a removed member to "lost quorum", which would make a second group of it.
func TestRemovedMember(t *testing.T) {
	for _, role := range []control.Role{control.RoleFollower, control.RoleNonvoter} {
		st := sampleStatus()
		st.Leader, st.Quorum = "", control.Quorum{Have: 0, Need: 2, Total: 3}
		st.Members[0].Role = role
		st.Problems = []control.Problem{control.NotMember("eu-1")}
		st.Assess()
		if p := st.Problems[0]; st.Health != control.HealthDown || p.Code != "not_member" || !strings.Contains(p.Remedy, "move data_dir away") {
			t.Errorf("%s: %s %+v, want not_member first", role, st.Health, p)
		}
		for _, p := range st.Problems {
			if strings.Contains(p.Remedy, "lost quorum") || p.Code == "nonvoter" {
				t.Errorf("%s: %+v", role, p)
			}
		}
		if reasons := st.Unready(); len(reasons) == 0 || reasons[0].Code != "not_member" {
			t.Errorf("%s: unready for %+v", role, reasons)
		}
	}
}

// TestSlotsMissed says so when our slots pass without a block: all was called well while the finalizer node was gone and no replica signed.
func TestSlotsMissed(t *testing.T) {
	const missed, pending, late, old = control.SlotMissed, control.SlotPending, control.SlotLate, 20 * time.Minute
	for name, test := range map[string]struct {
		slots    map[control.SlotState]int // the rest was forwarded
		age      time.Duration
		observed bool
		change   func(*control.Status)
		want     control.Health // of slots_missed; empty: it is not there
		votes    control.Health // of no_finalizer
	}{
		"all forwarded":            {votes: control.HealthNotice},
		"with a finalizer":         {observed: true},
		"a takeover":               {slots: map[control.SlotState]int{missed: 1}, observed: true},
		"a takeover and a fork":    {slots: map[control.SlotState]int{missed: 2, late: 4}, observed: true},
		"three lost":               {slots: map[control.SlotState]int{missed: 3}, observed: true, want: control.HealthDegraded},
		"three lost, no finalizer": {slots: map[control.SlotState]int{missed: 3}, want: control.HealthDegraded, votes: control.HealthDegraded},
		"all of them so far":       {slots: map[control.SlotState]int{missed: 9, pending: 3}, observed: true, want: control.HealthDegraded},
		"all lost":                 {slots: map[control.SlotState]int{missed: 12}, observed: true, want: control.HealthDown},
		"all lost, long ago":       {slots: map[control.SlotState]int{missed: 12}, age: old, observed: true},
		"all lost, passive": {
			slots: map[control.SlotState]int{missed: 12}, want: control.HealthDown,
			change: func(s *control.Status) { s.Mode = control.ModePassive },
		},
		"no quorum is told alone": {
			slots: map[control.SlotState]int{missed: 12}, votes: control.HealthNotice,
			change: func(s *control.Status) { s.Quorum = control.Quorum{Have: 1, Need: 2, Total: 3} },
		},
		"no replica is told alone": {
			slots:  map[control.SlotState]int{missed: 12},
			change: func(s *control.Status) { s.Members[0].Replicas, s.Members[1].Replicas = nil, nil },
		},
	} {
		st := sampleStatus()
		st.Round = roundAt(12)
		i := 0
		for state, n := range test.slots {
			for range n {
				st.Round.Slots[i].State = state
				i++
			}
		}
		for i := range st.Round.Slots {
			st.Round.Slots[i].Time = at().Add(-test.age)
		}
		if test.observed {
			st.Members[2].Replicas = []control.Replica{{Name: "fin-1", Observer: true}}
		}
		if test.change != nil {
			test.change(&st)
		}
		st.Assess()
		got := map[string]control.Health{}
		for _, p := range st.Problems {
			got[p.Code] = p.Level
		}
		if got["slots_missed"] != test.want || got["no_finalizer"] != test.votes {
			t.Errorf("%s: slots_missed %q, no_finalizer %q, want %q and %q", name, got["slots_missed"], got["no_finalizer"], test.want, test.votes)
		}
		if (len(st.Unready()) > 0) != (st.Health == control.HealthDown) {
			t.Errorf("%s: health %s, unready for %v", name, st.Health, st.Unready())
		}
	}
}

// TestStepDownWaits keeps a hand-over out of our round unless told otherwise.
func TestStepDownWaits(t *testing.T) {
	for name, test := range map[string]struct {
		body     string
		round    time.Duration // our round ends then; 0: never
		wantCode int
		want     time.Duration
	}{
		"waits for the end of the round": {`{}`, 4 * time.Second, 200, 4 * time.Second},
		"now":                            {`{"now":true}`, 4 * time.Second, 200, 0},
		"gives up":                       {`{}`, 0, 409, 20 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			node := newFakeNode()
			live := func(s *control.Status) { s.NextRoundMS, s.Round = ptr(int64(0)), roundAt(3) }
			node.change(live)
			if test.round > 0 {
				time.AfterFunc(test.round, func() { node.change(func(s *control.Status) { *s = sampleStatus() }) })
			}
			start := time.Now()
			w := post(control.New(control.Config{Node: node}), "/v1/step-down", test.body)
			if w.Code != test.wantCode {
				t.Fatalf("%s: %d %s, want %d", name, w.Code, w.Body, test.wantCode)
			}
			if got := time.Since(start); got < test.want || got > test.want+200*time.Millisecond {
				t.Errorf("%s: took %s, want %s", name, got, test.want)
			}
		})
	}
}

// TestStepDownBeforeRound does not start a hand-over that would run into the round.
func TestStepDownBeforeRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := newFakeNode()
		node.change(func(s *control.Status) { s.NextRoundMS = ptr(int64(700)) })
		if w := post(control.New(control.Config{Node: node}), "/v1/step-down", `{}`); w.Code != 409 {
			t.Errorf("700 ms before the round: %d %s, want 409", w.Code, w.Body)
		}
	})
}

// TestStepDownUnknownSchedule waits for the end of a round it sees, and for nothing else.
func TestStepDownUnknownSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := newFakeNode()
		node.change(func(s *control.Status) { s.NextRoundMS, s.Round = nil, roundAt(3) })
		s := control.New(control.Config{Node: node})
		if w := post(s, "/v1/step-down", `{}`); w.Code != 409 {
			t.Errorf("in a round: %d %s, want 409", w.Code, w.Body)
		}
		node.change(func(s *control.Status) { s.Round = nil })
		if w := post(s, "/v1/step-down", `{}`); w.Code != 200 {
			t.Errorf("without a schedule: %d %s, want 200", w.Code, w.Body)
		}
	})
}

func TestStepDownOneAtATime(t *testing.T) {
	node := newFakeNode()
	entered, leave := make(chan struct{}), make(chan struct{})
	node.stepDown = func(context.Context, string, time.Duration) (control.StepDown, error) {
		close(entered)
		<-leave
		return control.StepDown{From: "eu-1", To: "us-1"}, nil
	}
	s := control.New(control.Config{Node: node})
	first := make(chan int)
	go func() { first <- post(s, "/v1/step-down", `{"now":true}`).Code }()
	<-entered
	if w := post(s, "/v1/step-down", `{"now":true}`); w.Code != 409 {
		t.Errorf("the second: %d, want 409", w.Code)
	}
	close(leave)
	if got := <-first; got != 200 {
		t.Errorf("the first: %d, want 200", got)
	}
}

// TestStepDownFollows asks whoever leads when the leader has changed before it was asked.
func TestStepDownFollows(t *testing.T) {
	for name, test := range map[string]struct {
		body     string
		leads    []string      // who leads really, at the first, second… call; eu-1 is taken for the leader at first
		hears    time.Duration // when the member hears who does; 0: never
		wantCode int
		want     string // in the answer
	}{
		"it leads":              {`{"now":true}`, []string{"eu-1"}, 0, 200, `"from": "eu-1"`},
		"another leads":         {`{"now":true}`, []string{"ap-1"}, 300 * time.Millisecond, 200, `"followed": 1`},
		"it leads again":        {`{"now":true}`, []string{"", "eu-1"}, 300 * time.Millisecond, 200, `"from": "eu-1"`},
		"the one named leads":   {`{"now":true,"to":"ap-1"}`, []string{"ap-1"}, 300 * time.Millisecond, 409, "ap-1 leads already"},
		"who leads is not told": {`{"now":true,"timeout":"2s"}`, []string{"ap-1"}, 0, 409, "eu-1 does not lead any more"},
		"it changes for ever":   {`{"now":true}`, []string{"ap-1", "us-1", "ap-1", "us-1", "ap-1", "us-1", "ap-1"}, time.Millisecond, 409, "does not lead any more"},
	} {
		synctest.Test(t, func(t *testing.T) {
			node := newFakeNode()
			asked := 0
			node.stepDown = func(ctx context.Context, _ string, _ time.Duration) (control.StepDown, error) {
				st, _ := node.Status(ctx)
				leads := test.leads[min(asked, len(test.leads)-1)]
				asked++
				if st.Leader == leads && (asked == 1 || st.Term > sampleStatus().Term) && len(test.leads) < 3 {
					return control.StepDown{From: leads, To: "us-1"}, nil
				}
				if test.hears > 0 {
					time.AfterFunc(test.hears, func() {
						node.change(func(s *control.Status) {
							s.Leader = cmp.Or(leads, "eu-1")
							s.Term++
							for i := range s.Members {
								s.Members[i].Role = control.RoleFollower
								if s.Members[i].Name == s.Leader {
									s.Members[i].Role = control.RoleLeader
								}
							}
						})
					})
				}
				return control.StepDown{}, &control.Error{Code: control.CodeNotLeader, Message: st.Leader + " does not lead any more", Remedy: "repeat"}
			}
			w := post(control.New(control.Config{Node: node}), "/v1/step-down", test.body)
			if w.Code != test.wantCode || !strings.Contains(w.Body.String(), test.want) {
				t.Errorf("%s: %d %s, want %d and %s", name, w.Code, w.Body, test.wantCode, test.want)
			}
			if asked > 4 {
				t.Errorf("%s: asked %d times", name, asked)
			}
		})
	}
}

func TestStepDownErrors(t *testing.T) {
	for want, err := range map[int]error{
		504: context.DeadlineExceeded,
		500: errors.New("raft is closed"),
		409: &control.Error{Code: control.CodeRefused, Message: "us-1 won instead", Remedy: "try again"},
		503: &control.Error{Code: control.CodeNoQuorum, Message: "no quorum", Remedy: "start us-1"},
	} {
		node := newFakeNode()
		node.stepDown = func(context.Context, string, time.Duration) (control.StepDown, error) { return control.StepDown{}, err }
		if w := post(control.New(control.Config{Node: node}), "/v1/step-down", `{"now":true}`); w.Code != want {
			t.Errorf("%v: %d, want %d", err, w.Code, want)
		}
	}
}

func TestRunStopsWithOpenStreams(t *testing.T) {
	url, stop := start(t, control.Config{Node: newFakeNode()})
	resp, err := http.Get(url + "/v1/events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	began := time.Now()
	stop()
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("stopping took %s with an idle stream open", took)
	}
}
