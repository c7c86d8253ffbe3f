package cluster_test

import (
	"bytes"
	"io"
	"testing"
	"testing/synctest"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/thinrelay/thinrelay/cluster"
	"github.com/thinrelay/thinrelay/cluster/storage"
	"github.com/thinrelay/thinrelay/fsm"
)

// A member that has applied more than a leader's snapshot holds does not go back to it, whether it had when the snapshot came or only when raft
// turned to it. What it has not applied is restored.
func TestOldSnapshotIsNotRestored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBare(t)
		defer b.close()
		nothing := func() {}
		if answered, r := b.install(10, "ten.", nothing); answered || r.Error != nil {
			t.Fatalf("snapshot to 10: answered %v, %v", answered, r.Error)
		}
		for _, index := range []uint64{7, 10} {
			answered, r := b.install(index, "old.", nothing)
			if resp, ok := r.Response.(*raft.InstallSnapshotResponse); !answered || r.Error != nil || !ok || !resp.Success {
				t.Errorf("snapshot to %d: answered %v, %+v, want that the member has it", index, answered, r)
			}
		}
		if _, r := b.install(15, "overtaken.", func() { b.install(20, "twenty.", nothing) }); r.Error == nil {
			t.Error("a snapshot to 15, which came before one to 20 and was taken up after it, was restored")
		}
		if got, want := b.machine.String(), "ten.twenty."; got != want {
			t.Errorf("restored %q, want %q", got, want)
		}
		if got, want := b.raft.AppliedIndex(), uint64(20); got != want {
			t.Errorf("applied up to %d, want %d", got, want)
		}
	})
}

// A member whose log after a snapshot holds only what a former leader wrote takes the next leader's entries in its place: the last one of the
// snapshot is before them.
func TestNextLeaderAfterASnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBare(t)
		defer b.close()
		b.install(10, "ten.", func() {})
		if !b.append(100, 10, 100, 11, 12) {
			t.Fatal("the first leader's entries are refused")
		}
		if b.append(101, 12, 101, 13) {
			t.Error("an entry after one that is not there is taken")
		}
		if !b.append(102, 10, 100, 11) {
			t.Error("the next leader's entries are refused, after the last one of the snapshot")
		}
		if !b.append(103, 8, 100, 9, 10, 11) { // it may go back further than it has to
			t.Error("a later leader's entries are refused, of which some are in the snapshot")
		}
		var e raft.Log
		if err := b.store.Logs().GetLog(11, &e); err != nil || e.Term != 103 {
			t.Errorf("entry 11 is of term %d, %v, want the last leader's, 103", e.Term, err)
		}
	})
}

// A member that gets a snapshot over what a former leader wrote, and nobody else has, keeps nothing of that: it takes what follows the snapshot, and
// when it leads it has nothing to pass on that was never agreed on.
func TestSnapshotOverAFormerLeadersEntries(t *testing.T) {
	for name, entries := range map[string][]uint64{
		"that end before it": {2, 3, 4}, "that end with it": {2, 3, 4, 5, 6, 7, 8, 9, 10}, "that go beyond it": {2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBare(t)
				defer b.close()
				if !b.append(99, 1, 1, entries...) {
					t.Fatal("the former leader's entries are refused")
				}
				if answered, r := b.install(10, "ten.", func() {}); answered || r.Error != nil {
					t.Fatalf("snapshot to 10: answered %v, %v", answered, r.Error)
				}
				if !b.append(100, 10, 100, 11) {
					t.Error("the entry after the snapshot is refused")
				}
				for _, i := range entries {
					var e raft.Log
					if err := b.store.Logs().GetLog(i, &e); err == nil && e.Term == 99 {
						t.Errorf("entry %d is still the former leader's", i)
					}
				}
			})
		})
	}
}

// A call of the leader that was held up, from before its snapshot, ends below what that has brought. It commits nothing that a former leader wrote beyond.
func TestLateCallAfterASnapshot(t *testing.T) {
	for name, entries := range map[string][]uint64{"below the snapshot": {6, 7, 8}, "above it": {9, 10, 11}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBare(t)
				defer b.close()
				if !b.append(99, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13) {
					t.Fatal("the former leader's entries are refused")
				}
				if answered, r := b.install(10, "ten.", func() {}); answered || r.Error != nil {
					t.Fatalf("snapshot to 10: answered %v, %v", answered, r.Error)
				}
				b.commit = 13
				b.append(100, entries[0]-1, 100, entries...)
				if got, want := b.raft.AppliedIndex(), max(entries[2], 10); got != want {
					t.Errorf("applied up to %d, want %d", got, want)
				}
			})
		})
	}
}

// A leader's call commits no more than it ends with. The first one of a leader has its log as it was before its own first entry; when it fails, and is tried
// again, that entry may be committed. What a former leader wrote there, and nobody agreed to, is not applied in its place.
func TestNewLeadersFirstCallTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBare(t)
		defer b.close()
		if !b.append(99, 1, 1, 2, 3) {
			t.Fatal("the former leader's entries are refused")
		}
		b.commit = 2
		if !b.append(100, 1, 1) {
			t.Error("the next leader's first call is refused")
		}
		if got, want := b.raft.AppliedIndex(), uint64(1); got > want {
			t.Errorf("applied up to %d, of which %d is the former leader's", got, 2)
		}
		if !b.append(100, 1, 1, 2) || b.raft.AppliedIndex() != 2 {
			t.Errorf("the next leader's entry: applied up to %d, want 2", b.raft.AppliedIndex())
		}
	})
}

// bare is raft by itself, as a follower in a group whose others are the test.
type bare struct {
	t       *testing.T
	raft    *raft.Raft
	store   *storage.Store
	calls   chan raft.RPC
	servers raft.Configuration
	machine bytes.Buffer // what was restored, in order
	commit  uint64       // what the leader says is committed
	entries raft.LogType // what the leader's entries are
}

func newBare(t *testing.T) *bare {
	t.Helper()
	return newBareOn(t, storage.NewMemory())
}

func newBareOn(t *testing.T, medium *storage.Medium) *bare {
	t.Helper()
	c := raft.DefaultConfig()
	c.LocalID, c.Logger = "b", hclog.NewNullLogger()
	store, err := storage.New(medium, "b", storage.Config{})
	if err != nil {
		t.Fatal(err)
	}
	b := &bare{
		t: t, store: store, calls: make(chan raft.RPC), entries: raft.LogNoop,
		servers: raft.Configuration{Servers: []raft.Server{{ID: "a", Address: "a"}, {ID: "b", Address: "b"}, {ID: "c", Address: "c"}}},
	}
	_, inner := raft.NewInmemTransport("b")
	trans := desk{inner, b.calls}
	if err := raft.BootstrapCluster(c, store.Logs(), store.Stable(), store.Snapshots(), trans, b.servers); err != nil {
		t.Fatal(err)
	}
	if b.raft, err = raft.NewRaft(c, &tape{FSM: fsm.New(nil), to: &b.machine}, store.Logs(), store.Stable(), store.Snapshots(), trans); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bare) close() {
	_ = b.raft.Shutdown().Error()
	_ = b.store.Close()
}

// install sends a snapshot up to an index; meanwhile is what happens before raft turns to it, if it is not answered before.
func (b *bare) install(index uint64, content string, meanwhile func()) (answered bool, response raft.RPCResponse) {
	answer := make(chan raft.RPCResponse, 1)
	rpc := raft.RPC{
		RespChan: answer, Reader: bytes.NewBufferString(content),
		Command: &raft.InstallSnapshotRequest{
			RPCHeader: header, SnapshotVersion: raft.SnapshotVersionMax, Term: 100, LastLogIndex: index, LastLogTerm: 100,
			Configuration: raft.EncodeConfiguration(b.servers), ConfigurationIndex: 1, Size: int64(len(content)),
		},
	}
	answered = cluster.TakeSnapshot(b.raft, &rpc)
	meanwhile()
	if !answered {
		b.calls <- rpc
	}
	response = <-answer
	if left, _ := io.ReadAll(rpc.Reader); len(left) > 0 && response.Error == nil {
		b.t.Errorf("%d bytes of the snapshot are left before the next call", len(left))
	}
	return answered, response
}

// append sends entries of a leader's term, after one of a term, and reports whether they were taken.
func (b *bare) append(term, prev, prevTerm uint64, indices ...uint64) bool {
	req := &raft.AppendEntriesRequest{RPCHeader: header, Term: term, PrevLogEntry: prev, PrevLogTerm: prevTerm, LeaderCommitIndex: b.commit}
	for _, i := range indices {
		entryTerm := term
		if i <= 10 {
			entryTerm = min(term, 100)
		}
		req.Entries = append(req.Entries, &raft.Log{Index: i, Term: entryTerm, Type: b.entries})
	}
	answer := make(chan raft.RPCResponse, 1)
	rpc := raft.RPC{Command: req, RespChan: answer}
	cluster.Amend(b.raft, b.store.Logs(), &rpc)
	b.calls <- rpc
	resp, ok := (<-answer).Response.(*raft.AppendEntriesResponse)
	return ok && resp.Success
}

var header = raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte("a"), Addr: []byte("a")}

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
