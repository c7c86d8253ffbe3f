package storage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// snapshotTemp ends the name of a snapshot that is being written (raft's file_snapshot.go).
const snapshotTemp = ".tmp"

// snapshotFiles is raft's snapshots in a directory, without what raft leaves there: a snapshot that could not be begun, ended or given up, or whose writer was
// killed, keeps its temporary directory for ever (hashicorp/raft v1.8.0, file_snapshot.go). On a full disk there would be one more with each try.
type snapshotFiles struct {
	*raft.FileSnapshotStore
	dir    string
	logger hclog.Logger

	mu      sync.Mutex
	writing map[string]bool // the ids of those that are being written
}

// openSnapshots opens the snapshots in a data directory that nobody else uses.
func openSnapshots(dir string, logger hclog.Logger) (*snapshotFiles, error) {
	files, err := raft.NewFileSnapshotStoreWithLogger(dir, snapshotsKept, logger)
	if err != nil {
		return nil, err
	}
	return &snapshotFiles{FileSnapshotStore: files, dir: filepath.Join(dir, snapshotsDir), logger: logger, writing: make(map[string]bool)}, nil
}

// sweep removes what nobody writes any more.
func (s *snapshotFiles) sweep() {
	entries, err := os.ReadDir(s.dir)
	for _, e := range entries {
		if id, temp := strings.CutSuffix(e.Name(), snapshotTemp); temp && !s.writing[id] {
			err = errors.Join(err, os.RemoveAll(filepath.Join(s.dir, e.Name())))
		}
	}
	if err != nil {
		s.logger.Warn("cannot remove unfinished snapshots", "error", err)
	}
}

// Create begins a snapshot.
func (s *snapshotFiles) Create(version raft.SnapshotVersion, index, term uint64, c raft.Configuration, at uint64, t raft.Transport) (raft.SnapshotSink, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sink, err := s.FileSnapshotStore.Create(version, index, term, c, at, t)
	if err != nil {
		s.sweep()
		return nil, err
	}
	s.writing[sink.ID()] = true
	return &snapshotFile{sink, s}, nil
}

// snapshotFile is a snapshot that is being written.
type snapshotFile struct {
	raft.SnapshotSink
	of *snapshotFiles
}

// Close ends the snapshot. That is done, on the disk as well, when raft comes to remove the ones before: should these stay, as on a file system that is damaged there,
// it is told and no more. Raft would take the new one for failed: a member would get a leader's only when it is started again, and its own log would grow for ever.
func (f *snapshotFile) Close() error {
	err := f.SnapshotSink.Close()
	if _, missing := os.Stat(filepath.Join(f.of.dir, f.ID())); err != nil && missing == nil && f.of.ReapSnapshots() != nil {
		f.of.logger.Warn("cannot remove old snapshots", "error", err)
		err = nil
	}
	return f.end(err)
}

// Cancel gives the snapshot up.
func (f *snapshotFile) Cancel() error { return f.end(f.SnapshotSink.Cancel()) }

func (f *snapshotFile) end(err error) error {
	f.of.mu.Lock()
	defer f.of.mu.Unlock()
	delete(f.of.writing, f.ID())
	if err != nil {
		f.of.sweep()
	}
	return err
}

// newest returns the last entry of the newest snapshot, as its directory is called: raft lists none whose description it cannot read.
func (s *snapshotFiles) newest() (index, term uint64, err error) {
	entries, err := os.ReadDir(s.dir)
	for _, e := range entries {
		var t, i, at uint64
		if n, _ := fmt.Sscanf(e.Name(), "%d-%d-%d", &t, &i, &at); n == 3 && i > index && !strings.HasSuffix(e.Name(), snapshotTemp) {
			index, term = i, t
		}
	}
	return index, term, err
}
