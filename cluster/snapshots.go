package cluster

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/hashicorp/raft"
)

// snapshots is the store's snapshots, with their configurations for who restores them.
type snapshots struct {
	raft.SnapshotStore
	damaged chan struct{} // gets a value when one cannot be opened, or the last one is not found
}

// report reports damage.
func (s snapshots) report() {
	select {
	case s.damaged <- struct{}{}:
	default:
	}
}

// List lists the snapshots.
func (s snapshots) List() ([]*raft.SnapshotMeta, error) {
	list, err := s.SnapshotStore.List()
	if err != nil {
		s.report()
	}
	return list, err
}

// opened is a snapshot that is read. What it is of comes with it, see committed.Restore.
type opened struct {
	io.ReadCloser
	meta *raft.SnapshotMeta
}

// Open opens a snapshot.
func (s snapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	meta, r, err := s.SnapshotStore.Open(id)
	if err != nil {
		s.report()
		return nil, nil, err
	}
	return meta, &opened{r, meta}, nil
}

// renewPause is the pause after a snapshot was taken in the place of one that is damaged.
const renewPause = time.Second

// renew has a leader take a snapshot when it could not find or open its last one, for a member that lacks what the log no longer has. Raft looks at no other one
// (hashicorp/raft v1.8.0, sendLatestSnapshot), and takes the next when the log has grown by a thousand entries: until then that member would get nothing, and the group,
// with one more away, agree on nothing.
func (g *Group) renew(ctx context.Context, n *node) {
	for {
		select {
		case <-n.damaged:
		case <-ctx.Done():
			return
		}
		if _, leading := n.leading(); leading {
			g.log.Warn("the last snapshot cannot be read, taking another one")
			if _, err := g.await(ctx, func() raft.Future { return n.raft.Snapshot() }); err != nil && ctx.Err() == nil {
				g.log.Warn("no other snapshot was taken", "error", err)
			}
		}
		if !pause(ctx, renewPause) {
			return
		}
	}
}

// errStaleSnapshot is returned to a leader whose snapshot was overtaken by what the member has applied since it came.
var errStaleSnapshot = errors.New("this snapshot is older than what was applied")

// takeSnapshot answers a leader's snapshot that holds no more than what this member has applied, and reports whether it did: the member has all of
// it. Raft restores any snapshot of the present term (hashicorp/raft v1.8.0, installSnapshot), also one that was held up on its way, and with it goes
// back to an earlier mark and to an earlier configuration. Of any other snapshot that is looked at again when raft reads it, in its main loop: more
// may have been applied by then.
func takeSnapshot(r *raft.Raft, c *raft.RPC) (answered bool) {
	req, ok := c.Command.(*raft.InstallSnapshotRequest)
	if !ok || r == nil || req.Term < r.CurrentTerm() { // raft refuses an earlier term itself
		return false
	}
	stale := func() bool { return req.LastLogIndex <= r.AppliedIndex() }
	if !stale() {
		c.Reader = &freshReader{Reader: c.Reader, stale: stale}
		return false
	}
	_, err := io.Copy(io.Discard, c.Reader) // the next call comes behind it
	c.Respond(&raft.InstallSnapshotResponse{
		RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax}, Term: req.Term, Success: err == nil,
	}, err)
	return true
}

// freshReader reads a snapshot, unless it is stale when that begins.
type freshReader struct {
	io.Reader
	stale func() bool
	begun bool
	err   error
}

// Read implements io.Reader.
func (f *freshReader) Read(b []byte) (int, error) {
	if !f.begun {
		f.begun = true
		if f.stale() {
			_, err := io.Copy(io.Discard, f.Reader)
			f.err = errors.Join(errStaleSnapshot, err)
		}
	}
	if f.err != nil {
		return 0, f.err
	}
	return f.Reader.Read(b)
}
