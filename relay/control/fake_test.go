package control_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/relay/control"
)

// fakeNode is a relay that says what a test told it to.
type fakeNode struct {
	mu       sync.Mutex
	status   control.Status
	err      error
	stepDown func(ctx context.Context, to string, timeout time.Duration) (control.StepDown, error)
	remove   func(ctx context.Context, name string) error
	blocks   []control.Block
	events   chan control.Event
}

var (
	_ control.Node       = (*fakeNode)(nil)
	_ control.Membership = (*fakeNode)(nil)
)

func newFakeNode() *fakeNode {
	return &fakeNode{
		status: sampleStatus(),
		events: make(chan control.Event),
		stepDown: func(_ context.Context, to string, _ time.Duration) (control.StepDown, error) {
			if to == "" {
				to = "us-1"
			}
			return control.StepDown{From: "eu-1", To: to, TookMS: 41, GapMS: ptr(int64(63))}, nil
		},
		remove: func(context.Context, string) error { return nil },
	}
}

func (n *fakeNode) Status(context.Context) (control.Status, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.status, n.err
}

func (n *fakeNode) change(f func(*control.Status)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.status.Members = slices.Clone(n.status.Members) // somebody may still be reading the old ones
	f(&n.status)
}

func (n *fakeNode) StepDown(ctx context.Context, to string, timeout time.Duration) (control.StepDown, error) {
	return n.stepDown(ctx, to, timeout)
}

func (n *fakeNode) Blocks(limit int) []control.Block { return n.blocks[:min(limit, len(n.blocks))] }

func (n *fakeNode) RemoveMember(ctx context.Context, name string) error {
	return n.remove(ctx, name)
}

func (n *fakeNode) Events(context.Context) <-chan control.Event { return n.events }

// emit hands events to the server, one after another.
func (n *fakeNode) emit(t *testing.T, events ...control.Event) {
	t.Helper()
	for _, e := range events {
		select {
		case n.events <- e:
		case <-time.After(5 * time.Second):
			t.Fatalf("the server does not take event %s", e.Kind)
		}
	}
}

func ptr[T any](v T) *T { return &v }

// at is the time of the sample status.
func at() time.Time { return time.Date(2026, 11, 22, 12, 4, 6, 542e6, time.UTC) }

// sampleStatus is the healthy group of the design's example.
func sampleStatus() control.Status {
	return control.Status{
		Node: "eu-1", Version: "0.1.0", Time: at(),
		Cluster: control.Cluster{Name: "bpa", ID: "6f0c", ChainID: "aca376f206b8fc25a6ed44dbdc66547c36c6c33e3a119ffbeaef943642f0e906", Producers: []string{"bpa"}},
		Quorum:  control.Quorum{Have: 3, Need: 2, Total: 3, OK: true},
		Term:    41, Leader: "eu-1", LeaderSince: at().Add(-2*time.Hour - 13*time.Minute), LeaderReason: "step-down of us-1",
		Mode: control.ModeVotes, Active: "nodeos-a",
		Forwarded: &control.Forwarded{
			Num: 381223044, ID: "16b90c8402c19fe3" + "6a1f7c0d5be83429aa01c3d2e4f5061728394a5b6c7d8e9f", Slot: 1697630892,
			SlotTime: at().Truncate(500 * time.Millisecond), AgeMS: 42, Source: "nodeos-a",
		},
		NextRoundMS: ptr(int64(88_000)),
		Members: []control.Member{
			{
				Name: "eu-1", Region: "eu", Role: control.RoleLeader, Upstream: "2 connected", Mark: 381223044, DiskP99MS: ptr(4.2), Version: "0.1.0",
				Replicas: []control.Replica{{Name: "nodeos-a", NodeID: "1f00aa12", Active: true, Version: "Spring 1.2.2"}, {Name: "nodeos-b", NodeID: "2e77bc01"}},
			},
			{
				Name: "us-1", Region: "us", Role: control.RoleFollower, Upstream: "reachable", Mark: 381223044, RTTMS: ptr(78.3), DiskP99MS: ptr(5.0), Version: "0.1.0", AgeMS: 300,
				Replicas: []control.Replica{{Name: "nodeos-c", NodeID: "90ab77de"}},
			},
			{
				Name: "ap-1", Region: "ap", Role: control.RoleFollower, Upstream: "reachable", Mark: 381223044, RTTMS: ptr(161.0), DiskP99MS: ptr(3.1), Version: "0.1.0", AgeMS: 300,
				ClockOffsetMS: ptr(61.0), Note: "clock +61ms",
			},
		},
		Upstreams: []control.Upstream{
			{Addr: "seed1.example:9876", State: control.UpstreamConnected, Head: 381223044, RTTMS: ptr(12.5), Node: "eu-1"},
			{Addr: "seed2.example:9876", State: control.UpstreamConnected, Head: 381223044, RTTMS: ptr(31.0), Node: "eu-1"},
		},
		Timeouts: control.Timeouts{HeartbeatMS: 500, ElectionMS: 500, LeaseMS: 250, Auto: true},
	}
}
