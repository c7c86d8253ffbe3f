package cluster

import (
	"errors"

	"github.com/hashicorp/raft"
)

// leavePrevious takes from a leader's call the question whether this member's log has the entry before the new ones, where that entry is applied
// here and no longer in the log. A leader has all that is committed (Raft, 5.4), so its entry is the one applied. Raft looks into the log alone, not at the snapshot that
// the entry went into (hashicorp/raft v1.8.0, appendEntries), and says no: a member whose log after a snapshot holds nothing but what a former leader
// wrote and nobody else has would get nothing any more from any leader but that one. Nor does it look into the log for the last entry, whose term it
// keeps: when a snapshot ends where the log of a former leader ended, that term is the former leader's.
//
// A call that was held up may end below what is applied, while the log holds a former leader's entries beyond. It tells nothing of those, and raft would
// apply them, up to what the leader has committed: so what the call commits ends where it ends.
func leavePrevious(r *raft.Raft, logs raft.LogStore, c *raft.RPC) {
	req, ok := c.Command.(*raft.AppendEntriesRequest)
	if !ok || r == nil || req.PrevLogEntry == 0 || req.Term < r.CurrentTerm() {
		return
	}
	applied := r.AppliedIndex()
	if req.PrevLogEntry > applied || !errors.Is(logs.GetLog(req.PrevLogEntry, new(raft.Log)), raft.ErrLogNotFound) {
		return
	}
	known := *req
	known.PrevLogEntry, known.PrevLogTerm = 0, 0
	known.LeaderCommitIndex = min(req.LeaderCommitIndex, max(applied, req.PrevLogEntry+uint64(len(req.Entries))))
	for len(known.Entries) > 0 && known.Entries[0].Index <= applied {
		known.Entries = known.Entries[1:]
	}
	c.Command = &known
}
