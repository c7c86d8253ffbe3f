package cluster_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/thinrelay/thinrelay/cluster"
	"github.com/thinrelay/thinrelay/fsm"
)

// A leader's call of what the log holds is put together beside raft's main loop, which takes its successor's call meanwhile, cuts the log, and writes
// other entries. Half of the one log and half of the other are no call: who takes it has an entry that follows another one than everywhere else, which no
// later leader looks for.
func TestNoCallOfTwoLogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := transports(t)
		over := make(chan struct{})
		var serving sync.WaitGroup
		defer serving.Wait()
		defer close(over)
		servers := raft.Configuration{Servers: []raft.Server{{ID: "a", Address: "a:8300"}}}
		others := map[string]*raft.NetworkTransport{}
		for _, name := range []string{"b", "c", "d", "e"} {
			servers.Servers = append(servers.Servers, raft.Server{ID: raft.ServerID(name), Address: raft.ServerAddress(name + ":8300")})
			other := open(name)
			others[name] = other
			defer other.Close()
			serving.Go(func() {
				for {
					select {
					case c := <-other.Consumer():
						vote(t, c, name == "b")
					case <-over:
						return
					}
				}
			})
		}

		logs := &paused{LogStore: raft.NewInmemStore(), at: 3, reached: make(chan struct{}), further: make(chan struct{})}
		stable, snapshots := raft.NewInmemStore(), raft.NewInmemSnapshotStore()
		meter, started := cluster.NewMeter(open("a"), logs)
		c := raft.DefaultConfig()
		c.LocalID, c.Logger, c.CommitTimeout = "a", hclog.NewNullLogger(), 5*time.Millisecond
		if err := raft.BootstrapCluster(c, logs, stable, snapshots, meter, servers); err != nil {
			t.Fatal(err)
		}
		a, err := raft.NewRaft(c, fsm.New(nil), logs, stable, snapshots, meter)
		if err != nil {
			t.Fatal(err)
		}
		started(a)
		defer func() { _ = a.Shutdown().Error() }()
		for a.State() != raft.Leader {
			time.Sleep(time.Millisecond) // fake time
		}
		term := a.CurrentTerm()
		time.Sleep(100 * time.Millisecond) // fake time: b has its first entry, 2
		a.Apply(nil, 0)
		<-logs.reached // the entry before it, 2, is in the call to b
		var resp raft.AppendEntriesResponse
		next := &raft.AppendEntriesRequest{
			RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte("c"), Addr: []byte("c:8300")}, Term: term + 1, PrevLogEntry: 1, PrevLogTerm: 1,
			Entries: []*raft.Log{{Index: 2, Term: term + 1, Type: raft.LogNoop}, {Index: 3, Term: term + 1, Type: raft.LogNoop}},
		}
		if err := others["c"].AppendEntries("a", "a:8300", next, &resp); err != nil || !resp.Success {
			t.Fatalf("the successor's entries: %+v, %v", resp, err)
		}
		close(logs.further)
		time.Sleep(100 * time.Millisecond) // fake time
	})
}

// vote answers a call of a leader that everybody wants, whose entries some take.
func vote(t *testing.T, c raft.RPC, takes bool) {
	switch req := c.Command.(type) {
	case *raft.RequestPreVoteRequest:
		c.Respond(&raft.RequestPreVoteResponse{Term: req.Term, Granted: true}, nil)
	case *raft.RequestVoteRequest:
		c.Respond(&raft.RequestVoteResponse{Term: req.Term, Granted: true}, nil)
	case *raft.AppendEntriesRequest:
		for _, e := range req.Entries {
			if e.Term > req.Term {
				t.Errorf("entry %d of term %d in a call of term %d, after one of term %d", e.Index, e.Term, req.Term, req.PrevLogTerm)
			}
		}
		if !takes && len(req.Entries) > 0 {
			c.Respond(nil, errors.New("no"))
			return
		}
		c.Respond(&raft.AppendEntriesResponse{Term: req.Term, Success: true}, nil)
	}
}

// paused is a log that stands still when an entry is read for the first time.
type paused struct {
	raft.LogStore
	at               uint64
	reached, further chan struct{}
	over             atomic.Bool
}

func (p *paused) GetLog(index uint64, log *raft.Log) error {
	if index == p.at && p.over.CompareAndSwap(false, true) {
		close(p.reached)
		<-p.further
	}
	return p.LogStore.GetLog(index, log)
}
