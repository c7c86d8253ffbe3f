package storage

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// tellAgain is how often it is told that a term cannot be written, which is tried again all the time: logs may be on the same disk.
const tellAgain = 10 * time.Second

// keyCurrentTerm is raft's key of the term (raft.go:28), whose write must not fail.
var keyCurrentTerm = []byte("CurrentTerm")

// errLowerTerm is why a store fails that is told to write a term lower than one written before.
var errLowerTerm = errors.New("the term is lower than the last one written")

// terms keeps raft's term from falling.
type terms struct {
	last atomic.Uint64 // the last term written, or being written; set with the slot
	rise chan struct{} // held while a later term is written, and while what runs Beside counts on the term to stay
}

func newTerms(b Backend) *terms {
	t := &terms{rise: make(chan struct{}, 1)}
	if last, err := b.GetUint64(keyCurrentTerm); err == nil { // else there is none; raft looks for itself, and tells an error
		t.last.Store(last)
	}
	return t
}

// Beside runs f and returns true; or it returns false, when a later term is being written or another f runs. While f runs no later term
// is written. f must not write one.
func (s *Store) Beside(f func()) bool {
	rise := s.guard.terms.rise
	select {
	case rise <- struct{}{}:
	default:
		return false
	}
	defer func() { <-rise }()
	f()
	return true
}

// setTerm writes the term, whose failure raft answers with a panic: it waits for the disk, until there is space or the store is aborted.
//
// A term that is lower than one written before is not written. The store fails, and the writer is let go only when it is aborted: raft has called
// from two goroutines at once, and with the lower term it would go back to one in which another member may lead.
func (g *guard) setTerm(term uint64) {
	if term > g.terms.last.Load() {
		select {
		case g.terms.rise <- struct{}{}:
			defer func() { <-g.terms.rise }()
		case <-g.aborted:
			return
		}
	}
	var told time.Time
	for {
		err := g.write(func() error {
			if last := g.terms.last.Load(); term < last {
				return g.fail(fmt.Errorf("write term %d after %d: %w", term, last, errLowerTerm))
			}
			g.terms.last.Store(term)
			return g.classify(g.backend.SetUint64(keyCurrentTerm, term))
		})
		if err == nil {
			return
		}
		if now := time.Now(); now.Sub(told) >= tellAgain {
			g.cfg.Logger.Error("cannot write the term, this member takes no part until it can", "term", term, "error", err)
			told = now
		}
		wait := time.NewTimer(g.cfg.Retry)
		if g.failure() != nil {
			wait.Stop() // no use in trying again: wait to be stopped
		}
		select {
		case <-wait.C:
		case <-g.aborted:
			wait.Stop()
			return
		}
	}
}
