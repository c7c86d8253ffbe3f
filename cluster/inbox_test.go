package cluster_test

import (
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/thinrelay/thinrelay/cluster"
	"github.com/thinrelay/thinrelay/relay/simnet/memnet"
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

// transports returns what opens transports of one network, by the name of the host.
func transports(t *testing.T) (open func(name string) *raft.NetworkTransport) {
	net := memnet.New()
	return func(name string) *raft.NetworkTransport {
		t.Helper()
		ln, err := net.Host(name).Listen(name + ":8300")
		if err != nil {
			t.Fatal(err)
		}
		return raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{Stream: layer{ln, net.Host(name)}, Timeout: time.Second, MaxRPCsInFlight: 1, Logger: hclog.NewNullLogger()})
	}
}

// A leader that stands still when it has begun to send a snapshot keeps nobody from voting for another one: raft, which would read the snapshot in its
// main loop, gets it when all of it is there.
func TestHalfASnapshotKeepsNoCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := transports(t)
		leader, candidate, inbox := open("a"), open("c"), cluster.NewInbox(open("b"))
		defer leader.Close()
		defer candidate.Close()
		defer inbox.(raft.WithClose).Close()
		restored, over := make(chan string, 1), make(chan struct{})
		defer close(over)
		go func() {
			for {
				select {
				case <-over:
					return
				case c := <-inbox.Consumer():
					if c.Reader == nil {
						c.Respond(&raft.RequestVoteResponse{Granted: true}, nil)
						continue
					}
					body, err := io.ReadAll(c.Reader)
					restored <- string(body)
					c.Respond(&raft.InstallSnapshotResponse{Success: true}, err)
				}
			}
		}()
		body, send := io.Pipe()
		sent := make(chan error, 1)
		go func() {
			snapshot := raft.InstallSnapshotRequest{Term: 7, LastLogIndex: 10, Size: 4}
			sent <- leader.InstallSnapshot("b", "b:8300", &snapshot, new(raft.InstallSnapshotResponse), body)
		}()
		synctest.Wait()
		var vote raft.RequestVoteResponse
		if err := candidate.RequestVote("b", "b:8300", &raft.RequestVoteRequest{Term: 8}, &vote); err != nil || !vote.Granted {
			t.Errorf("a vote: got %+v, %v, want it", vote, err)
		}
		_, _ = io.WriteString(send, "ten.")
		_ = send.Close()
		if err := <-sent; err != nil {
			t.Errorf("the snapshot: %v", err)
		}
		if got, want := <-restored, "ten."; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// Who leads no more sends no snapshot: whoever gets one takes its sender for the leader, and elects nobody for a while.
func TestFormerLeaderSendsNoSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := transports(t)
		meter, _ := cluster.NewMeter(open("a"), raft.NewInmemStore()) // which leads nothing
		member := open("b")
		defer meter.(raft.WithClose).Close()
		defer member.Close()
		go func() {
			select {
			case c := <-member.Consumer():
				t.Error("a snapshot has come")
				c.Respond(&raft.InstallSnapshotResponse{Success: true}, nil)
			case <-t.Context().Done():
			}
		}()
		err := meter.InstallSnapshot("b", "b:8300", &raft.InstallSnapshotRequest{Term: 7, Size: 4}, new(raft.InstallSnapshotResponse), strings.NewReader("ten."))
		mustErr(t, err, cluster.ErrLostLeadership)
	})
}

// Of the snapshots that come while raft waits for its disk it gets one, and has not to begin each of them.
func TestOneSnapshotWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := transports(t)
		leader, inbox := open("a"), cluster.NewInbox(open("b"))
		defer leader.Close()
		defer inbox.(raft.WithClose).Close()
		for range 5 {
			snapshot := raft.InstallSnapshotRequest{Term: 7, LastLogIndex: 10, Size: 4}
			if err := leader.InstallSnapshot("b", "b:8300", &snapshot, new(raft.InstallSnapshotResponse), strings.NewReader("ten.")); err == nil {
				t.Fatal("a snapshot is taken that nobody has read")
			}
		}
		got := 0
		for {
			synctest.Wait()
			select {
			case c := <-inbox.Consumer():
				got++
				c.Respond(&raft.InstallSnapshotResponse{Success: true}, nil)
				continue
			default:
			}
			break
		}
		if got != 1 {
			t.Errorf("%d of 5 wait, want 1", got)
		}
		go func() {
			c := <-inbox.Consumer()
			c.Respond(&raft.InstallSnapshotResponse{Success: true}, nil)
		}()
		var resp raft.InstallSnapshotResponse
		if err := leader.InstallSnapshot("b", "b:8300", &raft.InstallSnapshotRequest{Term: 7, LastLogIndex: 10, Size: 4}, &resp, strings.NewReader("ten.")); err != nil || !resp.Success {
			t.Errorf("the next one: %+v, %v", resp, err)
		}
	})
}

// A heartbeat that may change something is not answered beside the main loop, but handed to it.
func TestHeartbeatGoesToTheMainLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := transports(t)
		leader, inbox := open("a"), cluster.NewInbox(open("b")) // whose raft has not started: every heartbeat may change something
		defer leader.Close()
		defer inbox.(raft.WithClose).Close()
		inbox.SetHeartbeatHandler(func(c raft.RPC) {
			t.Error("answered beside the main loop")
			c.Respond(&raft.AppendEntriesResponse{}, nil)
		})
		go func() {
			c := <-inbox.Consumer()
			c.Respond(&raft.AppendEntriesResponse{Term: 8}, nil)
		}()
		var resp raft.AppendEntriesResponse
		heartbeat := raft.AppendEntriesRequest{RPCHeader: raft.RPCHeader{Addr: []byte("a:8300")}, Term: 7} // net_transport.go: what has no more is one
		if err := leader.AppendEntries("b", "b:8300", &heartbeat, &resp); err != nil || resp.Term != 8 {
			t.Errorf("got %+v, %v, want the main loop's answer", resp, err)
		}
	})
}
