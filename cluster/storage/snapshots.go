package storage

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/hashicorp/raft"
)

// snapshots is the medium's snapshots, each of which clears the log of what cannot be right beside it.
//
// A snapshot that a leader sent is restored over whatever the log holds, and raft leaves that there (hashicorp/raft v1.8.0, installSnapshot;
// Raft's paper discards the log, section 7). Where the log does not have the snapshot's last entry, what it has up to there may be what a former leader
// wrote and nobody agreed to. Its owner would look there for the entry before a new one, and refuse that for ever; and as a leader it would pass it on as
// agreed, to a member that is behind.
type snapshots struct {
	raft.SnapshotStore
	logs    *cachedLogs
	damaged []string // those that could not be read when the store was opened
}

// errNotListed is returned where the last snapshot is not among those there are.
var errNotListed = errors.New("the last snapshot cannot be found")

// List lists the snapshots. Where the last one is not among them, since its description cannot be read or it is gone, there is none: a leader would send the one
// before, after which its log has nothing to go on with, and again at once, for as long as there is no other.
//
// What could not be read at the start is not listed either: raft does not start where it can read none of those listed (restoreSnapshot), although the log may begin with the
// first entry, and a leader goes on from the one before.
func (s snapshots) List() ([]*raft.SnapshotMeta, error) {
	newest := s.logs.newest.Load() // before: there may be another one meanwhile
	list, err := s.SnapshotStore.List()
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(m *raft.SnapshotMeta) bool { return slices.Contains(s.damaged, m.ID) })
	if newest > 0 && (len(list) == 0 || list[0].Index < newest) {
		return nil, fmt.Errorf("list snapshots, the last one up to %d: %w", newest, errNotListed)
	}
	return list, nil
}

// Create begins a snapshot. There is no further one while the log could not be cleared beside the last: only that one tells what to hide after a restart.
func (s snapshots) Create(version raft.SnapshotVersion, index, term uint64, c raft.Configuration, at uint64, t raft.Transport) (raft.SnapshotSink, error) {
	if err := s.logs.clear(); err != nil {
		return nil, err
	}
	sink, err := s.SnapshotStore.Create(version, index, term, c, at, t)
	if err != nil {
		return nil, err
	}
	return clearing{SnapshotSink: sink, logs: s.logs, index: index, term: term}, nil
}

// clearing is a snapshot that is being written.
type clearing struct {
	raft.SnapshotSink
	logs        *cachedLogs
	index, term uint64
}

// Close ends the snapshot. What it replaces is cleared only now: it is whole and on the disk.
func (c clearing) Close() error {
	if err := c.SnapshotSink.Close(); err != nil {
		return err
	}
	return c.logs.replaced(c.ID(), c.index, c.term)
}

// Open opens a snapshot. When one that log entries were hidden for cannot be read, and so cannot be restored, the store fails: raft would go on with the log as it
// was, to which a leader may append below the snapshot, and apply what is not found there; or, at its start, from the snapshot before. A process that is started
// again begins with the snapshot, or not at all ([ErrGap]).
func (s snapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	meta, r, err := s.SnapshotStore.Open(id)
	due := s.logs.due.Load()
	if due == nil || *due != id {
		return meta, r, err
	}
	if err != nil {
		return nil, nil, s.logs.last.fail(fmt.Errorf("open the snapshot that replaced the log: %w", err))
	}
	return meta, &dueSnapshot{ReadCloser: r, logs: s.logs, id: due}, nil
}

// dueSnapshot is one that log entries were hidden for, while it is restored.
type dueSnapshot struct {
	io.ReadCloser
	logs *cachedLogs
	id   *string
	err  error
}

// Read implements io.Reader.
func (d *dueSnapshot) Read(b []byte) (int, error) {
	n, err := d.ReadCloser.Read(b)
	if d.err = err; err != nil && !errors.Is(err, io.EOF) {
		d.err = d.logs.last.fail(fmt.Errorf("read the snapshot that replaced the log: %w", err))
	}
	return n, d.err
}

// Close implements io.Closer. Once it was read to its end the snapshot is one like any other. Raft closes it after its main loop has gone on (hashicorp/raft
// v1.8.0, runFSM), maybe to the next one, which is due then.
func (d *dueSnapshot) Close() error {
	if errors.Is(d.err, io.EOF) {
		d.logs.due.CompareAndSwap(d.id, nil)
	}
	return d.ReadCloser.Close()
}

// errOlder is why a snapshot is not taken.
var errOlder = errors.New("there is a later snapshot")

// latest notes that there is a snapshot up to an index. It returns an error where there is a later one: a leader's, which has come while the member
// took its own. Raft takes the one that ends last for the last (hashicorp/raft v1.8.0, takeSnapshot), and when its log ends before the leader's snapshot it would
// vote as if it had not got that; and as a leader it would send the leader's for the entries after its own, again and again.
func (c *cachedLogs) latest(index uint64) error {
	for {
		last := c.newest.Load()
		if index < last {
			return fmt.Errorf("snapshot up to %d, after one up to %d: %w", index, last, errOlder)
		}
		if c.newest.CompareAndSwap(last, index) {
			return nil
		}
	}
}

// replaced is told of a snapshot that there is. It clears the log up to the snapshot's last entry, unless it has that entry; for then all before it
// are right as well. They are hidden at once, and deleted now or, if the disk is full, before the next snapshot or after the next start.
func (c *cachedLogs) replaced(id string, index, term uint64) error {
	if err := c.latest(index); err != nil {
		return err
	}
	var last raft.Log
	switch err := c.GetLog(index, &last); {
	case err == nil && last.Term == term:
		return nil
	case err != nil && !errors.Is(err, raft.ErrLogNotFound):
		return fmt.Errorf("read entry %d: %w", index, err)
	}
	if index > c.below.Load() {
		c.due.Store(&id)
		c.below.Store(index)
	}
	_ = c.clear() // without space it is tried again; by any other error the store has failed
	return nil
}

// follow deletes what is beyond a snapshot and of an earlier term than its last entry: a former leader wrote it, and nobody will agree to it. It is for the start, before raft remembers
// its log. Raft itself cuts it when the next entry comes; but where none does a recovery would take it for agreed, with a snapshot that is listed behind the present one.
func (c *cachedLogs) follow(snapshot raft.SnapshotMeta) error {
	end, err := c.LastIndex()
	if err != nil {
		return fmt.Errorf("read last index: %w", err)
	}
	if end <= snapshot.Index {
		return nil
	}
	var last raft.Log
	if err := c.GetLog(end, &last); err != nil {
		return fmt.Errorf("read entry %d: %w", end, err)
	}
	if last.Term < snapshot.Term {
		_ = c.last.discard(snapshot.Index+1, end) // without space raft sees to it; by any other error the store has failed
	}
	return nil
}

// clear deletes what is hidden.
func (c *cachedLogs) clear() error {
	below := c.below.Load()
	first, err := c.LogCache.FirstIndex()
	if err != nil {
		return fmt.Errorf("read first index: %w", err)
	}
	if first == 0 || first > below {
		return nil
	}
	if err := c.last.discard(first, below); err != nil {
		return fmt.Errorf("clear the log below a snapshot: %w", err)
	}
	return nil
}

// GetLog reads one entry that is not hidden.
func (c *cachedLogs) GetLog(index uint64, log *raft.Log) error {
	if index <= c.below.Load() {
		return raft.ErrLogNotFound
	}
	return c.LogCache.GetLog(index, log)
}

// FirstIndex returns the first index of the log that is not hidden, 0 when there is none.
func (c *cachedLogs) FirstIndex() (uint64, error) {
	first, err := c.LogCache.FirstIndex()
	if below := c.below.Load(); err == nil && first <= below {
		if last, err := c.LastIndex(); last == 0 || err != nil {
			return 0, err
		}
		return below + 1, nil
	}
	return first, err
}

// LastIndex returns the last index of the log that is not hidden, 0 when there is none.
func (c *cachedLogs) LastIndex() (uint64, error) {
	last, err := c.LogCache.LastIndex()
	if last <= c.below.Load() {
		return 0, err
	}
	return last, err
}
