package main

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/cluster"
	"github.com/thinrelay/thinrelay/cluster/members"
	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/control"
)

// heardOf is a gossip that says what a test told it to.
type heardOf []members.Member

func (h heardOf) Run(context.Context) error { return nil }
func (h heardOf) Members() []members.Member { return h }
func (h heardOf) Update(members.Meta)       {}
func (h heardOf) Changed() <-chan struct{}  { return nil }

// TestAliveWithoutLeader does not call a member unreachable because nobody passes on what it tells: with the leader and two more of five gone,
// each of the two that were left said that all the others were, and to see whether relayd runs there.
func TestAliveWithoutLeader(t *testing.T) {
	body, err := json.Marshal(note{Member: control.Member{Name: "us-1", Role: control.RoleFollower, Mark: 7, Version: "0.1.0"}})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for name, test := range map[string]struct {
		state members.State
		led   bool
		voted bool // it answered when we stood for election
		age   time.Duration
		want  control.Role
	}{
		"no leader, heard by gossip":                      {members.Alive, false, true, 3 * time.Minute, control.RoleFollower},
		"no leader, not heard at all":                     {members.Gone, false, true, 3 * time.Minute, control.RoleUnreachable},
		"a leader that hears nothing of it: no power":     {members.Alive, true, true, 3 * time.Minute, control.RoleUnreachable},
		"its word is fresh":                               {members.Alive, true, true, time.Second, control.RoleFollower},
		"no leader, killed, and not missed by gossip yet": {members.Alive, false, false, 6 * time.Second, control.RoleUnreachable},
	} {
		m := &member{gossip: heardOf{{Name: "us-1", State: test.state, Since: now.Add(-time.Hour)}}}
		s := control.Status{Node: "eu-1", Time: now, Quorum: control.Quorum{Have: 1, Need: 3, Total: 5, OK: test.led}}
		if test.led {
			s.Leader = "ap-1"
		}
		notes := map[string]relay.Note{"us-1": {From: "us-1", Body: body, At: now, Age: test.age}}
		got := m.otherMember(&s, cluster.Member{Name: "us-1", Voter: true, Silent: !test.voted}, notes)
		if got.Role != test.want || got.Stale != (test.age > staleAfter) || got.Mark != 7 {
			t.Errorf("%s: got %+v, want role %s", name, got, test.want)
		}
		s.Members = []control.Member{{Name: "eu-1", Role: control.RoleFollower, Mark: 7}, got}
		s.Assess()
		for _, p := range s.Problems {
			if p.Node == "us-1" && !test.led && test.voted && test.state == members.Alive {
				t.Errorf("%s: %s: %s; next: %s", name, p.Code, p.Text, p.Remedy)
			}
		}
	}
}
