package storage

import (
	"sync/atomic"

	"github.com/hashicorp/raft"
)

var _ raft.LogStore = (*cachedLogs)(nil)

// logCacheSize is the number of recent entries kept in memory for replication.
const logCacheSize = 512

// cachedLogs is the guard behind raft's cache, which reports errors as text: StoreLogs puts the error itself back. Raft
// writes entries from one goroutine only.
type cachedLogs struct {
	*raft.LogCache
	last   *lastError
	below  atomic.Uint64          // entries up to this one are hidden, see replaced
	newest atomic.Uint64          // the last entry of the newest snapshot
	due    atomic.Pointer[string] // the snapshot that entries are hidden for, until it is restored; nil: none
}

// lastError remembers why the guard refused entries.
type lastError struct {
	*guard
	err error
}

func newCachedLogs(g *guard) (*cachedLogs, error) {
	last := &lastError{guard: g}
	cache, err := raft.NewLogCache(logCacheSize, last)
	if err != nil {
		return nil, err
	}
	return &cachedLogs{LogCache: cache, last: last}, nil
}

// StoreLog writes one entry.
func (c *cachedLogs) StoreLog(log *raft.Log) error { return c.StoreLogs([]*raft.Log{log}) }

// StoreLogs writes entries.
func (c *cachedLogs) StoreLogs(logs []*raft.Log) error {
	c.last.err = nil
	if err := c.LogCache.StoreLogs(logs); err != nil {
		if c.last.err != nil {
			return c.last.err
		}
		return err
	}
	return nil
}

// StoreLogs writes entries.
func (l *lastError) StoreLogs(logs []*raft.Log) error {
	l.err = l.guard.StoreLogs(logs)
	return l.err
}
