package relay_test

import (
	"testing"
	"testing/synctest"

	"github.com/thinrelay/thinrelay/fsm"
	"github.com/thinrelay/thinrelay/relay/director"
)

// A replica comes here when it has built on the mark: what it sends is not known to be its first child of that, until
// the leader says that it has let just this one go. That leader dies, and its successor here sends the block on.
func TestLeaderTellsOfABlockThatIsHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, director.Passive, nil)
		defer s.close()
		base := child(genesis(100), s.slot, "bpb", 0, 0)
		ours := child(base.id, s.slot+1, "bpa", 0, 0)
		up := s.accept(base.id, base.id)
		up.write(base.frame)
		settle()
		s.stopLead()
		<-s.led
		leader, ended := s.leader(t)
		a := s.dial("nodeos-a", base.id, ours.id)
		settle()
		a.write(ours.frame)
		settle()
		leader.feed(67, append(append(append([]byte(nil), ours.id[:]...), a.id[:]...), 1<<0|1<<1)) // origin: watched, emitted
		settle()
		leader.close()
		<-ended
		s.inherit(fsm.Mark{Last: fsm.BlockID(base.id), Slot: uint32(base.slot), Source: fsm.NodeID(a.id)})
		s.lead()
		up = s.accept(base.id, base.id)
		settle()
		if !up.has(ours.id) {
			t.Errorf("the block did not go: refused %v", s.refused(ours.id))
		}
	})
}

// leader has the relay follow a leader that the test plays; and why that link ended.
func (s *stage) leader(t *testing.T) (*player, chan error) {
	t.Helper()
	ln, err := s.mem.Host("r1").Listen("r1:8300")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	nc, err := s.mem.Host("relay").Dial(s.ctx, "r1:8300")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.node.FollowLink(s.ctx, "r1", nc) }()
	taken, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return s.meet("r1", taken), ended
}
