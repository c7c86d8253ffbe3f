package relay_test

import (
	"encoding/binary"
	"net"
	"testing"
	"testing/synctest"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// follow is a follower that has said hello: both ends of the link, and why the relay ended it.
func (s *stage) follow(t *testing.T) (nc, served net.Conn, over chan error) {
	t.Helper()
	ln, err := s.mem.Host("relay").Listen("relay:8300")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	nc, err = s.mem.Host("r2").Dial(s.ctx, "relay:8300")
	if err != nil {
		t.Fatal(err)
	}
	served, err = ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	over = make(chan error, 1)
	go func() { over <- s.node.ServeLink(s.ctx, "r2", served) }()
	hello := wire.RawFrame(64, append([]byte{1}, make([]byte, 32)...)) // version 1, no tip
	nc.Write(hello.Bytes())
	hello.Release()
	return nc, served, over
}

// stall is a follower that says hello and then reads nothing while it is told of votes:
// others of the network's, and ours of ours. It returns what then is on its link, in
// order: true for a vote that is announced as ours; and whether the relay ended the link.
// The last vote on it is one of the network's.
func (v *ballots) stall(t *testing.T, others, ours int) (votes []wire.Vote, announced []bool, ended bool) {
	nc, served, over := v.follow(t)
	defer nc.Close()
	settle()
	vote := func(p *player, finalizer byte, n int) {
		m := wire.Vote{Block: v.base.id, Strong: true, Key: [96]byte{finalizer}}
		binary.BigEndian.PutUint32(m.Sig[:], uint32(n))
		p.send(&m)
	}
	for n := range ours {
		if n == 1500 { // what is on the socket does not count
			for n := range others {
				vote(v.up, byte(20+n), n)
			}
			synctest.Wait()
		}
		vote(v.fin, 9, n)
		synctest.Wait()
	}
	if v.count(relay.LinkDown) > 0 {
		<-over
		return nil, nil, true
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		r := wire.NewReader(nc)
		for next := false; ; {
			f, err := r.Next()
			if err != nil {
				return
			}
			switch f.Type() {
			case 68: // the next vote is ours
				next = true
			case wire.TypeVote:
				m, _ := wire.ParseVote(f.Body())
				votes, announced, next = append(votes, m), append(announced, next), false
			}
			f.Release()
		}
	}()
	settle()
	vote(v.up, 100, 0)
	settle()
	served.Close()
	<-over
	<-read
	return votes, announced, false
}

// A follower reads nothing, until its link is full. A vote of ours for which there is no
// room any more is not announced either: or the next one of the network's would be taken
// for ours.
func TestVoteOnAFullLink(t *testing.T) {
	full := 0
	trial := func(others, ours int) (ended bool) {
		synctest.Test(t, func(t *testing.T) {
			v := newBallots(t)
			defer v.close()
			votes, announced, down := v.stall(t, others, ours)
			if ended = down; down {
				return
			}
			for i, m := range votes {
				if ours := m.Key[0] == 9; ours != announced[i] {
					t.Fatalf("%d votes of ours: the link's vote %d of %d is by finalizer %d, and said to be ours: %v", full, i, len(votes), m.Key[0], announced[i])
				}
			}
			if last := votes[len(votes)-1]; last.Key[0] != 100 {
				t.Fatalf("the last vote is by finalizer %d", last.Key[0])
			}
		})
		return ended
	}
	for step := 2048; step > 0; step /= 2 { // the most of ours that the link takes
		if full += step; trial(0, full) {
			full -= step
		}
		if full > 4096 {
			t.Fatal("the link does not end")
		}
	}
	for others := range 2 { // an odd one, or an even one, leaves room for an announcement alone
		for ours := full - 1; ours <= full+1; ours++ {
			trial(others, ours)
		}
	}
}
