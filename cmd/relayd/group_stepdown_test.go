package main

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/control"
)

// A step-down right after another, through a member that is so far from the new leader that it still takes the old one for the leader: it
// follows. Members 80, 40 and 160 ms apart ended one drill in a few with "us-1 does not lead any more".
func TestStepDownFollowsLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newSimGroup(t, 1)
		defer g.close()
		between := func(a, b string, d time.Duration) {
			g.mem.SetDelay(a, b, d)
			g.mem.SetDelay(b, a, d)
		}
		between("eu-1", "us-1", 10*time.Millisecond)
		between("us-1", "ap-1", 10*time.Millisecond)
		between("eu-1", "ap-1", 80*time.Millisecond)
		g.speaks("at the start")
		if leader, _ := g.leader(); leader != "us-1" {
			g.handOver("eu-1", "us-1")
		}
		// It has no connection to eu-1 left, and needs three round trips to tell that it leads.
		g.kill("ap-1")
		g.start("ap-1")
		g.speaks("with ap-1 again")
		g.handOver("eu-1", "ap-1")

		if st, err := (api{g.member("eu-1")}).Status(t.Context()); err != nil || st.Leader != "us-1" {
			t.Fatalf("eu-1 takes %s for the leader, %v; this test needs it to be late", st.Leader, err)
		}
		if got := g.handOver("eu-1", ""); got.From != "ap-1" || got.Followed != 1 {
			t.Errorf("%+v, want ap-1 to have stepped down, found at the second try", got)
		}
	})
}

// A step-down asked of a follower is reported as done, also when the gap was not seen to end in the time there was, here since the successor's
// upstreams take nobody: the follower waited no longer than the leader, and told of a failure before the answer was there.
func TestStepDownByFollowerWithoutGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newSimGroup(t, 1)
		defer g.close()
		g.speaks("at the start")
		leader, _ := g.leader()
		g.shut(simNames[:]...)
		via := simNames[0]
		if via == leader {
			via = simNames[1]
		}
		if got := g.handOver(via, ""); got.From != leader || got.To == "" || got.GapMS != nil {
			t.Errorf("%+v, want a hand-over from %s with no gap measured", got, leader)
		}
	})
}

// A follower asked for a step-down while nobody leads: its leader was killed, and the others have noticed. It waits for the next one, which may
// be itself. With processes that stand still for a part of a second now and then, one drill in a hundred ended with "no leader is known".
func TestStepDownBetweenTwoLeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newSimGroup(t, 1)
		defer g.close()
		g.speaks("at the start")
		killed, _ := g.leader()
		via := simNames[0]
		if via == killed {
			via = simNames[1]
		}
		g.kill(killed)
		m := g.member(via)
		for range 10_000 {
			if name, _ := m.group.Leader(); name == "" {
				break
			}
			time.Sleep(time.Millisecond) // fake time
		}
		if name, _ := m.group.Leader(); name != "" {
			t.Fatalf("%s still takes %s for the leader; this test needs it to have noticed", via, name)
		}
		got, err := (api{m}).StepDown(t.Context(), "", 5*time.Second)
		if err != nil || got.From == killed || got.To == "" || got.To == got.From {
			t.Errorf("%+v, %v, want the member that leads after %s to have stepped down", got, err, killed)
		}
	})
}

// handOver is relayctl step-down --now, asked of a member.
func (g *simGroup) handOver(via, to string) (out control.StepDown) {
	g.t.Helper()
	body, err := json.Marshal(control.StepDownRequest{To: to, Now: true})
	if err != nil {
		g.t.Fatal(err)
	}
	r := httptest.NewRequest("POST", "http://127.0.0.1:9870/v1/step-down", strings.NewReader(string(body)))
	r.RemoteAddr = "127.0.0.1:4000"
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	control.New(control.Config{Node: api{g.member(via)}}).Handler().ServeHTTP(w, r)
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || w.Code != 200 {
		g.t.Fatalf("step-down of whoever leads, through %s, to %q: %d %s %v", via, to, w.Code, w.Body, err)
	}
	return out
}
