package cluster

import (
	"errors"

	"github.com/hashicorp/raft"
)

// amend changes a leader's or candidate's call where raft would take more from it, or less, than it tells.
func amend(r *raft.Raft, logs raft.LogStore, c *raft.RPC) {
	boundCommit(c)
	leavePrevious(r, logs, c)
	vouch(r, c)
}

// boundCommit has a leader's call commit no more than it ends with. What this member's log holds beyond may be a former leader's, of which the call tells
// nothing, and raft applies it up to what the leader has committed (hashicorp/raft v1.8.0, appendEntries, takes the end of the log, where Raft's paper has the
// last new entry). A leader made such a call: its first, of its log as it was before its own first entry, was tried again by raft after a pause
// when it failed (replicateTo), and told what was committed meanwhile. Now it is tried again as it was (meter.AppendEntries); but not by an earlier release.
func boundCommit(c *raft.RPC) {
	req, ok := c.Command.(*raft.AppendEntriesRequest)
	if !ok {
		return
	}
	if end := req.PrevLogEntry + uint64(len(req.Entries)); req.LeaderCommitIndex > end {
		bounded := *req
		bounded.LeaderCommitIndex = end
		c.Command = &bounded
	}
}

// leavePrevious takes from a leader's call the question whether this member's log has the entry before the new ones, where that entry is applied
// here and no longer in the log. A leader has all that is committed (Raft, 5.4), so its entry is the one applied. Raft looks into the log alone, not at the snapshot that
// the entry went into (hashicorp/raft v1.8.0, appendEntries), and says no: a member whose log after a snapshot holds nothing but what a former leader
// wrote and nobody else has would get nothing any more from any leader but that one. Nor does it look into the log for the last entry, whose term it
// keeps: when a snapshot ends where the log of a former leader ended, that term is the former leader's.
//
// A call from the first entry on, to which a leader goes back one by one while nothing can be written here, has none before; its entries are asked for the same way.
func leavePrevious(r *raft.Raft, logs raft.LogStore, c *raft.RPC) {
	req, ok := c.Command.(*raft.AppendEntriesRequest)
	if !ok || r == nil || isHeartbeat(req) || req.Term < r.CurrentTerm() {
		return
	}
	applied, at := r.AppliedIndex(), max(req.PrevLogEntry, 1)
	if at > applied || !errors.Is(logs.GetLog(at, new(raft.Log)), raft.ErrLogNotFound) {
		return
	}
	known := *req
	known.PrevLogEntry, known.PrevLogTerm = 0, 0
	for len(known.Entries) > 0 && known.Entries[0].Index <= applied {
		known.Entries = known.Entries[1:]
	}
	c.Command = &known
}
