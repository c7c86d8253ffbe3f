//go:build chaos

package main

import (
	"fmt"
	"os"
	"time"

	"github.com/hashicorp/raft"

	"github.com/thinrelay/thinrelay/cluster/storage"
)

// slowWrite is how long a write may take before it is written down, and again after twice
// that, and so on: the process may end before the write does.
const slowWrite = 50 * time.Millisecond

// sufferer stands between a disk that can fail and the store, and writes down what the store
// gets to feel, a line each: "failed ERROR" or "slow 200ms". Who breaks the disk reads there
// whether anything came of it.
type sufferer struct {
	storage.Backend
	felt *os.File
}

func newSufferer(disk storage.Backend, path string) (*sufferer, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open what was felt: %w", err)
	}
	return &sufferer{disk, f}, nil
}

// feel does a write and writes down how that went.
func (s *sufferer) feel(write func() error) error {
	done := make(chan struct{})
	defer close(done)
	go s.wait(done)
	err := write()
	if err != nil {
		_, _ = fmt.Fprintf(s.felt, "failed %v\n", err) // a line that is missing is noticed
	}
	return err
}

// wait writes down how long a write takes, until it is done.
func (s *sufferer) wait(done <-chan struct{}) {
	for next, took := slowWrite, slowWrite; ; next, took = took, 2*took {
		select {
		case <-time.After(next):
			_, _ = fmt.Fprintf(s.felt, "slow %s\n", took)
		case <-done:
			return
		}
	}
}

// StoreLog writes one entry.
func (s *sufferer) StoreLog(log *raft.Log) error {
	return s.feel(func() error { return s.Backend.StoreLog(log) })
}

// StoreLogs writes entries.
func (s *sufferer) StoreLogs(logs []*raft.Log) error {
	return s.feel(func() error { return s.Backend.StoreLogs(logs) })
}

// DeleteRange deletes entries.
func (s *sufferer) DeleteRange(first, last uint64) error {
	return s.feel(func() error { return s.Backend.DeleteRange(first, last) })
}

// Set writes a key.
func (s *sufferer) Set(key, value []byte) error {
	return s.feel(func() error { return s.Backend.Set(key, value) })
}

// SetUint64 writes a key.
func (s *sufferer) SetUint64(key []byte, value uint64) error {
	return s.feel(func() error { return s.Backend.SetUint64(key, value) })
}
