package fsm

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/hashicorp/raft"
)

var (
	_ raft.FSM         = (*FSM)(nil)
	_ raft.FSMSnapshot = snapshot{}
)

// FSM is the shell that lets raft drive a [State]. Raft calls Apply, Snapshot and Restore from one goroutine at a
// time; State and Halted may be called from anywhere.
type FSM struct {
	onApplied func(State)
	halted    chan struct{} // closed once, after err was set

	mu    sync.RWMutex
	state State
	err   error // not nil: halted
}

// New returns an FSM in the zero state. onApplied, which may be nil, is called with the new state after each accepted entry and each
// restore, in order, outside the lock, by raft's goroutine: it must not block, or nothing is applied any more.
func New(onApplied func(State)) *FSM {
	if onApplied == nil {
		onApplied = func(State) {}
	}
	return &FSM{onApplied: onApplied, halted: make(chan struct{})}
}

// State returns the current state.
func (f *FSM) State() State {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.state
}

// Halted is closed when an entry or a snapshot of an unknown version was met. The state is then no longer that
// of the cluster and never will be again in this process: the member has to stop. Err says what was met.
func (f *FSM) Halted() <-chan struct{} { return f.halted }

// Err returns why the FSM has halted, an error wrapping [ErrVersion], or nil.
func (f *FSM) Err() error {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.err
}

// Apply applies one committed entry. The result, which raft hands to the proposer, is nil or an error. No bytes make
// it panic. An entry of an unknown version halts the FSM, see the package documentation.
func (f *FSM) Apply(entry *raft.Log) any {
	state, err := f.apply(entry)
	if err != nil {
		return err
	}
	f.onApplied(state)
	return nil
}

func (f *FSM) apply(entry *raft.Log) (State, error) {
	t, err := DecodeTransition(entry.Data)

	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return f.state, f.err
	}
	if err != nil {
		err = fmt.Errorf("entry %d of term %d: %w", entry.Index, entry.Term, err)
		f.haltOn(err)
		return f.state, err
	}
	next, err := f.state.Apply(t, entry.Term)
	if err != nil {
		return f.state, err
	}
	f.state = next
	return next, nil
}

// haltOn halts if err is about an unknown version. The lock is held.
func (f *FSM) haltOn(err error) {
	if errors.Is(err, ErrVersion) && f.err == nil {
		f.err = err
		close(f.halted)
	}
}

// Snapshot returns the state as it is. A halted FSM has none to offer: a snapshot would let raft drop the very entry
// that a newer release needs to see.
func (f *FSM) Snapshot() (raft.FSMSnapshot, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.err != nil {
		return nil, f.err
	}
	return snapshot{f.state}, nil
}

// Restore replaces the state by a snapshot, which it closes. It refuses one that would lower the height ([ErrLower]) or name
// another term for the height it has ([ErrForeign]), and halts on one of an unknown version. A refused snapshot
// changes nothing.
func (f *FSM) Restore(r io.ReadCloser) error {
	state, err := ReadSnapshot(r)
	if err = errors.Join(err, r.Close()); err != nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.haltOn(err)
		return err
	}
	if err := f.replace(state); err != nil {
		return err
	}
	f.onApplied(state)
	return nil
}

func (f *FSM) replace(state State) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return f.err
	}
	if err := f.state.admits(state); err != nil {
		return err
	}
	f.state = state
	return nil
}

// snapshot is a state on its way to a sink.
type snapshot struct{ state State }

// Persist writes the snapshot and closes the sink, or cancels it.
func (s snapshot) Persist(sink raft.SnapshotSink) error {
	if _, err := sink.Write(AppendSnapshot(nil, s.state)); err != nil {
		return errors.Join(fmt.Errorf("write snapshot: %w", err), sink.Cancel())
	}
	return sink.Close()
}

// Release has nothing to give back: the state is a copy.
func (s snapshot) Release() {}
