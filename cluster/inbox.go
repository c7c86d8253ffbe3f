package cluster

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// maxSnapshot is how much of a snapshot is read before raft turns to it.
const maxSnapshot = 64 << 10

// inbox is raft's transport with one more sender of calls: this member itself. Raft has no call that makes a follower stand for election;
// what a leader sends at a hand-over does just that. And it keeps raft from taking heartbeats beside its main loop where that is not
// safe, see SetHeartbeatHandler. Some calls it answers or changes first, see takeSnapshot and amend.
type inbox struct {
	*raft.NetworkTransport

	logs   raft.LogStore
	beside func(f func()) bool       // runs f while no later term is written; see storage.Store.Beside
	raft   atomic.Pointer[raft.Raft] // nil until it has started
	handed atomic.Uint64             // the term that a leader has last asked this member to win
	held   atomic.Bool               // a snapshot waits for raft to turn to it
	calls  chan raft.RPC
	closed chan struct{}
	close  sync.Once
	over   sync.WaitGroup
	err    error
}

func newInbox(t *raft.NetworkTransport, logs raft.LogStore, beside func(f func()) bool) *inbox {
	i := &inbox{NetworkTransport: t, logs: logs, beside: beside, calls: make(chan raft.RPC), closed: make(chan struct{})}
	i.over.Go(i.pass)
	return i
}

// pass passes on what the others call.
func (i *inbox) pass() {
	for {
		select {
		case c := <-i.NetworkTransport.Consumer():
			if _, ok := c.Command.(*raft.TimeoutNowRequest); ok {
				if r := i.raft.Load(); r != nil {
					i.handed.Store(r.CurrentTerm() + 1)
				}
			}
			if _, ok := c.Command.(*raft.InstallSnapshotRequest); ok {
				i.over.Go(func() { i.receive(c) })
				continue
			}
			amend(i.raft.Load(), i.logs, &c)
			i.hand(c)
		case <-i.closed:
			return
		}
	}
}

// hand gives raft a call, unless the inbox is closed first.
func (i *inbox) hand(c raft.RPC) {
	select {
	case i.calls <- c:
	case <-i.closed:
	}
}

// receive passes on a snapshot, once it is here. Raft reads it in its main loop, from the connection: a leader that stands still in the middle of sending
// one, or whose line is cut there, would keep this member from voting and from following for as long as the connection lasts. It has less than a hundred bytes; of
// one that is much longer the rest is read there.
//
// One waits at a time. A leader sends its snapshot again while raft waits for the disk, and heartbeats are answered; raft would begin each of them on the disk, one
// after the other, before it turned to anything else.
func (i *inbox) receive(c raft.RPC) {
	var begin bytes.Buffer
	if _, err := io.CopyN(&begin, c.Reader, maxSnapshot); err != nil && !errors.Is(err, io.EOF) {
		c.Respond(nil, err)
		return
	}
	c.Reader = io.MultiReader(&begin, c.Reader)
	if takeSnapshot(i.raft.Load(), &c) {
		return
	}
	if !i.held.CompareAndSwap(false, true) {
		_, err := io.Copy(io.Discard, c.Reader)
		c.Respond(nil, errors.Join(errHeldSnapshot, err))
		return
	}
	i.hand(c)
	i.held.Store(false)
}

// errHeldSnapshot is returned to a leader whose snapshot has come while another one waits.
var errHeldSnapshot = errors.New("a snapshot that came before waits for the disk")

// SetHeartbeatHandler has heartbeats answered by cb, beside raft's main loop, so that a follower answers while its disk is busy; but only
// where that changes neither term nor state. Elsewhere cb would write the heartbeat's term while the main loop, a candidate,
// goes on and writes its own, later one: when the first write ends last, the member has gone back to a term in which another one leads, while it
// leads itself (hashicorp/raft v1.8.0, appendEntries called by processHeartbeat). Such heartbeats go to the main loop. It may become a
// candidate between our look at its state and cb's; so it cannot write its next term before cb has returned.
func (i *inbox) SetHeartbeatHandler(cb func(raft.RPC)) {
	i.NetworkTransport.SetHeartbeatHandler(func(c raft.RPC) {
		answered := false
		i.beside(func() {
			if r := i.raft.Load(); r != nil && changesNothing(c.Command, r.CurrentTerm(), r.State()) {
				cb(c)
				answered = true
			}
		})
		if answered {
			return
		}
		i.hand(c)
	})
}

// changesNothing says whether a call is a heartbeat that leaves a member of the given term and state as it is.
func changesNothing(call any, term uint64, state raft.RaftState) bool {
	a, ok := call.(*raft.AppendEntriesRequest)
	return ok && (a.Term < term || a.Term == term && state == raft.Follower)
}

// Consumer returns the calls, the others' and our own.
func (i *inbox) Consumer() <-chan raft.RPC { return i.calls }

// Close closes the transport and waits until nothing is passed on any more.
func (i *inbox) Close() error {
	i.close.Do(func() {
		close(i.closed)
		i.err = i.NetworkTransport.Close()
	})
	i.over.Wait()
	return i.err
}

// stand makes raft stand for election now, without asking first whether it may: the others vote although they know a leader.
func (i *inbox) stand(ctx context.Context) {
	answer := make(chan raft.RPCResponse, 1)
	select {
	case i.calls <- raft.RPC{Command: &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax}}, RespChan: answer}:
	case <-i.closed:
	case <-ctx.Done():
	}
}
