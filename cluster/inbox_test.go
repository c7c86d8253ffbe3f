package cluster_test

import (
	"testing"

	"github.com/hashicorp/raft"

	"github.com/thinrelay/thinrelay/cluster"
)

// What may be answered beside raft's main loop: heartbeats that would change neither term nor state.
func TestHeartbeatsBesideTheMainLoop(t *testing.T) {
	heartbeat := func(term uint64) any { return &raft.AppendEntriesRequest{Term: term} }
	for name, tt := range map[string]struct {
		call  any
		state raft.RaftState
		want  bool
	}{
		"a follower's leader":           {heartbeat(7), raft.Follower, true},
		"an old leader, to a follower":  {heartbeat(6), raft.Follower, true},
		"an old leader, to a candidate": {heartbeat(6), raft.Candidate, true},
		"a new leader":                  {heartbeat(8), raft.Follower, false},
		"the leader, to a candidate":    {heartbeat(7), raft.Candidate, false},
		"a leader, to a leader":         {heartbeat(7), raft.Leader, false},
		"no heartbeat":                  {&raft.RequestVoteRequest{Term: 7}, raft.Follower, false},
	} {
		if got := cluster.ChangesNothing(tt.call, 7, tt.state); got != tt.want {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
	}
}
