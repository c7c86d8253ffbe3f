package storage

import "bytes"

// Raft's keys of its vote (raft.go:29), which it writes one after the other, the term first (persistVote).
var (
	keyLastVoteTerm = []byte("LastVoteTerm")
	keyLastVoteCand = []byte("LastVoteCand")
)

// setVote writes the vote whose term raft has given before: the candidate first. With a term alone, since there was no more space or the process
// ended, the vote would be that for the candidate of an earlier term, and raft grants it to that one again without a look at how far its log is. A
// candidate without its term is no vote: raft votes in a term later than the last one it voted in.
//
// A candidate that is there already, as our own name is in each election but the first, is not written again: the writes of an election have to be done
// within its timeout, on both sides one after the other. With disks that take 90 ms for each there was no leader for a minute.
func (g *guard) setVote(candidate []byte) error {
	term := g.voteTerm
	return g.write(func() error {
		last, err := g.backend.Get(keyLastVoteCand)
		if err != nil || !bytes.Equal(last, candidate) {
			err = g.backend.Set(keyLastVoteCand, candidate)
		}
		if err == nil {
			err = g.backend.SetUint64(keyLastVoteTerm, term)
		}
		return g.classify(err)
	})
}
