package storage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
)

// Names of what is in the data directory.
const (
	logFile      = "raft.db"
	identityFile = "identity.json"
	snapshotsDir = "snapshots" // raft's choice (file_snapshot.go)
)

// lockTimeout is how long to wait for another process that has the log open.
const lockTimeout = time.Second

// snapshotsKept is the number of snapshots kept: the newest, and the one before should the newest be damaged.
const snapshotsKept = 2

// Backend is what a [Store] writes to: a bolt file, memory, or one of them behind a wrapper that injects faults.
type Backend interface {
	raft.LogStore
	raft.StableStore
}

// Medium is the set of things a member keeps on its disk.
type Medium struct {
	// Backend keeps log, term and vote.
	Backend Backend
	// Snapshots keeps snapshots.
	Snapshots raft.SnapshotStore
	// Identity keeps who the member is.
	Identity IdentityKeeper
	// Close releases the above. It may be nil.
	Close func() error
}

// OpenDisk opens the files in dir for the node of the given name, and creates what does not exist: the identity first, so that
// there is never a log without an owner. Only one process can have them open: to another one it returns [ErrInUse].
func OpenDisk(dir, node string, logger hclog.Logger) (*Medium, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create data directory: %w", err)
	}
	return openDisk(dir, node, false, logger)
}

// ReadDisk is OpenDisk of files that are not to be changed. There has to be a log ([HasLog]), and to write to it is an error, see [Medium.Copy].
func ReadDisk(dir, node string, logger hclog.Logger) (*Medium, error) {
	return openDisk(dir, node, true, logger)
}

func openDisk(dir, node string, readOnly bool, logger hclog.Logger) (*Medium, error) {
	if logger == nil {
		logger = hclog.NewNullLogger()
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	medium, err := openFiles(dir, node, readOnly, logger)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	closeLog := medium.Close
	medium.Close = func() error { return errors.Join(closeLog(), lock.Close()) }
	return medium, nil
}

// openFiles is OpenDisk, or ReadDisk, once the directory is there and nobody else uses it.
func openFiles(dir, node string, readOnly bool, logger hclog.Logger) (*Medium, error) {
	found, err := HasLog(dir)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	if !found && readOnly {
		return nil, fmt.Errorf("open log: %w", os.ErrNotExist)
	}
	if !found {
		if err := setAside(filepath.Join(dir, snapshotsDir)); err != nil {
			return nil, fmt.Errorf("set snapshots without a log aside: %w", err)
		}
	}
	identity := &identityOnDisk{path: filepath.Join(dir, identityFile), lost: !found}
	if _, err := loadIdentity(identity, node); err != nil {
		return nil, err
	}
	log, err := openLog(filepath.Join(dir, logFile), readOnly)
	if err != nil {
		return nil, err
	}
	snapshots, err := openSnapshots(dir, logger.Named("snapshot"))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open snapshots in %s: %w", dir, err), log.Close())
	}
	if !readOnly {
		snapshots.sweep()
	}
	return &Medium{Backend: log, Snapshots: snapshots, Identity: identity, Close: log.Close}, nil
}

// openLog opens the log at path.
func openLog(path string, readOnly bool) (*raftboltdb.BoltStore, error) {
	// The freelist is rebuilt at start instead of being written with each commit (etcd-io/bbolt#401).
	options := &bbolt.Options{NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, Timeout: lockTimeout, ReadOnly: readOnly}
	if readOnly {
		if err := begun(path, options); err != nil {
			return nil, fmt.Errorf("read log %s: %w", path, err)
		}
	}
	log, err := raftboltdb.New(raftboltdb.Options{Path: path, BoltOptions: options})
	if err != nil {
		return nil, fmt.Errorf("open log %s (is another relayd using this data_dir?): %w", path, err)
	}
	return log, nil
}

// begun returns an error where the first process that opened a log was killed before it had made what raft-boltdb reads without a look (bolt_store.go:19).
func begun(path string, options *bbolt.Options) error {
	db, err := bbolt.Open(path, 0, options)
	if err != nil {
		return err
	}
	err = db.View(func(tx *bbolt.Tx) error {
		if tx.Bucket([]byte("logs")) == nil || tx.Bucket([]byte("conf")) == nil {
			return errors.New("nothing was written to it yet")
		}
		return nil
	})
	return errors.Join(err, db.Close())
}

// Copy returns a medium that holds what m does, in memory: what is written to it is gone with it. Its snapshots are those of m, and it is
// closed with m, at once when Copy returns an error.
func (m *Medium) Copy() (*Medium, error) {
	out := NewMemory()
	out.Snapshots, out.Close = m.Snapshots, m.Close
	if err := m.copyTo(out); err != nil {
		err = fmt.Errorf("copy the log: %w", err)
		if m.Close != nil {
			err = errors.Join(err, m.Close())
		}
		return nil, err
	}
	return out, nil
}

func (m *Medium) copyTo(out *Medium) error {
	first, err := m.Backend.FirstIndex()
	if err != nil {
		return err
	}
	last, err := m.Backend.LastIndex()
	if err != nil {
		return err
	}
	for i := first; last > 0 && i <= last; i++ {
		var entry raft.Log
		switch err := m.Backend.GetLog(i, &entry); {
		case errors.Is(err, raft.ErrLogNotFound): // a gap behind a snapshot that another member sent
			continue
		case err != nil:
			return fmt.Errorf("entry %d: %w", i, err)
		}
		if err := out.Backend.StoreLog(&entry); err != nil {
			return err
		}
	}
	if term, err := m.Backend.GetUint64(keyCurrentTerm); err == nil { // else there is none, see newTerms
		if err := out.Backend.SetUint64(keyCurrentTerm, term); err != nil {
			return err
		}
	}
	id, err := m.Identity.Load()
	if err != nil {
		return err
	}
	return out.Identity.Save(id)
}

// HasLog reports whether dir holds a log. An empty file is none: it would become an empty log. It creates nothing.
func HasLog(dir string) (bool, error) {
	file, err := os.Stat(filepath.Join(dir, logFile))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil && file.Size() > 0, err
}

// setAside renames a directory that belongs to a log that is gone, if there is one: the snapshots of an identity
// that is not used any more.
func setAside(dir string) error {
	err := os.Rename(dir, dir+".lost-"+randomHex(4))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// NewMemory returns a medium that forgets all when the process ends: for tests, and for a demonstration without files. It may be
// given to several stores, one after another, as a disk outlives processes.
func NewMemory() *Medium {
	backend := struct {
		*memoryLog
		raft.StableStore
	}{newMemoryLog(), raft.NewInmemStore()}
	return &Medium{Backend: backend, Snapshots: &memorySnapshots{}, Identity: &identityInMemory{}}
}
