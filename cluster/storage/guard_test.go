package storage_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/thinrelay/thinrelay/cluster/storage"
)

const deadline = time.Second

// open returns a store in memory, whose backend misbehaves as told.
func open(t *testing.T) (*storage.Store, *storage.Faults) {
	t.Helper()
	m := storage.NewMemory()
	faults := &storage.Faults{Backend: m.Backend}
	m.Backend = faults
	return openWith(t, m, nil), faults
}

func openWith(t *testing.T, m *storage.Medium, log hclog.Logger) *storage.Store {
	t.Helper()
	s, err := storage.New(m, "eu-1", storage.Config{WriteDeadline: deadline, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func entries(term uint64, indexes ...uint64) []*raft.Log {
	var logs []*raft.Log
	for _, i := range indexes {
		logs = append(logs, &raft.Log{Index: i, Term: term})
	}
	return logs
}

func lastIndex(t *testing.T, s *storage.Store) uint64 {
	t.Helper()
	last, err := s.Logs().LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	return last
}

func isFailed(s *storage.Store) bool {
	select {
	case <-s.Failed():
		return true
	default:
		return false
	}
}

func TestWriteWithinDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, faults := open(t)
		faults.Slow(deadline - time.Millisecond)
		if err := s.Logs().StoreLogs(entries(1, 1, 2)); err != nil {
			t.Fatal(err)
		}
		if got, want := lastIndex(t, s), uint64(2); got != want {
			t.Errorf("last index: got %d, want %d", got, want)
		}
		if got, want := s.WriteTimes().Max, deadline-time.Millisecond; got != want {
			t.Errorf("write time: got %s, want %s", got, want)
		}
	})
}

func TestLateWriteIsUndone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, faults := open(t)
		if err := s.Logs().StoreLogs(entries(1, 1)); err != nil {
			t.Fatal(err)
		}
		faults.Slow(5 * deadline)
		start := time.Now()
		if err := s.Logs().StoreLogs(entries(1, 2, 3, 4)); !errors.Is(err, storage.ErrSlow) {
			t.Fatalf("got %v, want %v", err, storage.ErrSlow)
		}
		if got := time.Since(start); got != deadline {
			t.Errorf("given up after %s, want %s", got, deadline)
		}
		faults.Slow(0)
		if err := s.Logs().StoreLogs(entries(2, 2)); !errors.Is(err, storage.ErrSlow) || time.Since(start) != deadline {
			t.Errorf("write while one is stuck: got %v after %s, want %v at once", err, time.Since(start), storage.ErrSlow)
		}
		if got, want := s.WriteTimes().Pending, deadline; got != want {
			t.Errorf("pending: got %s, want %s", got, want)
		}
		// A vote waits until the disk is as raft believes it to be.
		if err := s.Stable().Set([]byte("LastVoteCand"), []byte("x")); err != nil {
			t.Fatal(err)
		}
		if got, want := time.Since(start), 5*deadline; got != want {
			t.Errorf("vote written after %s, want %s", got, want)
		}
		if got, want := lastIndex(t, s), uint64(1); got != want {
			t.Errorf("last index after the late write: got %d, want %d", got, want)
		}
		if err := s.Logs().StoreLogs(entries(2, 2)); err != nil {
			t.Fatal(err)
		}
		var log raft.Log
		if err := s.Logs().GetLog(2, &log); err != nil || log.Term != 2 {
			t.Errorf("entry 2: got term %d, %v, want 2", log.Term, err)
		}
		if got, want := lastIndex(t, s), uint64(2); got != want {
			t.Errorf("last index: got %d, want %d", got, want)
		}
		if isFailed(s) {
			t.Errorf("failed: %v", s.Err())
		}
	})
}

func TestDeadlineCountsTheWaitForTheSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, faults := open(t)
		if err := s.Logs().StoreLogs(entries(1, 1, 2, 3)); err != nil {
			t.Fatal(err)
		}
		faults.Slow(3 * deadline)
		deleted := make(chan error, 1)
		go func() { deleted <- s.Logs().DeleteRange(1, 1) }()
		synctest.Wait()
		start := time.Now()
		if err := s.Logs().StoreLogs(entries(1, 4)); !errors.Is(err, storage.ErrSlow) || time.Since(start) != deadline {
			t.Errorf("got %v after %s, want %v after %s", err, time.Since(start), storage.ErrSlow, deadline)
		}
		if err := <-deleted; err != nil {
			t.Error(err)
		}
		faults.Slow(0)
		if err := s.Logs().StoreLogs(entries(1, 4)); err != nil {
			t.Error(err)
		}
	})
}

func TestErrors(t *testing.T) {
	configuration := []*raft.Log{{Index: 3, Term: 1, Type: raft.LogConfiguration}}
	opened := map[*storage.Store]*storage.Faults{}
	faultsOf := func(s *storage.Store) *storage.Faults { return opened[s] }
	truncate := func(s *storage.Store) error { return s.Logs().DeleteRange(2, 2) }
	tests := []struct {
		name   string
		before func(*storage.Store) error
		fault  error
		slow   time.Duration
		write  func(*storage.Store) error
		failed bool
	}{
		{name: "no space", fault: syscall.ENOSPC, write: func(s *storage.Store) error { return s.Logs().StoreLogs(entries(1, 3)) }},
		{name: "i/o error", fault: syscall.EIO, write: func(s *storage.Store) error { return s.Logs().StoreLogs(entries(1, 3)) }, failed: true},
		{name: "configuration without space", fault: syscall.ENOSPC, write: func(s *storage.Store) error { return s.Logs().StoreLogs(configuration) }, failed: true},
		{name: "slow configuration", slow: 2 * deadline, write: func(s *storage.Store) error { return s.Logs().StoreLogs(configuration) }, failed: true},
		{name: "no space after a truncation", before: truncate, fault: syscall.ENOSPC, write: func(s *storage.Store) error { return s.Logs().StoreLogs(entries(1, 2)) }, failed: true},
		{name: "slow after a truncation", before: truncate, slow: 2 * deadline, write: func(s *storage.Store) error { return s.Logs().StoreLogs(entries(1, 2)) }, failed: true},
		{
			name:   "no space after compaction",
			before: func(s *storage.Store) error { return s.Logs().DeleteRange(1, 1) }, fault: syscall.ENOSPC,
			write: func(s *storage.Store) error { return s.Logs().StoreLogs(entries(1, 3)) },
		},
		{
			name: "busy after a truncation", before: func(s *storage.Store) error {
				err := truncate(s)
				faultsOf(s).Slow(2 * deadline)
				go s.Stable().Set([]byte("k"), nil)
				synctest.Wait()
				return err
			},
			write: func(s *storage.Store) error { return s.Logs().StoreLogs(entries(1, 2)) }, failed: true,
		},
		{
			name: "configuration while a write is stuck", before: func(s *storage.Store) error {
				faultsOf(s).Slow(3 * deadline)
				_ = s.Logs().StoreLogs(entries(1, 3))
				return nil
			},
			write: func(s *storage.Store) error { return s.Logs().StoreLogs(configuration) }, failed: true,
		},
		{name: "vote, no space", fault: syscall.ENOSPC, write: func(s *storage.Store) error { return s.Stable().Set([]byte("v"), nil) }},
		{name: "vote, i/o error", fault: syscall.EIO, write: func(s *storage.Store) error { return s.Stable().Set([]byte("v"), nil) }, failed: true},
		{name: "deletion", fault: syscall.ENOSPC, write: func(s *storage.Store) error { return s.Logs().DeleteRange(2, 2) }, failed: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, faults := open(t)
				opened[s] = faults
				if err := s.Logs().StoreLogs(entries(1, 1, 2)); err != nil {
					t.Fatal(err)
				}
				if tt.before != nil {
					if err := tt.before(s); err != nil {
						t.Fatal(err)
					}
				}
				faults.Fail(tt.fault)
				faults.Slow(tt.slow)
				err := tt.write(s)
				if err == nil {
					t.Fatal("no error")
				}
				if got := isFailed(s); got != tt.failed || errors.Is(err, storage.ErrFailed) != tt.failed {
					t.Fatalf("failed %v with %v, want %v", got, err, tt.failed)
				}
				faults.Fail(nil)
				faults.Slow(0)
				time.Sleep(3 * deadline) // fake time: the slow write ends
				last := lastIndex(t, s)
				err = s.Logs().StoreLogs(entries(1, last+1))
				if tt.failed && (!errors.Is(err, storage.ErrFailed) || lastIndex(t, s) != last) {
					t.Errorf("write after failure: got %v, want %v", err, storage.ErrFailed)
				}
				if !tt.failed && err != nil {
					t.Errorf("write when there is space again: %v", err)
				}
			})
		})
	}
}

// Raft compacts the log that a snapshot has cleared already: nothing is cut off there that raft still takes for its last entry. A write without space
// is refused as ever, and the store goes on.
func TestCompactionOfAClearedLog(t *testing.T) {
	s, faults := open(t)
	if err := s.Logs().StoreLogs(entries(1, 1, 2, 3)); err != nil {
		t.Fatal(err)
	}
	takeSnapshot(t, s, 5, 2)
	if err := s.Logs().DeleteRange(0, 2); err != nil { // compactLogs: from FirstIndex up to what is kept of the log before
		t.Fatal(err)
	}
	faults.Fail(syscall.ENOSPC)
	if err := s.Logs().StoreLogs(entries(2, 6)); !errors.Is(err, syscall.ENOSPC) || isFailed(s) {
		t.Errorf("got %v, failed: %v, want %v and a store that goes on", err, isFailed(s), syscall.ENOSPC)
	}
	faults.Fail(nil)
	if err := s.Logs().StoreLogs(entries(2, 6)); err != nil {
		t.Error(err)
	}
}

func TestTermWaitsForSpace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, log := storage.NewMemory(), new(strings.Builder)
		faults := &storage.Faults{Backend: m.Backend}
		m.Backend = faults
		s := openWith(t, m, hclog.New(&hclog.LoggerOptions{Output: log}))
		faults.Fail(syscall.ENOSPC)
		go func() {
			time.Sleep(time.Minute)
			faults.Fail(nil)
		}()
		if err := s.Stable().SetUint64([]byte("CurrentTerm"), 7); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Stable().GetUint64([]byte("CurrentTerm")); got != 7 || err != nil {
			t.Errorf("term: got %d, %v, want 7", got, err)
		}
		if n := strings.Count(log.String(), "\n"); n < 1 || n > 7 {
			t.Errorf("%d lines in a minute, want one each ten seconds:\n%s", n, log)
		}
	})
}

// raft panics when a term cannot be written, so the write holds until the store is stopped; and stopping works although the disk hangs.
func TestAbort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, faults := open(t)
		faults.Fail(syscall.EIO)
		term := make(chan error, 1)
		go func() { term <- s.Stable().SetUint64([]byte("CurrentTerm"), 7) }()
		time.Sleep(time.Hour)
		select {
		case err := <-term:
			t.Fatalf("returned %v before it was stopped", err)
		default:
		}
		s.Abort()
		if err := <-term; err != nil {
			t.Errorf("term: %v", err)
		}
		if err := s.Logs().StoreLogs(entries(7, 1)); !errors.Is(err, storage.ErrClosed) {
			t.Errorf("store: got %v, want %v", err, storage.ErrClosed)
		}
		if err := s.Stable().Set([]byte("v"), nil); !errors.Is(err, storage.ErrClosed) {
			t.Errorf("vote: got %v, want %v", err, storage.ErrClosed)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s, faults := open(t)
		faults.Slow(time.Hour)
		results := make(chan error, 2)
		go func() { results <- s.Logs().StoreLogs(entries(1, 1)) }()
		go func() { results <- s.Stable().Set([]byte("v"), nil) }()
		synctest.Wait()
		start := time.Now()
		s.Abort()
		for range 2 {
			if err := <-results; !errors.Is(err, storage.ErrClosed) {
				t.Errorf("got %v, want %v", err, storage.ErrClosed)
			}
		}
		if got := time.Since(start); got != 0 {
			t.Errorf("held for %s", got)
		}
	})
}

func TestWriteTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, faults := open(t)
		for i := range uint64(100) {
			faults.Slow(time.Duration(i+1) * time.Millisecond)
			if err := s.Logs().StoreLogs(entries(1, i+1)); err != nil {
				t.Fatal(err)
			}
		}
		want := storage.WriteTimes{P50: 50 * time.Millisecond, P99: 99 * time.Millisecond, Max: 100 * time.Millisecond, Count: 100}
		if got := s.WriteTimes(); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}

// TestWriteTimesOfFew takes one slow write of a few for an accident, and two for the disk.
func TestWriteTimesOfFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, faults := open(t)
		for i, test := range []struct{ takes, p99 time.Duration }{{3, 3}, {97, 3}, {2, 3}, {90, 90}} {
			faults.Slow(test.takes * time.Millisecond)
			if err := s.Logs().StoreLogs(entries(1, uint64(i+1))); err != nil {
				t.Fatal(err)
			}
			if got := s.WriteTimes().P99; got != test.p99*time.Millisecond {
				t.Errorf("p99 of %d writes is %s, want %dms", i+1, got, test.p99)
			}
		}
	})
}

// late is a disk that finds out that it has no space when it is to sync.
type late struct {
	storage.Backend
	full bool
}

func (l *late) StoreLogs(logs []*raft.Log) error {
	if err := l.Backend.StoreLogs(logs); err != nil || !l.full {
		return err
	}
	return syscall.ENOSPC
}

// Entries that are said not to be written, and are there, end the store: raft would write others in their place, maybe fewer.
func TestNoSpaceAndWritten(t *testing.T) {
	m := storage.NewMemory()
	disk := &late{Backend: m.Backend}
	m.Backend = disk
	s, err := storage.New(m, "eu-1", storage.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Logs().StoreLogs(entries(1, 1)); err != nil {
		t.Fatal(err)
	}
	disk.full = true
	if err := s.Logs().StoreLogs(entries(1, 2, 3)); !errors.Is(err, syscall.ENOSPC) || !isFailed(s) {
		t.Errorf("got %v, failed %v, want a store that has failed", err, isFailed(s))
	}
}
