package storage

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/hashicorp/raft"
)

// memoryLog keeps a log in memory as bolt keeps one in a file. There may be a gap behind a snapshot that another member sent,
// and what was cut off at the end leaves the last entry before the gap as the last one; raft.InmemStore names one then that it
// does not have.
type memoryLog struct {
	mu      sync.Mutex
	entries map[uint64]raft.Log
	indexes []uint64 // of entries, ascending
}

var _ raft.LogStore = (*memoryLog)(nil)

func newMemoryLog() *memoryLog { return &memoryLog{entries: make(map[uint64]raft.Log)} }

// FirstIndex implements raft.LogStore.
func (m *memoryLog) FirstIndex() (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.indexes) == 0 {
		return 0, nil
	}
	return m.indexes[0], nil
}

// LastIndex implements raft.LogStore.
func (m *memoryLog) LastIndex() (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.indexes) == 0 {
		return 0, nil
	}
	return m.indexes[len(m.indexes)-1], nil
}

// GetLog implements raft.LogStore.
func (m *memoryLog) GetLog(index uint64, out *raft.Log) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	entry, ok := m.entries[index]
	if !ok {
		return raft.ErrLogNotFound
	}
	*out = entry
	return nil
}

// StoreLog implements raft.LogStore.
func (m *memoryLog) StoreLog(entry *raft.Log) error { return m.StoreLogs([]*raft.Log{entry}) }

// StoreLogs implements raft.LogStore.
func (m *memoryLog) StoreLogs(entries []*raft.Log) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range entries {
		m.entries[e.Index] = *e
		if n := len(m.indexes); n == 0 || m.indexes[n-1] < e.Index {
			m.indexes = append(m.indexes, e.Index)
		} else if i, found := slices.BinarySearch(m.indexes, e.Index); !found {
			m.indexes = slices.Insert(m.indexes, i, e.Index)
		}
	}
	return nil
}

// DeleteRange implements raft.LogStore.
func (m *memoryLog) DeleteRange(first, last uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.entries, func(i uint64, _ raft.Log) bool { return i >= first && i <= last })
	m.indexes = slices.DeleteFunc(m.indexes, func(i uint64) bool { return i >= first && i <= last })
	return nil
}

// memorySnapshots keeps the newest snapshot in memory. As in a directory, one counts when it is whole and closed;
// raft.InmemSnapshotStore forgets the last one as soon as another is begun.
type memorySnapshots struct {
	mu   sync.Mutex
	last *memorySnapshot // nil: none
}

var _ raft.SnapshotStore = (*memorySnapshots)(nil)

// Create implements raft.SnapshotStore.
func (m *memorySnapshots) Create(version raft.SnapshotVersion, index, term uint64, c raft.Configuration, at uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	return &memorySnapshot{in: m, meta: raft.SnapshotMeta{
		Version: version, ID: fmt.Sprintf("%d-%d", term, index), Index: index, Term: term, Configuration: c, ConfigurationIndex: at,
	}}, nil
}

// List implements raft.SnapshotStore.
func (m *memorySnapshots) List() ([]*raft.SnapshotMeta, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.last == nil {
		return nil, nil
	}
	meta := m.last.meta
	return []*raft.SnapshotMeta{&meta}, nil
}

// Open implements raft.SnapshotStore.
func (m *memorySnapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.last == nil || m.last.meta.ID != id {
		return nil, nil, fmt.Errorf("no snapshot %s", id)
	}
	meta := m.last.meta
	return &meta, io.NopCloser(bytes.NewReader(m.last.body)), nil
}

// memorySnapshot is one that is being written, and does not change any more once it is closed.
type memorySnapshot struct {
	in   *memorySnapshots
	meta raft.SnapshotMeta
	body []byte
	over bool
}

// Write implements raft.SnapshotSink.
func (s *memorySnapshot) Write(b []byte) (int, error) {
	s.body = append(s.body, b...)
	s.meta.Size += int64(len(b))
	return len(b), nil
}

// ID implements raft.SnapshotSink.
func (s *memorySnapshot) ID() string { return s.meta.ID }

// Cancel implements raft.SnapshotSink.
func (s *memorySnapshot) Cancel() error {
	s.over = true
	return nil
}

// Close implements raft.SnapshotSink.
func (s *memorySnapshot) Close() error {
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	if !s.over && (s.in.last == nil || s.in.last.meta.Index <= s.meta.Index) {
		s.in.last = s
	}
	s.over = true
	return nil
}
