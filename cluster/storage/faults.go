package storage

import (
	"errors"
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
	// writing is held by a write, but not while it is slow, and by Kill.
	writing sync.RWMutex
	dead    bool // guarded by writing
}

// ErrKilled is what writes of a process return that was killed.
var ErrKilled = errors.New("the process was killed")

// Kill ends the process that writes, as kill -9 does: what it has not written yet it never will, however late a slow disk is.
// It returns what the next process writes to, with the same faults.
func (f *Faults) Kill() *Faults {
	f.writing.Lock()
	f.dead = true
	f.writing.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	return &Faults{Backend: f.Backend, delay: f.delay, err: f.err}
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

// write waits for the disk, and writes unless it fails or the process is dead.
func (f *Faults) write(to func() error) error {
	f.mu.Lock()
	delay, err := f.delay, f.err
	f.mu.Unlock()
	time.Sleep(delay)
	f.writing.RLock()
	defer f.writing.RUnlock()
	switch {
	case f.dead:
		return ErrKilled
	case err != nil:
		return err
	}
	return to()
}

// StoreLog writes one entry.
func (f *Faults) StoreLog(log *raft.Log) error { return f.StoreLogs([]*raft.Log{log}) }

// StoreLogs writes entries.
func (f *Faults) StoreLogs(logs []*raft.Log) error {
	return f.write(func() error { return f.Backend.StoreLogs(logs) })
}

// DeleteRange deletes entries.
func (f *Faults) DeleteRange(first, last uint64) error {
	return f.write(func() error { return f.Backend.DeleteRange(first, last) })
}

// Set writes a key.
func (f *Faults) Set(key, value []byte) error {
	return f.write(func() error { return f.Backend.Set(key, value) })
}

// SetUint64 writes a key.
func (f *Faults) SetUint64(key []byte, value uint64) error {
	return f.write(func() error { return f.Backend.SetUint64(key, value) })
}
