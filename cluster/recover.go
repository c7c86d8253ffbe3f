package cluster

import (
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/thinrelay/thinrelay/cluster/storage"
	"github.com/thinrelay/thinrelay/fsm"
)

// Recovery says how a cluster that has lost its majority for good is recovered.
type Recovery struct {
	// Node is this node's name.
	Node string
	// DataDir is its data directory, unless Medium is given. No relayd may be using it.
	DataDir string
	// Medium, when not nil, is used instead of DataDir.
	Medium *storage.Medium
	// Advertise is the address of this node's Raft listener.
	Advertise string
	// AtLeast is the highest mark that is known from elsewhere: of the other members, if any of them can still be read, and of the
	// chain. Recovery refuses to go on with a lower one.
	AtLeast uint32
	// DryRun changes nothing.
	DryRun bool
	// Logger may be nil.
	Logger hclog.Logger
}

// Recovered is the outcome of a recovery.
type Recovered struct {
	// Before is the mark as snapshots and log of this node have it, After as it is after the recovery.
	Before, After fsm.State
	// Index is the last index of the log.
	Index uint64
	// Former are the members there were.
	Former []raft.Server
}

// Recover makes this node the only member of its cluster. It is for an operator who has lost the majority for good; the others join again
// with empty data directories. The cluster gets another id, so that members of the former one, should they be there after all, neither
// follow nor disturb this one; they must not be started with what they have, since they may still be a majority among themselves.
//
// It cannot lower the mark of this node: all entries of the log count as committed, so the mark is at least what this node ever
// applied, and the result is read back and compared. Whether another member had a higher one only the operator can know: see
// AtLeast, and recover the member with the highest mark.
func Recover(r Recovery) (out Recovered, err error) {
	if r.Logger == nil {
		r.Logger = hclog.NewNullLogger()
	}
	if r.Medium == nil {
		found, err := storage.HasLog(r.DataDir)
		if err != nil {
			return out, fmt.Errorf("recover: %w", err)
		}
		if !found {
			return out, fmt.Errorf("recover: %w in %s: there is no log; correct data_dir", ErrNothing, r.DataDir)
		}
		open := storage.OpenDisk
		if r.DryRun {
			open = storage.ReadDisk
		}
		if r.Medium, err = open(r.DataDir, r.Node, r.Logger); err != nil {
			return out, fmt.Errorf("recover: %w", err)
		}
	}
	if r.DryRun { // to open a store is to clear what its last process did not come to
		if r.Medium, err = r.Medium.Copy(); err != nil {
			return out, fmt.Errorf("recover: %w", err)
		}
	}
	store, err := storage.New(r.Medium, r.Node, storage.Config{Logger: r.Logger})
	if err != nil {
		return out, fmt.Errorf("recover: %w", err)
	}
	defer func() { err = errors.Join(err, store.Close()) }()

	if has, err := store.HasState(); err != nil {
		return out, fmt.Errorf("recover: %w", err)
	} else if !has {
		return out, fmt.Errorf("recover: %w: this node was never in a group", ErrNothing)
	}
	if out.Before, out.Former, err = replay(store); err != nil {
		return out, fmt.Errorf("recover: read the mark: %w", err)
	}
	if out.Index, err = store.Logs().LastIndex(); err != nil {
		return out, fmt.Errorf("recover: %w", err)
	}
	if out.Before.Mark.Height() < r.AtLeast {
		return out, fmt.Errorf("recover: the mark here is %d, but %d is known: %w", out.Before.Mark.Height(), r.AtLeast, ErrLowered)
	}
	out.After = out.Before
	if r.DryRun {
		return out, nil
	}
	// Under another id nobody who still belongs to the former cluster can reach this one, or be reached. It comes first: should the
	// recovery end in between, this member leads nobody, and is recovered again; alone under the former id it would lead beside the others.
	if err := store.Refound(); err != nil {
		return out, fmt.Errorf("recover: %w", err)
	}
	id := raft.ServerID(store.Identity().RaftID)
	_, transport := raft.NewInmemTransport(at(string(id), r.Advertise))
	defer transport.Close()
	c := raft.DefaultConfig()
	c.LocalID, c.Logger = id, r.Logger
	only := raft.Configuration{Servers: []raft.Server{{ID: id, Address: at(string(id), r.Advertise)}}}
	if err := raft.RecoverCluster(c, fsm.New(nil), store.Logs(), store.Stable(), store.Snapshots(), transport, only); err != nil {
		return out, fmt.Errorf("recover: %w", err)
	}
	var now []raft.Server
	if out.After, now, err = replay(store); err != nil {
		return out, fmt.Errorf("recover: read the mark back: %w", err)
	}
	if out.After != out.Before {
		return out, fmt.Errorf("recover: %v became %v, do not start this node: %w", out.Before, out.After, ErrLowered)
	}
	if !slices.Equal(now, only.Servers) {
		return out, fmt.Errorf("recover: the members are still %v: %w", now, ErrNotRecovered)
	}
	return out, nil
}

// replay returns the state that snapshot and log of a store amount to, and the members they name. It reads only.
func replay(store *storage.Store) (state fsm.State, servers []raft.Server, err error) {
	f := fsm.New(nil)
	snapshots, err := store.Snapshots().List()
	if err != nil {
		return state, nil, err
	}
	var index uint64
	for _, meta := range snapshots { // newest first, as raft does
		_, r, err := store.Snapshots().Open(meta.ID)
		if err == nil {
			err = f.Restore(r)
		}
		if err == nil {
			index, servers = meta.Index, meta.Configuration.Servers
			break
		}
	}
	last, err := store.Logs().LastIndex()
	if err != nil {
		return state, nil, err
	}
	for index++; index <= last; index++ {
		var entry raft.Log
		if err := store.Logs().GetLog(index, &entry); err != nil {
			return state, nil, fmt.Errorf("entry %d: %w", index, err)
		}
		switch entry.Type {
		case raft.LogCommand:
			f.Apply(&entry) // refusals are part of the history
		case raft.LogConfiguration:
			servers = raft.DecodeConfiguration(entry.Data).Servers
		}
	}
	return f.State(), servers, f.Err()
}
