package control_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/relay/control"
)

// start serves node on loopback until the test ends.
func start(t *testing.T, cfg control.Config) (url string, stop func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- control.New(cfg).Run(ctx, ln) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	t.Cleanup(stop)
	return "http://" + ln.Addr().String(), stop
}

func TestPagePolicy(t *testing.T) {
	url, _ := start(t, control.Config{Node: newFakeNode()})
	resp, err := http.Get(url + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, _ := io.ReadAll(resp.Body)
	html, policy := string(raw), resp.Header.Get("Content-Security-Policy")

	for _, want := range []string{"default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "script-src 'sha256-", "style-src 'sha256-"} {
		if !strings.Contains(policy, want) {
			t.Errorf("policy %q lacks %q", policy, want)
		}
	}
	if strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") {
		t.Errorf("policy %q is not strict", policy)
	}
	// No request may leave for anywhere else, and no name may become markup.
	for _, bad := range []string{`src="http`, `href="http`, "url(", "@import", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", " style=", "onclick="} {
		if strings.Contains(html, bad) {
			t.Errorf("page contains %q", bad)
		}
	}
	for _, tag := range []string{"<style>", "<script>"} {
		if n := len(regexp.MustCompile(tag[:len(tag)-1]+`[ >]`).FindAllString(html, -1)); n != 1 || !strings.Contains(html, tag) {
			t.Errorf("%d of %s, want one without attributes: its hash is in the policy", n, tag)
		}
	}
}

// roundAt makes a round whose first n slots are done.
func roundAt(n int) *control.Round {
	r := &control.Round{Producer: "bpa", Live: true, Number: 7, Slots: make([]control.Slot, 12)}
	for i := range r.Slots {
		r.Slots[i] = control.Slot{Slot: uint32(84 + i), Time: at().Add(time.Duration(i) * 500 * time.Millisecond), State: control.SlotPending}
		if i < n {
			r.Slots[i].State, r.Slots[i].Num, r.Slots[i].Source, r.Slots[i].LeadMS = control.SlotForwarded, uint32(381223033+i), "nodeos-a", ptr(int64(38*(i+1)))
		}
	}
	return r
}

func busyStatus() control.Status {
	s := sampleStatus()
	s.NextRoundMS, s.Round = ptr(int64(0)), roundAt(7)
	s.Round.Slots[3].State, s.Round.Slots[3].LeadMS = control.SlotLate, ptr(int64(-112))
	s.Round.Slots[4] = control.Slot{Slot: 88, Time: s.Round.Slots[4].Time, State: control.SlotMissed}
	s.Members[1].Replicas = append(s.Members[1].Replicas, control.Replica{Name: "nodeos-d", Behind: true}, control.Replica{Name: "fin-1", Observer: true})
	s.Members[2].Replicas = []control.Replica{{Name: "nodeos-e", Syncing: true}}
	s.Upstreams[1].State, s.Upstreams[1].LastError = control.UpstreamRefused, "go_away wrong_chain"
	s.Events = []control.Event{
		{Time: at(), Kind: control.KindAlarm, Text: "finalizer key PUB_BLS_x… voted twice: two live nodes hold it"},
		{Time: at().Add(-4 * time.Second), Kind: control.KindActive, From: "nodeos-b", To: "nodeos-a", Reason: "connection closed"},
		{Time: at().Add(-5 * time.Second), Kind: control.KindRefused, Reason: "unlinked", Num: 381223037, Source: "nodeos-b"},
		{Time: at().Add(-6 * time.Second), Kind: control.KindRefused, Reason: "source", Num: 381223036, Source: "nodeos-c"},
		{Time: at().Add(-2 * time.Hour), Kind: control.KindStepDown, From: "us-1", To: "eu-1", TookMS: 41, GapMS: ptr(int64(63))},
		{Time: at().Add(-3 * time.Hour), Kind: control.KindUpstreamDown, Peer: "seed2.example:9876", Reason: "read: connection reset by peer"},
	}
	return s
}

func TestPageInBrowser(t *testing.T) {
	b := newBrowser(t)
	node := newFakeNode()
	node.change(func(s *control.Status) { *s = busyStatus() })
	url, stop := start(t, control.Config{Node: node})

	for _, screen := range []struct {
		name          string
		width, height int
		dark          bool
	}{{"phone-dark", 390, 844, true}, {"phone-light", 390, 844, false}, {"desktop-dark", 1280, 900, true}, {"desktop-light", 1280, 900, false}} {
		b.open(url, screen.width, screen.height, screen.dark)
		b.await(`document.querySelectorAll("#slots .forwarded").length === 5`)
		b.shot(screen.name)
		if got := b.eval("document.documentElement.scrollWidth <= window.innerWidth"); got != "true" {
			t.Errorf("%s: the page scrolls sideways: %s > %s", screen.name, b.eval("document.documentElement.scrollWidth"), b.eval("window.innerWidth"))
		}
	}
	text := b.eval("document.body.innerText")
	for _, want := range []string{"eu-1", "nodeos-a · active", "nodeos-d · behind", "nodeos-e · syncing", "3 of 3", "unlinked", "us-1 → eu-1", "gap 63 ms", "voted twice", "wrong_chain"} {
		if !strings.Contains(text, want) {
			t.Errorf("page lacks %q:\n%s", want, text)
		}
	}

	// A slot fills from the event alone, before any status has it.
	node.emit(t, control.Event{Kind: control.KindForwarded, Num: 381223040, Slot: 91, Source: "nodeos-a", LeadMS: ptr(int64(301))})
	b.await(`document.querySelectorAll("#slots .forwarded").length === 6`)

	// A healthy group, between rounds.
	node.change(func(s *control.Status) { *s = sampleStatus(); s.Round = roundAt(12); s.Round.Live = false })
	b.await(`document.querySelector("#health").textContent === "Working"`)
	b.await(`document.querySelector("#round-next").textContent.startsWith("next in 8")`)
	b.shot("healthy-light")

	// No leader.
	node.change(func(s *control.Status) {
		s.Quorum, s.Leader, s.LeaderSince = control.Quorum{Have: 1, Need: 2, Total: 3}, "", time.Time{}
		for i := 1; i < 3; i++ {
			s.Members[i].Role, s.Members[i].Stale, s.Members[i].AgeMS = control.RoleUnreachable, true, 12_000
		}
	})
	b.await(`document.querySelector("#health").textContent === "No block can leave" && document.querySelector("#problems .down")`)
	b.shot("down-light")

	stop()
	b.await(`!document.querySelector("#stale").hidden && document.querySelector("#stale").textContent.includes("old")`)
	b.shot("lost-light")
	for _, c := range b.complaints() {
		if !strings.Contains(c, "ERR_CONNECTION") && !strings.Contains(c, "ERR_INCOMPLETE_CHUNKED") {
			t.Errorf("the page complains: %s", c)
		}
	}
}

// TestPageNamesAreText shows markup in every name a peer or an operator chooses.
func TestPageNamesAreText(t *testing.T) {
	b := newBrowser(t)
	const evil = `<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>"'&`
	node := newFakeNode()
	node.change(func(s *control.Status) {
		*s = busyStatus()
		s.Node, s.Version, s.Leader, s.LeaderReason, s.Active, s.Cluster.Name, s.Forwarded.Source, s.Mode = evil, evil, evil, evil, evil, evil, evil, evil
		s.Round.Producer, s.Round.Slots[0].Source, s.Round.Slots[0].State, s.Round.Slots[0].ID = evil, evil, evil, evil
		s.Members[0].Name, s.Members[0].Region, s.Members[0].Note, s.Members[0].Upstream, s.Members[0].Version = evil, evil, evil, evil, evil
		s.Members[0].Role = evil
		s.Members[0].Replicas[0] = control.Replica{Name: evil, NodeID: evil, Version: evil}
		s.Upstreams[0] = control.Upstream{Addr: evil, State: evil, LastError: evil, Node: evil}
		for i, e := range s.Events {
			s.Events[i] = control.Event{Time: e.Time, Kind: e.Kind, Text: evil, Reason: evil, Source: evil, Peer: evil, From: evil, To: evil + evil}
		}
		s.Problems = []control.Problem{{Level: evil, Node: evil, Text: evil, Remedy: evil}}
	})
	url, _ := start(t, control.Config{Node: node})
	b.open(url, 1280, 900, false)
	b.await(`document.querySelectorAll("#slots li").length === 12 && document.querySelectorAll("#handovers li").length === 2`)
	if got := b.eval("window.pwned"); got != "undefined" {
		t.Errorf("a name ran as script")
	}
	if got := b.eval(`document.querySelectorAll("main img, main script, header img, body > img").length`); got != "0" {
		t.Errorf("%s elements made from names", got)
	}
	if got := b.eval(`document.querySelector("#members tbody b").textContent`); got != evil {
		t.Errorf("name shown as %q", got)
	}
	if c := b.complaints(); len(c) > 0 {
		t.Errorf("the page complains: %v", fmt.Sprint(c))
	}
}
