package cluster

import (
	"slices"

	"github.com/hashicorp/raft"
)

// vouch takes from a candidate's call the question whether it is a voter of the configuration here, where its log is later: then that of a later
// entry counts, which has not come here yet. Raft's paper asks for the log alone; hashicorp/raft v1.8.0 refuses who is no voter here (requestVote,
// requestPreVote), and when the others that have the entry are gone, nobody leads: this member lacks entries, and the candidate this member's vote. Whether
// the log is enough raft looks for itself. It knows the leader by address; the id is asked for nothing else.
//
// Later is as votes go, by term and then by length. What makes a log longer may be what a former leader wrote alone: here, where the candidate gets its vote all
// the same, or there, where a member that was removed meanwhile is not even to begin a term here.
func vouch(r *raft.Raft, c *raft.RPC) {
	if r == nil {
		return
	}
	switch req := c.Command.(type) {
	case *raft.RequestVoteRequest:
		if id := instead(r, req.ID, position{LogTerm: req.LastLogTerm, Index: req.LastLogIndex}); id != nil {
			known := *req
			known.ID = id
			c.Command = &known
		}
	case *raft.RequestPreVoteRequest:
		if id := instead(r, req.ID, position{LogTerm: req.LastLogTerm, Index: req.LastLogIndex}); id != nil {
			known := *req
			known.ID = id
			c.Command = &known
		}
	}
}

// instead returns the id of a voter to put in the place of a candidate's, nil when its own is to stay.
func instead(r *raft.Raft, id []byte, last position) []byte {
	servers := r.GetConfiguration().Configuration().Servers
	voter := slices.IndexFunc(servers, func(s raft.Server) bool { return s.Suffrage == raft.Voter })
	named := slices.ContainsFunc(servers, func(s raft.Server) bool { return s.Suffrage == raft.Voter && string(s.ID) == string(id) })
	if len(id) == 0 || voter < 0 || named {
		return nil
	}
	if own, err := positionOf(r); err != nil || !last.beyond(own) {
		return nil
	}
	return []byte(servers[voter].ID)
}
