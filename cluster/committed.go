package cluster

import (
	"io"
	"slices"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/thinrelay/thinrelay/fsm"
)

var _ raft.ConfigurationStore = (*committed)(nil)

// committed is the FSM with an eye on the configurations that are committed: raft itself tells only the latest of the log, which may yet be
// undone, together with the leader that wrote it.
type committed struct {
	*fsm.FSM

	mu      sync.Mutex
	servers []raft.Server // nil: none in this process
}

// StoreConfiguration is called by raft with each committed configuration, in order.
func (c *committed) StoreConfiguration(_ uint64, configuration raft.Configuration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.servers = configuration.Servers
}

// Restore is called by raft with a snapshot. Its configuration is the last committed one from then on: raft passes on no entry that it is in.
func (c *committed) Restore(r io.ReadCloser) error {
	if err := c.FSM.Restore(r); err != nil {
		return err
	}
	for {
		switch from := r.(type) {
		case *opened:
			c.StoreConfiguration(from.meta.ConfigurationIndex, from.meta.Configuration)
			return nil
		case raft.ReadCloserWrapper: // raft counts what is read
			r = from.WrappedReadCloser()
		default:
			return nil
		}
	}
}

// with says whether the last committed configuration is known, and has the server.
func (c *committed) with(id raft.ServerID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.servers, func(s raft.Server) bool { return s.ID == id })
}

// without says whether the last committed configuration is known, and does not have the server.
func (c *committed) without(id raft.ServerID) bool {
	c.mu.Lock()
	known := c.servers != nil
	c.mu.Unlock()
	return known && !c.with(id)
}
