package cluster_test

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/thinrelay/thinrelay/cluster/storage"
)

// snapshotFaults is a member's snapshots on a disk that is slow or fails, as storage.Faults is its log. It outlives the processes that write them.
type snapshotFaults struct {
	raft.SnapshotStore

	mu    sync.Mutex
	delay time.Duration
	err   error
	life  int // of the process that may write
}

func (s *snapshotFaults) slow(delay time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delay = delay
}

func (s *snapshotFaults) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// end lets the present process write nothing more.
func (s *snapshotFaults) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.life++
}

// write waits for the disk, and says what it answers to a process.
func (s *snapshotFaults) write(life int) error {
	s.mu.Lock()
	delay := s.delay
	s.mu.Unlock()
	time.Sleep(delay) // fake time
	s.mu.Lock()
	defer s.mu.Unlock()
	if life != s.life {
		return storage.ErrKilled
	}
	return s.err
}

// of returns the snapshots as the present process has them.
func (s *snapshotFaults) of() raft.SnapshotStore {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &snapshotsOf{s, s.life}
}

// snapshotsOf is what one process has of them.
type snapshotsOf struct {
	*snapshotFaults
	life int
}

// Create implements raft.SnapshotStore.
func (s *snapshotsOf) Create(version raft.SnapshotVersion, index, term uint64, c raft.Configuration, at uint64, t raft.Transport) (raft.SnapshotSink, error) {
	if err := s.write(s.life); err != nil {
		return nil, err
	}
	sink, err := s.SnapshotStore.Create(version, index, term, c, at, t)
	if err != nil {
		return nil, err
	}
	return &faultySink{sink, s}, nil
}

// faultySink is a snapshot that is being written.
type faultySink struct {
	raft.SnapshotSink
	on *snapshotsOf
}

// Close implements raft.SnapshotSink. The disk is as slow, and may fail, once more.
func (s *faultySink) Close() error {
	if err := s.on.write(s.on.life); err != nil {
		_ = s.Cancel()
		return err
	}
	return s.SnapshotSink.Close()
}

// well ends the faults of a member's disk.
func (m *member) well() {
	m.faults.Slow(0)
	m.faults.Fail(nil)
	m.shots.slow(0)
	m.shots.fail(nil)
}
