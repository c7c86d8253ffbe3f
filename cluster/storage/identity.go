package storage

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Errors about identities.
var (
	// ErrIdentity is returned when a data directory belongs to a node of another name, or its identity file cannot be read.
	ErrIdentity = errors.New("the data directory is not this node's: correct node or data_dir")

	// ErrCluster is returned when a data directory belongs to another cluster.
	ErrCluster = errors.New("the data directory belongs to another cluster: move it away to join this one")
)

// identityVersion is the version of the identity file.
const identityVersion = 1

// maxIdentity bounds what is read of an identity file, in bytes.
const maxIdentity = 4096

// Identity is who a member is. It is chosen once and never changes, except that a cluster is joined once. A
// member whose log is gone must not keep its Raft id: it has forgotten what it voted for and which entries it promised to
// keep, so the others may not count it as the one that did. It keeps the cluster, so that it never founds a second one.
type Identity struct {
	Version int `json:"version"`
	// Node is the name from the configuration.
	Node string `json:"node"`
	// RaftID names this log: the node's name, a dash, and eight random hex digits.
	RaftID string `json:"raft_id"`
	// ClusterID names the cluster, empty until one was joined.
	ClusterID string `json:"cluster_id,omitempty"`
	// Founding says that ClusterID was chosen here and that the first configuration may not have been written yet.
	Founding bool `json:"founding,omitempty"`
	// Joining says that all of the log is of ClusterID, and that the member was in none of its committed configurations yet, as far as it
	// knows. It is absent where nobody looked.
	Joining bool `json:"joining,omitempty"`
}

// IdentityKeeper keeps an identity.
type IdentityKeeper interface {
	// Load returns the identity. Without one it returns the zero Identity. It leaves the Raft id empty when
	// the log that it named is gone.
	Load() (Identity, error)
	// Save replaces the identity, at once and for good.
	Save(Identity) error
}

// loadIdentity returns the kept identity, completed and saved if need be.
func loadIdentity(k IdentityKeeper, node string) (Identity, error) {
	id, err := keptIdentity(k, node)
	if err != nil || id.RaftID != "" {
		return id, err
	}
	id.Version, id.Node, id.RaftID = identityVersion, node, node+"-"+randomHex(4)
	if err := k.Save(id); err != nil {
		return id, fmt.Errorf("save identity: %w", err)
	}
	return id, nil
}

// keptIdentity returns the kept identity, if it is one of the node.
func keptIdentity(k IdentityKeeper, node string) (Identity, error) {
	id, err := k.Load()
	if err != nil {
		return id, fmt.Errorf("load identity: %w", err)
	}
	if id.Node != "" && id.Node != node {
		return id, fmt.Errorf("load identity: it is that of %q, this node is %q: %w", id.Node, node, ErrIdentity)
	}
	return id, nil
}

// Inspect returns the error with which OpenDisk would refuse dir to the node of that name, as far as its identity tells. It changes
// nothing, and a relayd may be using dir.
func Inspect(dir, node string) error {
	found, err := HasLog(dir)
	if err != nil {
		return err
	}
	_, err = keptIdentity(&identityOnDisk{path: filepath.Join(dir, identityFile), lost: !found}, node)
	return err
}

// NewClusterID returns a random cluster id.
func NewClusterID() string { return randomHex(16) }

// NodeOf returns the name of the node that a Raft id belongs to.
func NodeOf(raftID string) string {
	if i := strings.LastIndexByte(raftID, '-'); i > 0 {
		return raftID[:i]
	}
	return raftID
}

func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails (crypto/rand)
	return hex.EncodeToString(b)
}

func (id Identity) join(clusterID string) (Identity, error) {
	switch id.ClusterID {
	case "", clusterID:
		id.ClusterID = clusterID
		return id, nil
	}
	return id, fmt.Errorf("join cluster %s, member of %s: %w", clusterID, id.ClusterID, ErrCluster)
}

// identityOnDisk keeps an identity in a file.
type identityOnDisk struct {
	path string
	lost bool // there was no log when the directory was opened
}

func (k *identityOnDisk) Load() (Identity, error) {
	var id Identity
	f, err := os.Open(k.path)
	if errors.Is(err, os.ErrNotExist) {
		if !k.lost {
			return id, fmt.Errorf("%s is missing beside a log, whose owner is unknown: move data_dir away and start again: %w", k.path, ErrIdentity)
		}
		return id, nil
	}
	if err != nil {
		return id, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxIdentity))
	if err != nil {
		return id, err
	}
	if err := json.Unmarshal(b, &id); err != nil {
		return Identity{}, fmt.Errorf("%s: %w: %w", k.path, err, ErrIdentity)
	}
	if id.Version != identityVersion || id.Node == "" || NodeOf(id.RaftID) != id.Node {
		return Identity{}, fmt.Errorf("%s: version %d, node %q, raft id %q: %w", k.path, id.Version, id.Node, id.RaftID, ErrIdentity)
	}
	if k.lost {
		id.RaftID, id.Founding, id.Joining = "", false, false
	}
	return id, nil
}

func (k *identityOnDisk) Save(id Identity) error {
	b, err := json.Marshal(id)
	if err != nil {
		return err
	}
	k.lost = false
	return ReplaceFile(k.path, append(b, '\n'))
}

// ReplaceFile replaces the file at path, readable by its owner only, such that after a crash it has either the old bytes or the new
// ones. Errors are those of the file system.
func ReplaceFile(path string, b []byte) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	f, err := os.CreateTemp(dir.Name(), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return dir.Sync()
}

// identityInMemory keeps an identity in memory.
type identityInMemory struct{ id Identity }

func (k *identityInMemory) Load() (Identity, error) { return k.id, nil }

func (k *identityInMemory) Save(id Identity) error { k.id = id; return nil }
