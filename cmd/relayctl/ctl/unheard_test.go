package ctl

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/relay/control"
)

// silent gives the address of a node whose answers stay away where quiet says so, by the number of the question.
func silent(t *testing.T, n *fakeNode, quiet func(ask int64) bool) string {
	t.Helper()
	behind, err := url.Parse(serve(t, n))
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(behind)
	var asked atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if quiet(asked.Add(1)) {
			w.WriteHeader(http.StatusBadGateway) // as of a tunnel or proxy before it
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

// TestWatchEndsUnheard exits by the last look, not by the last answer: a relay that has not been heard since is not well.
func TestWatchEndsUnheard(t *testing.T) {
	out, code := watchFor(t, silent(t, healthy(), func(ask int64) bool { return ask > 2 }), 4, false)
	if code != exitDown || strings.Count(out, "NO ANSWER") != 2 {
		t.Errorf("gone at the end: exit %d, want %d; %q", code, exitDown, out)
	}
	out, code = watchFor(t, silent(t, healthy(), func(ask int64) bool { return ask == 2 }), 3, false)
	if code != exitOK || strings.Count(out, "NO ANSWER") != 1 {
		t.Errorf("gone for a moment: exit %d, want %d; %q", code, exitOK, out)
	}
}

// TestDrillKillUnheard goes on where the member that is watched through does not answer for a moment, and gives up where it is gone.
func TestDrillKillUnheard(t *testing.T) {
	drill := func(quiet func(ask int64) bool) (drillReport, string, int) {
		follower := healthy()
		follower.status = func(ask int) control.Status {
			s := sample()
			s.Node = "us-1"
			if ask > 4 {
				s.Leader, s.Counters.Missed = "us-1", 1
			}
			return s
		}
		out, errs, code := exec(t, serve(t, healthy())+","+silent(t, follower, quiet), "--json", "drill", "--kill-hint", "--count", "1")
		var r drillReport
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatalf("%v: %q %q", err, out, errs)
		}
		return r, errs, code
	}
	// The second question is asked while the leader is awaited to go, the seventh after the takeover.
	r, errs, code := drill(func(ask int64) bool { return ask == 2 || ask == 7 })
	if code != exitDegraded || len(r.Runs) != 1 || r.Runs[0].To != "us-1" || r.Lost != 1 {
		t.Errorf("silent for a moment: exit %d %+v %q", code, r, errs)
	}
	if _, errs, code := drill(func(ask int64) bool { return ask > 2 }); code != exitDown || !strings.Contains(errs, "next: check that --addr is a relay's") {
		t.Errorf("gone: exit %d %q", code, errs)
	}
}

// TestDrillKillLostBefore does not charge a kill with slots that were missed while the operator was still on the way to it.
func TestDrillKillLostBefore(t *testing.T) {
	follower := healthy()
	begin := time.Now()
	follower.status = func(ask int) control.Status {
		s := sample()
		s.Node = "us-1"
		if ask > 2 {
			s.Counters.Missed = 3
		}
		if time.Since(begin) > time.Second { // many times what slots are counted for here
			s.Leader, s.Counters.Missed = "us-1", 4
		}
		return s
	}
	out, errs, _ := exec(t, serve(t, healthy())+","+serve(t, follower), "--json", "drill", "--kill-hint", "--count", "1")
	var r drillReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v: %q %q", err, out, errs)
	}
	if r.Lost != 1 {
		t.Errorf("lost: got %d, want 1", r.Lost)
	}
}
