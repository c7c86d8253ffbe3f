package cluster_test

import (
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/hashicorp/raft"

	"github.com/thinrelay/thinrelay/cluster"
	"github.com/thinrelay/thinrelay/cluster/storage"
)

// A vote that is half on the disk, which was full in between, is none: least of all one for the candidate of an earlier vote, whose log may be behind.
func TestHalfAVoteIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		medium := storage.NewMemory()
		disk := &filling{Backend: medium.Backend, room: 100}
		medium.Backend = disk
		b := newBareOn(t, medium)
		defer b.close()
		if !b.vote("c", 2, 1, 1) {
			t.Fatal("no vote for a candidate whose log is as far")
		}
		if !b.append(3, 1, 1, 2, 3) {
			t.Fatal("the leader's entries are refused")
		}
		disk.room = 2 // the term, and half of the vote
		if b.vote("a", 4, 3, 3) {
			t.Error("a vote that is not on the disk is given")
		}
		disk.room = 100
		if b.vote("c", 4, 1, 1) {
			t.Error("a vote for a candidate that lacks entries")
		}
		if !b.vote("a", 4, 3, 3) {
			t.Error("no vote for the other one, now that there is space")
		}
	})
}

// A candidate that is no voter here gets a vote where its log is later than that here, also where that is longer: what is there may be a former leader's,
// who wrote it alone. Where its log is only longer, and ends in an earlier term, it does not even begin a term here.
func TestVoteForAVoterNotHeardOfWithALaterLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBare(t)
		defer b.close()
		if !b.append(99, 1, 1, 2, 3, 4, 5, 6) {
			t.Fatal("the former leader's entries are refused")
		}
		if b.vote("e", 102, 50, 98) || b.raft.CurrentTerm() != 99 {
			t.Errorf("a removed member whose log is only longer got a vote, or began term %d here", b.raft.CurrentTerm())
		}
		if !b.vote("d", 101, 4, 100) {
			t.Error("no vote for a candidate with a later, shorter log")
		}
	})
}

// vote asks for a vote in a term, as a member does that stands because the leader is gone.
func (b *bare) vote(candidate string, term, last, lastTerm uint64) bool {
	answer := make(chan raft.RPCResponse, 1)
	rpc := raft.RPC{RespChan: answer, Command: &raft.RequestVoteRequest{
		RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(candidate), Addr: []byte(candidate)},
		Term:      term, LastLogIndex: last, LastLogTerm: lastTerm, LeadershipTransfer: true,
	}}
	cluster.Amend(b.raft, b.store.Logs(), &rpc)
	b.calls <- rpc
	resp, ok := (<-answer).Response.(*raft.RequestVoteResponse)
	return ok && resp.Granted
}

// filling is a disk with room for so many keys more.
type filling struct {
	storage.Backend
	room int
}

func (f *filling) Set(key, value []byte) error {
	if f.room--; f.room < 0 {
		return syscall.ENOSPC
	}
	return f.Backend.Set(key, value)
}

func (f *filling) SetUint64(key []byte, value uint64) error {
	if f.room--; f.room < 0 {
		return syscall.ENOSPC
	}
	return f.Backend.SetUint64(key, value)
}
