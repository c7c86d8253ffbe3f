package storage

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/thinrelay/thinrelay/fsm"
)

var (
	_ raft.LogStore    = (*guard)(nil)
	_ raft.StableStore = (*guard)(nil)
)

// Errors of a [Store].
var (
	// ErrSlow is returned when a log write takes longer than the deadline, and for log writes while such a one is still under way.
	ErrSlow = errors.New("the disk took longer than the write deadline")

	// ErrFailed is returned for every write after the store has failed. The process has to be started again.
	ErrFailed = errors.New("the store has failed and refuses writes until this process is started again")

	// ErrClosed is returned for writes after [Store.Abort].
	ErrClosed = errors.New("the store is closed")

	// ErrGap is returned when entries between the snapshot that can be read and the first entry of the log are missing.
	ErrGap = errors.New("log entries are missing: move data_dir away and start again, the member rejoins under a new identity")
)

// Config is the configuration of a [Store].
type Config struct {
	// WriteDeadline is how long a log write may take before leadership is given up, 1 s by default. Shorter loses
	// leadership to a disk that merely hiccups, longer delays our blocks by as much.
	WriteDeadline time.Duration
	// Retry is the pause before a term is written again after a write without space, 250 ms by default.
	Retry time.Duration
	// Logger gets a line for each write that was given up. May be nil.
	Logger hclog.Logger
}

func (c Config) withDefaults() Config {
	if c.WriteDeadline <= 0 {
		c.WriteDeadline = time.Second
	}
	if c.Retry <= 0 {
		c.Retry = 250 * time.Millisecond
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	return c
}

// Store is the storage of one member.
type Store struct {
	medium    *Medium
	guard     *guard
	logs      *cachedLogs
	damaged   []string // see snapshots
	identity  Identity
	closeOnce sync.Once
	closeErr  error
}

// New returns a store over medium for the node of the given name, which gets an identity when it has none, and closes medium
// with it, or at once when it returns an error.
func New(medium *Medium, node string, cfg Config) (*Store, error) {
	cfg = cfg.withDefaults()
	s := &Store{medium: medium, guard: newGuard(medium.Backend, cfg)}
	var err error
	if s.logs, err = newCachedLogs(s.guard); err == nil {
		var last raft.SnapshotMeta
		if last, s.damaged, err = check(medium); err == nil {
			err = s.logs.replaced(last.ID, last.Index, last.Term) // the last process may not have come to it
		}
		if err == nil {
			err = s.logs.follow(last)
		}
		if err == nil {
			s.identity, err = loadIdentity(medium.Identity, node)
		}
		if err == nil && s.identity.Founding {
			err = s.foundAnew(last.Index)
		}
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// foundAnew takes the first term back, where the last process has ended between it and the first entry: raft founds nothing that has a term, and nobody
// else founds. In that term nobody leads and nobody votes.
func (s *Store) foundAnew(snapshot uint64) error {
	last, err := s.logs.LastIndex()
	if term := s.guard.terms.last.Load(); err != nil || last > 0 || snapshot > 0 || term != 1 {
		return err
	}
	if err := s.medium.Backend.SetUint64(keyCurrentTerm, 0); err != nil {
		return fmt.Errorf("begin the foundation anew: %w", err)
	}
	s.guard.terms.last.Store(0)
	return nil
}

// check looks for what would make raft panic when it starts, or go back: entries that neither the newest readable snapshot nor
// the log has. It returns that snapshot, the zero one when there is none, and the ids of those after it.
func check(m *Medium) (newest raft.SnapshotMeta, damaged []string, err error) {
	snapshots, err := m.Snapshots.List()
	if err != nil {
		return newest, nil, fmt.Errorf("list snapshots: %w", err)
	}
	for _, meta := range snapshots {
		_, r, err := m.Snapshots.Open(meta.ID)
		if err != nil {
			damaged = append(damaged, meta.ID)
			continue
		}
		_, err = fsm.ReadSnapshot(r)
		if cerr := r.Close(); err == nil && cerr == nil {
			newest = *meta
			break
		}
		if errors.Is(err, fsm.ErrVersion) {
			return newest, nil, fmt.Errorf("snapshot %s: %w", meta.ID, err)
		}
		damaged = append(damaged, meta.ID)
	}
	first, err := m.Backend.FirstIndex()
	if err != nil {
		return newest, nil, fmt.Errorf("read first index: %w", err)
	}
	if first > newest.Index+1 {
		return newest, nil, fmt.Errorf("snapshot up to %d, log from %d: %w", newest.Index, first, ErrGap)
	}
	if len(snapshots) > 0 && newest.Index == 0 && first == 0 {
		return newest, nil, fmt.Errorf("none of %d snapshots can be read: %w", len(snapshots), ErrGap)
	}
	there := newest // the newest that there is
	if len(snapshots) > 0 {
		there = *snapshots[0]
	}
	if files, ok := m.Snapshots.(*snapshotFiles); ok {
		index, term, err := files.newest()
		if err != nil {
			return newest, nil, fmt.Errorf("list snapshots: %w", err)
		}
		if index > there.Index {
			there = raft.SnapshotMeta{Index: index, Term: term}
		}
	}
	if there.Index <= newest.Index {
		return newest, damaged, nil
	}
	// Raft would go on from the one before it. With the entry in which that ends the log is right up to there; without it the member goes back, or on with what a
	// former leader wrote, see replaced.
	var last raft.Log
	if err := m.Backend.GetLog(there.Index, &last); err != nil && !errors.Is(err, raft.ErrLogNotFound) {
		return newest, nil, fmt.Errorf("read entry %d: %w", there.Index, err)
	} else if err != nil || last.Term != there.Term {
		return newest, nil, fmt.Errorf("the snapshot up to %d cannot be read, and the log does not lead there: %w", there.Index, ErrGap)
	}
	return newest, damaged, nil
}

// Logs returns the log with its cache.
func (s *Store) Logs() raft.LogStore { return s.logs }

// Stable returns what keeps term and vote.
func (s *Store) Stable() raft.StableStore { return s.guard }

// Snapshots returns what keeps snapshots.
func (s *Store) Snapshots() raft.SnapshotStore {
	return snapshots{s.medium.Snapshots, s.logs, s.damaged}
}

// Identity returns who the member is.
func (s *Store) Identity() Identity { return s.identity }

// Join records the cluster the member belongs to. It can be recorded once: [ErrCluster] is returned when it is another one.
// With joining it is recorded until [Store.Joined], see [Identity]. None of these must be called concurrently with Identity, Found and Founded.
func (s *Store) Join(clusterID string, joining bool) error {
	id, err := s.identity.join(clusterID)
	if err != nil {
		return err
	}
	id.Joining = joining
	return s.save(id)
}

// Joined records that the member is in a configuration of its cluster that is committed.
func (s *Store) Joined() error {
	id := s.identity
	id.Joining = false
	return s.save(id)
}

// Found chooses a cluster id and records, until [Store.Founded], that the cluster is being founded here. It can be called again
// after a crash in between and then changes nothing.
func (s *Store) Found() error {
	id := s.identity
	if id.Founding {
		return nil
	}
	if id.ClusterID != "" {
		return fmt.Errorf("found a cluster as member of %s: %w", id.ClusterID, ErrCluster)
	}
	id.ClusterID, id.Founding = NewClusterID(), true
	return s.save(id)
}

// Founded records that the first configuration was written.
func (s *Store) Founded() error {
	id := s.identity
	id.Founding = false
	return s.save(id)
}

// Refound chooses another cluster id: after a recovery this is not the cluster it was.
func (s *Store) Refound() error {
	id := s.identity
	id.ClusterID, id.Founding, id.Joining = NewClusterID(), false, false
	return s.save(id)
}

// HasState says whether there is a log, a term or a snapshot.
func (s *Store) HasState() (bool, error) {
	return raft.HasExistingState(s.logs, s.guard, s.medium.Snapshots)
}

// Position is how far a log has got: term and index of its last entry, or of the snapshot that replaced it, and the term the
// member was in.
type Position struct{ LogTerm, Index, Term uint64 }

// Position returns how far the log has got on the disk.
func (s *Store) Position() (p Position, err error) {
	if p.Index, err = s.logs.LastIndex(); err != nil {
		return p, fmt.Errorf("read last index: %w", err)
	}
	if p.Index > 0 {
		var last raft.Log
		if err := s.logs.GetLog(p.Index, &last); err != nil {
			return p, fmt.Errorf("read entry %d: %w", p.Index, err)
		}
		p.LogTerm = last.Term
	}
	snapshots, err := s.medium.Snapshots.List()
	if err != nil {
		return p, fmt.Errorf("list snapshots: %w", err)
	}
	if len(snapshots) > 0 && snapshots[0].Index > p.Index {
		p.LogTerm, p.Index = snapshots[0].Term, snapshots[0].Index
	}
	// Raft's stores say "not found" with errors of their own each; a member without a term has none.
	p.Term, _ = s.guard.GetUint64(keyCurrentTerm)
	return p, nil
}

func (s *Store) save(id Identity) error {
	if id == s.identity {
		return nil
	}
	if err := s.medium.Identity.Save(id); err != nil {
		return fmt.Errorf("save identity: %w", err)
	}
	s.identity = id
	return nil
}

// Failed is closed when the store has failed for good. Err says why.
func (s *Store) Failed() <-chan struct{} { return s.guard.failed }

// Err returns why the store has failed, an error wrapping [ErrFailed], or nil.
func (s *Store) Err() error { return s.guard.failure() }

// WriteTimes returns how long recent log writes took.
func (s *Store) WriteTimes() WriteTimes { return s.guard.times.read(time.Now()) }

// Measure has wrote told how long each log write took, from now on. It must not block.
func (s *Store) Measure(wrote func(took time.Duration)) {
	s.guard.times.mu.Lock()
	defer s.guard.times.mu.Unlock()
	s.guard.times.wrote = wrote
}

// Abort lets every caller that waits for the disk go, with an error, and refuses all further writes: a member has to be able
// to stop even if its disk hangs. A term that cannot be written is then reported as written, because raft would panic
// otherwise; it is not relied upon, since without writes there is no vote and no entry.
func (s *Store) Abort() { s.guard.abort() }

// Close aborts, waits for a write that is still under way, and closes the medium. Raft must have stopped.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.guard.abort()
		s.guard.wait()
		if s.medium.Close != nil {
			s.closeErr = s.medium.Close()
		}
	})
	return s.closeErr
}
