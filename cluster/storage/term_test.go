package storage_test

import (
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/cluster/storage"
)

var termKey = []byte("CurrentTerm")

// writeTerm writes a term; the result says whether it has returned.
func writeTerm(s *storage.Store, term uint64) *atomic.Bool {
	var returned atomic.Bool
	go func() {
		_ = s.Stable().SetUint64(termKey, term)
		returned.Store(true)
	}()
	synctest.Wait()
	return &returned
}

// While a heartbeat is answered beside raft's main loop no later term is written, and while one is written none is answered there. The
// same term is: the heartbeat's own write must not wait for the heartbeat.
func TestBeside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, faults := open(t)
		if got := writeTerm(s, 6); !got.Load() {
			t.Fatal("term 6 is not written")
		}
		var later *atomic.Bool
		if !s.Beside(func() {
			later = writeTerm(s, 7)
			if later.Load() {
				t.Error("a later term was written beside")
			}
			if same := writeTerm(s, 6); !same.Load() {
				t.Error("the same term waits")
			}
			if s.Beside(func() { t.Error("two at once") }) {
				t.Error("a second one is said to have run")
			}
		}) {
			t.Fatal("nothing ran beside an idle store")
		}
		synctest.Wait()
		if got, err := s.Stable().GetUint64(termKey); !later.Load() || got != 7 || err != nil {
			t.Errorf("afterwards the later term is %d, %v, written %v", got, err, later.Load())
		}
		faults.Fail(syscall.ENOSPC)
		last := writeTerm(s, 8)
		if s.Beside(func() { t.Error("ran while a later term is being written") }) {
			t.Error("said to have run while a later term is being written")
		}
		faults.Fail(nil)
		time.Sleep(time.Second) // fake time
		if !last.Load() || !s.Beside(func() {}) {
			t.Error("nothing runs beside after the write")
		}
	})
}

// Who waits for a heartbeat to be answered is let go when the store is aborted.
func TestAbortBeside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := open(t)
		s.Beside(func() {
			waits := writeTerm(s, 7)
			s.Abort()
			synctest.Wait()
			if !waits.Load() {
				t.Error("the writer of a later term hinders the end")
			}
		})
	})
}

// What was written before a restart counts as well.
func TestLowerTermAfterRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := storage.NewMemory()
		if err := m.Backend.SetUint64(termKey, 7); err != nil {
			t.Fatal(err)
		}
		s, err := storage.New(m, "eu-1", storage.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if returned := writeTerm(s, 6); returned.Load() || !isFailed(s) {
			t.Error("a term lower than the one on disk was written")
		}
	})
}

// A lower term is not written after a higher one, whoever waited for the disk longer: its writer, who believes that it is, is not let
// go while the store is in use.
func TestLowerTermIsNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, faults := open(t)
		writeTerm(s, 6)
		faults.Fail(syscall.ENOSPC)
		returned := writeTerm(s, 6) // raft writes the term it is in when a heartbeat makes it a follower; it will try again
		faults.Fail(nil)
		if err := s.Stable().SetUint64(termKey, 7); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // fake time
		if got, err := s.Stable().GetUint64(termKey); got != 7 || err != nil {
			t.Errorf("term: got %d, %v, want 7", got, err)
		}
		if returned.Load() || !isFailed(s) {
			t.Error("who wrote the lower term goes on in it, or waits for good: the store has not failed")
		}
		s.Abort()
		synctest.Wait()
		if !returned.Load() {
			t.Error("who wrote the lower term hinders the end")
		}
	})
}
