package main

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/control"
)

// What relayctl members remove gets to hear when it cannot be done.
func TestRemoveMemberRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newSimGroup(t, 1)
		defer g.close()
		g.speaks("at the start")
		leader, m := g.leader()
		follower := simNames[0]
		if follower == leader {
			follower = simNames[1]
		}
		refused := func(at *member, name string, code control.Code, message, remedy string) {
			t.Helper()
			var got *control.Error
			if err := (api{at}).RemoveMember(t.Context(), name); !errors.As(err, &got) {
				t.Fatalf("remove %s: got %v, want a refusal", name, err)
			}
			if got.Code != code || got.Message != message || got.Remedy != remedy {
				t.Errorf("remove %s: got %s %q %q, want %s %q %q", name, got.Code, got.Message, got.Remedy, code, message, remedy)
			}
		}
		const notLeader = "change membership: this member is not the leader"
		refused(m, "us-2", control.CodeNotFound, `no member is named "us-2"`, "choose one of ap-1, eu-1, us-1")
		refused(g.member(follower), follower, control.CodeRefused, notLeader, "ask the leader, "+leader)
		refused(g.member(follower), "us-2", control.CodeRefused, notLeader, "ask the leader, "+leader)
		for _, name := range simNames {
			if name != follower {
				g.kill(name)
			}
		}
		time.Sleep(10 * time.Second) // fake time
		refused(g.member(follower), leader, control.CodeNoQuorum, "no leader is known", "bring the missing members back: relayctl status names them")
	})
}
