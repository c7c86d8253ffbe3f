package cluster

import (
	"context"
	"sync"

	"github.com/hashicorp/raft"
)

// inbox is raft's transport with one more sender of calls: this member itself. Raft has no call that makes a follower stand for election;
// what a leader sends at a hand-over does just that.
type inbox struct {
	*raft.NetworkTransport

	calls  chan raft.RPC
	closed chan struct{}
	close  sync.Once
	over   sync.WaitGroup
	err    error
}

func newInbox(t *raft.NetworkTransport) *inbox {
	i := &inbox{NetworkTransport: t, calls: make(chan raft.RPC), closed: make(chan struct{})}
	i.over.Go(i.pass)
	return i
}

// pass passes on what the others call.
func (i *inbox) pass() {
	for {
		select {
		case c := <-i.NetworkTransport.Consumer():
			select {
			case i.calls <- c:
			case <-i.closed:
				return
			}
		case <-i.closed:
			return
		}
	}
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
