package storage

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

var _ Backend = (*Faults)(nil)

// Faults is a [Backend] that makes the writes of another one slow or fail, for tests and chaos runs.
type Faults struct {
	// Backend is the one that is written to.
	Backend

	mu    sync.Mutex
	delay time.Duration
	err   error
}

// Slow makes every write that starts from now on take this much longer.
func (f *Faults) Slow(delay time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.delay = delay
}

// Fail makes every write that starts from now on fail, until err is nil.
func (f *Faults) Fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *Faults) meet() error {
	f.mu.Lock()
	delay, err := f.delay, f.err
	f.mu.Unlock()
	time.Sleep(delay)
	return err
}

// StoreLog writes one entry.
func (f *Faults) StoreLog(log *raft.Log) error { return f.StoreLogs([]*raft.Log{log}) }

// StoreLogs writes entries.
func (f *Faults) StoreLogs(logs []*raft.Log) error {
	if err := f.meet(); err != nil {
		return err
	}
	return f.Backend.StoreLogs(logs)
}

// DeleteRange deletes entries.
func (f *Faults) DeleteRange(first, last uint64) error {
	if err := f.meet(); err != nil {
		return err
	}
	return f.Backend.DeleteRange(first, last)
}

// Set writes a key.
func (f *Faults) Set(key, value []byte) error {
	if err := f.meet(); err != nil {
		return err
	}
	return f.Backend.Set(key, value)
}

// SetUint64 writes a key.
func (f *Faults) SetUint64(key []byte, value uint64) error {
	if err := f.meet(); err != nil {
		return err
	}
	return f.Backend.SetUint64(key, value)
}
