package cluster_test

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/thinrelay/thinrelay/cluster"
)

// A newcomer that belongs nowhere yet takes the calls of any cluster that means it. Once it has joined one it takes no more of another's, nor on the
// connections that it had before.
func TestCallsOfAnotherClusterEndWhenItHasJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world3(t)
		defer w.close()
		w.agreed(w.leader().mustAdvance())
		d := w.add("d")
		for _, name := range []string{"a", "b", "c"} {
			w.net.CutBoth("d", name)
		}
		d.start()
		w.until("its raft to run", 5*time.Second, func() bool { return d.group.Status().Role == "follower" })
		host := w.net.Host("x")
		ln, err := host.Listen("x:8300")
		if err != nil {
			t.Fatal(err)
		}
		other := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
			Stream: stranger{layer{ln, host}, d.group.Announce().RaftID}, MaxPool: 1, Timeout: time.Second, Logger: hclog.NewNullLogger(),
		})
		defer other.Close()
		ask := func() error {
			req := raft.RequestVoteRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax}}
			return other.RequestVote("d", "d:8300", &req, new(raft.RequestVoteResponse))
		}
		if err := ask(); err != nil {
			t.Fatalf("before it has joined: %v", err)
		}
		for _, name := range []string{"a", "b", "c"} {
			w.net.HealBoth("d", name)
		}
		w.voters(w.leader(), "a", "b", "c", "d")
		w.until("it to record its cluster", 5*time.Second, func() bool { return d.group.Announce().ClusterID != "" })
		if err := ask(); err == nil {
			t.Error("another cluster's call is answered")
		}
		w.agreed(w.leader().mustAdvance())
	})
}

// stranger is a layer that greets one log in the name of another cluster.
type stranger struct {
	layer
	id string
}

func (s stranger) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	c, err := s.layer.Dial(addr, timeout)
	if err != nil {
		return nil, err
	}
	greeting, err := cluster.AppendGreeting(nil, s.id, "another")
	if err == nil {
		_, err = c.Write(greeting)
	}
	return c, err
}
