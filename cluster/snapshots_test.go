package cluster_test

import (
	"bytes"
	"io"
	"testing"
	"testing/synctest"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/thinrelay/thinrelay/cluster"
	"github.com/thinrelay/thinrelay/fsm"
)

// A member that has applied more than a leader's snapshot holds does not go back to it, whether it had when the snapshot came or only when raft
// turned to it. What it has not applied is restored.
func TestOldSnapshotIsNotRestored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var machine bytes.Buffer // what is restored, in order
		c := raft.DefaultConfig()
		c.LocalID, c.Logger = "b", hclog.NewNullLogger()
		_, inner := raft.NewInmemTransport("b")
		trans := desk{inner, make(chan raft.RPC)}
		store := raft.NewInmemStore()
		snapshots := raft.NewInmemSnapshotStore()
		servers := raft.Configuration{Servers: []raft.Server{{ID: "a", Address: "a"}, {ID: "b", Address: "b"}, {ID: "c", Address: "c"}}}
		if err := raft.BootstrapCluster(c, store, store, snapshots, trans, servers); err != nil {
			t.Fatal(err)
		}
		b, err := raft.NewRaft(c, &tape{FSM: fsm.New(nil), to: &machine}, store, store, snapshots, trans)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = b.Shutdown().Error() }()

		install := func(index uint64, content string, meanwhile func()) (answered bool, response raft.RPCResponse) {
			answer := make(chan raft.RPCResponse, 1)
			rpc := raft.RPC{
				RespChan: answer, Reader: bytes.NewBufferString(content),
				Command: &raft.InstallSnapshotRequest{
					RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte("a"), Addr: []byte("a")}, SnapshotVersion: raft.SnapshotVersionMax,
					Term: 100, LastLogIndex: index, LastLogTerm: 100, Configuration: raft.EncodeConfiguration(servers), ConfigurationIndex: 1, Size: int64(len(content)),
				},
			}
			answered = cluster.TakeSnapshot(b, &rpc)
			meanwhile()
			if !answered {
				trans.calls <- rpc
			}
			response = <-answer
			if left, _ := io.ReadAll(rpc.Reader); len(left) > 0 && response.Error == nil {
				t.Errorf("%d bytes of the snapshot are left before the next call", len(left))
			}
			return answered, response
		}
		nothing := func() {}
		if answered, r := install(10, "ten.", nothing); answered || r.Error != nil {
			t.Fatalf("snapshot to 10: answered %v, %v", answered, r.Error)
		}
		for _, index := range []uint64{7, 10} {
			answered, r := install(index, "old.", nothing)
			if resp, ok := r.Response.(*raft.InstallSnapshotResponse); !answered || r.Error != nil || !ok || !resp.Success {
				t.Errorf("snapshot to %d: answered %v, %+v, want that the member has it", index, answered, r)
			}
		}
		if _, r := install(15, "overtaken.", func() { install(20, "twenty.", nothing) }); r.Error == nil {
			t.Error("a snapshot to 15, which came before one to 20 and was taken up after it, was restored")
		}
		if got, want := machine.String(), "ten.twenty."; got != want {
			t.Errorf("restored %q, want %q", got, want)
		}
		if got, want := b.AppliedIndex(), uint64(20); got != want {
			t.Errorf("applied up to %d, want %d", got, want)
		}
	})
}

// desk is a transport that takes calls from the test.
type desk struct {
	*raft.InmemTransport
	calls chan raft.RPC
}

func (d desk) Consumer() <-chan raft.RPC { return d.calls }

// tape is a state machine that notes what is restored.
type tape struct {
	*fsm.FSM
	to *bytes.Buffer
}

func (f *tape) Restore(r io.ReadCloser) error {
	_, err := io.Copy(f.to, r)
	return err
}
