package storage

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/raft"
)

// guard stands between raft and the backend. One write at a time holds the slot; a log write that was given up keeps
// it until the write is finished and undone.
type guard struct {
	backend Backend
	cfg     Config
	times   times

	slot     chan struct{}
	late     atomic.Uint64 // the first entry of a log write that was given up and holds the slot, 0 when there is none
	writers  sync.WaitGroup
	failed   chan struct{}
	aborted  chan struct{}
	stopOnce sync.Once

	mu  sync.Mutex
	err error // why it failed

	terms    *terms
	voteTerm uint64 // of the vote whose candidate raft writes next; of its main loop alone

	// cut says that the log was truncated at its end and nothing has been written since.
	cut atomic.Bool
}

func newGuard(b Backend, cfg Config) *guard {
	return &guard{backend: b, cfg: cfg, slot: make(chan struct{}, 1), failed: make(chan struct{}), aborted: make(chan struct{}), terms: newTerms(b)}
}

// FirstIndex returns the first index of the log, 0 when it is empty.
func (g *guard) FirstIndex() (uint64, error) { return g.backend.FirstIndex() }

// LastIndex returns the last index of the log, 0 when it is empty.
func (g *guard) LastIndex() (uint64, error) { return g.backend.LastIndex() }

// GetLog reads one entry. There is none of a write that was given up, although it may be on the disk until that is undone: raft would find in place what
// comes before a leader's new entries (appendEntries), and write these once it is gone.
func (g *guard) GetLog(index uint64, log *raft.Log) error {
	if late := g.late.Load(); late > 0 && index >= late {
		return raft.ErrLogNotFound
	}
	return g.backend.GetLog(index, log)
}

// Get reads the value of a key.
func (g *guard) Get(key []byte) ([]byte, error) { return g.backend.Get(key) }

// GetUint64 reads the value of a key.
func (g *guard) GetUint64(key []byte) (uint64, error) { return g.backend.GetUint64(key) }

// StoreLog writes one entry, see StoreLogs.
func (g *guard) StoreLog(log *raft.Log) error { return g.StoreLogs([]*raft.Log{log}) }

// StoreLogs writes entries within the deadline, or returns an error and sees to it that they are not in the log.
func (g *guard) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	if g.late.Load() > 0 {
		return g.notWritten(logs, fmt.Errorf("store entry %d while an earlier write is unfinished: %w", logs[0].Index, ErrSlow))
	}
	deadline := time.NewTimer(g.cfg.WriteDeadline)
	defer deadline.Stop()
	start := time.Now()
	select {
	case g.slot <- struct{}{}:
	case <-deadline.C:
		return g.notWritten(logs, fmt.Errorf("store entry %d while the disk is busy: %w", logs[0].Index, ErrSlow))
	case <-g.aborted:
		return ErrClosed
	}
	if err := g.refusal(); err != nil {
		<-g.slot
		return err
	}

	g.times.begin(start)
	done := make(chan error, 1)
	var decided atomic.Bool // by whoever comes first: the writer with a result, or the deadline
	g.writers.Go(func() {
		err := g.backend.StoreLogs(logs)
		if decided.CompareAndSwap(false, true) {
			done <- err
			return // the caller goes on with the slot
		}
		g.undo(logs, err, start)
	})
	select {
	case err := <-done:
		return g.finish(logs, err, start)
	case <-deadline.C:
	case <-g.aborted:
	}
	g.late.Store(logs[0].Index) // before the decision, since the writer clears it after
	if !decided.CompareAndSwap(false, true) {
		g.late.Store(0)
		return g.finish(logs, <-done, start)
	}
	return g.giveUp(logs)
}

// finish takes the result of a write that ended in time and gives the slot back.
func (g *guard) finish(logs []*raft.Log, err error, start time.Time) error {
	g.times.end(start, time.Now())
	defer func() { <-g.slot }()
	if err == nil {
		g.cut.Store(false)
		return nil
	}
	err = fmt.Errorf("store entry %d: %w", logs[0].Index, err)
	if !isSpace(err) || g.holds(logs[0].Index) {
		return g.fail(err)
	}
	return g.notWritten(logs, err)
}

// holds says whether an entry may be in the log, where the write of it had no space. Nothing is written then, but for file systems that find it out when
// they are to sync: bolt tells them as written by that time.
func (g *guard) holds(index uint64) bool {
	last, err := g.backend.LastIndex()
	return err != nil || last >= index
}

// giveUp leaves the slot to the writer, which will undo what it writes.
func (g *guard) giveUp(logs []*raft.Log) error {
	err := fmt.Errorf("store entry %d: %w", logs[0].Index, ErrSlow)
	select {
	case <-g.aborted:
		return ErrClosed
	default:
	}
	g.cfg.Logger.Warn("disk is slow, log write given up", "index", logs[0].Index, "deadline", g.cfg.WriteDeadline)
	return g.notWritten(logs, err)
}

// notWritten returns err for entries that are not written, after failing the store if that misleads raft.
func (g *guard) notWritten(logs []*raft.Log, err error) error {
	if g.misleads(logs) {
		return g.fail(err)
	}
	return err
}

// misleads says whether raft, once the write of logs has failed, believes something of its log that is not so: it takes a
// configuration as the latest even if it could not write it, when it leads (appendConfigurationEntry), and keeps the last entry
// it had before a truncation (appendEntries). The log itself is right, so starting again mends it.
func (g *guard) misleads(logs []*raft.Log) bool {
	if g.cut.Load() {
		return true
	}
	for _, l := range logs {
		if l.Type == raft.LogConfiguration {
			return true
		}
	}
	return false
}

// undo runs when a given up write has ended, still holding the slot. Entries that made it to the disk after all are deleted, since raft
// will write others under the same indexes, maybe fewer.
func (g *guard) undo(logs []*raft.Log, err error, start time.Time) {
	first, last := logs[0].Index, logs[len(logs)-1].Index
	switch {
	case err == nil, isSpace(err) && g.holds(first):
		if err = g.backend.DeleteRange(first, last); err != nil {
			g.fail(fmt.Errorf("undo late write of entries %d to %d: %w", first, last, err))
		}
	case !isSpace(err):
		g.fail(fmt.Errorf("late write of entry %d: %w", first, err))
	}
	now := time.Now()
	g.times.end(start, now)
	g.cfg.Logger.Warn("late log write has ended", "index", first, "took", now.Sub(start), "error", err)
	g.late.Store(0)
	<-g.slot
}

// DeleteRange deletes entries. It waits for the disk, however long that takes.
func (g *guard) DeleteRange(first, last uint64) error {
	return g.write(func() error {
		end, err := g.backend.LastIndex()
		if err != nil {
			return err
		}
		if err := g.backend.DeleteRange(first, last); err != nil {
			return g.fail(fmt.Errorf("delete entries %d to %d: %w", first, last, err))
		}
		if last >= end && end > 0 { // it may be empty: see replaced
			g.cut.Store(true)
		}
		return nil
	})
}

// discard deletes entries that raft does not miss. It waits for the disk, however long that takes.
func (g *guard) discard(first, last uint64) error {
	return g.write(func() error { return g.classify(g.backend.DeleteRange(first, last)) })
}

// Set writes a key. It waits for the disk, however long that takes. For the vote see setVote.
func (g *guard) Set(key, value []byte) error {
	if bytes.Equal(key, keyLastVoteCand) {
		return g.setVote(value)
	}
	return g.write(func() error { return g.classify(g.backend.Set(key, value)) })
}

// SetUint64 writes a key. It waits for the disk, however long that takes. For the term see setTerm, for the vote
// setVote.
func (g *guard) SetUint64(key []byte, value uint64) error {
	switch {
	case bytes.Equal(key, keyCurrentTerm):
		g.setTerm(value)
		return nil
	case bytes.Equal(key, keyLastVoteTerm):
		g.voteTerm = value
		return nil
	}
	return g.write(func() error { return g.classify(g.backend.SetUint64(key, value)) })
}

// write runs f with the slot, in a goroutine, so that its caller can be let go by abort.
func (g *guard) write(f func() error) error {
	select {
	case g.slot <- struct{}{}:
	case <-g.aborted:
		return ErrClosed
	}
	if err := g.refusal(); err != nil {
		<-g.slot
		return err
	}
	done := make(chan error, 1)
	g.writers.Go(func() {
		err := f()
		<-g.slot
		done <- err
	})
	select {
	case err := <-done:
		return err
	case <-g.aborted:
		return ErrClosed
	}
}

func (g *guard) classify(err error) error {
	if err == nil || isSpace(err) {
		return err
	}
	return g.fail(err)
}

func isSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// fail makes the store refuse all writes from now on and returns the error to be returned.
func (g *guard) fail(err error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		g.err = fmt.Errorf("%w: %w", ErrFailed, err)
		close(g.failed)
		g.cfg.Logger.Error("store has failed, this member has to be restarted", "error", err)
	}
	return g.err
}

func (g *guard) failure() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

// refusal returns why nothing may be written, nil when it may.
func (g *guard) refusal() error {
	select {
	case <-g.aborted:
		return ErrClosed
	default:
		return g.failure()
	}
}

func (g *guard) abort() { g.stopOnce.Do(func() { close(g.aborted) }) }

// wait waits for the writes under way.
func (g *guard) wait() { g.writers.Wait() }
