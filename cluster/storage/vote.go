package storage

// Raft's keys of its vote (raft.go:29), which it writes one after the other, the term first (persistVote).
var (
	keyLastVoteTerm = []byte("LastVoteTerm")
	keyLastVoteCand = []byte("LastVoteCand")
)

// setVote writes the vote whose term raft has given before: the candidate first. With a term alone, since there was no more space or the process
// ended, the vote would be that for the candidate of an earlier term, and raft grants it to that one again without a look at how far its log is. A
// candidate without its term is no vote: raft votes in a term later than the last one it voted in.
func (g *guard) setVote(candidate []byte) error {
	term := g.voteTerm
	return g.write(func() error {
		err := g.backend.Set(keyLastVoteCand, candidate)
		if err == nil {
			err = g.backend.SetUint64(keyLastVoteTerm, term)
		}
		return g.classify(err)
	})
}
