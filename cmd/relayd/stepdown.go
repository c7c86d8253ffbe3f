package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/thinrelay/thinrelay/cluster"
	"github.com/thinrelay/thinrelay/cluster/link"
	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/control"
	"github.com/thinrelay/thinrelay/relay/wire"
)

const (
	// gapPoll is how often the end of a gap is looked for.
	gapPoll = 5 * time.Millisecond
	// lostAfter is how long after a hand-over in the middle of a round its lost
	// slots are counted: a follower takes note of one a slot later.
	lostAfter = 1500 * time.Millisecond
	// callLimit bounds a request between members, in bytes and time.
	callLimit     = 64 << 10
	callTimeLimit = time.Minute
	// answerTime is what the way of an answer takes: whoever has asked waits for so
	// much longer than the leader tries.
	answerTime = 500 * time.Millisecond
	// leaderWait is how long a follower waits for a leader to ask: between one and the next nobody leads for a moment.
	leaderWait = 2 * time.Second
)

// measureGap waits until the successor has an upstream, and returns for how
// long no block could leave; nil when that was not seen in time. lost counts
// our slots that passed in it.
func (m *member) measureGap(ctx context.Context, before relay.Status, h cluster.Handover) (gap *int64, lost int) {
	tick := time.NewTicker(gapPoll)
	defer tick.Stop()
	for {
		s, ok := m.node.Status(ctx)
		switch {
		case !ok:
			return nil, 0
		case s.Ended.After(before.Ended) && !s.Successor.IsZero():
			took := max(s.Successor.Sub(s.Ended), h.Took)
			if (before.InRound || s.InRound) && !pause(ctx, lostAfter) { // what is not there by then does not come
				return nil, 0
			}
			ms := took.Milliseconds()
			return &ms, m.journal.missedBetween(s.Ended, s.Ended.Add(took+wire.SlotInterval))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, 0
		}
	}
}

// call is a request of one member to the leader, call.Answer its answer.
type call struct {
	StepDown  string        `json:"step_down"` // the member to lead next, may be empty
	Remaining time.Duration `json:"remaining"`
}

type answer struct {
	StepDown control.StepDown `json:"step_down"`
	Error    *control.Error   `json:"error,omitempty"`
}

// askLeader passes a step-down on to the leader, over the members' own port.
func (a api) askLeader(ctx context.Context, to string, timeout time.Duration) (control.StepDown, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout+answerTime)
	defer cancel()
	name, addr := a.m.awaitLeader(ctx)
	switch name {
	case "":
		return control.StepDown{}, noLeaderKnown()
	case a.m.cfg.Node:
		return a.StepDown(ctx, to, timeout)
	}
	nc, err := a.m.links.Open(ctx, name, addr, link.Call)
	if err != nil { // nothing was asked: it may just have ended, and another one lead soon
		return control.StepDown{}, &control.Error{
			Code: control.CodeNotLeader, Message: fmt.Sprintf("ask the leader %s: %v", name, err),
			Remedy: "look at relayctl status; where it leads still, ask it, and see why this relay does not reach its cluster port",
		}
	}
	defer nc.Close()
	deadline, _ := ctx.Deadline()
	_ = nc.SetDeadline(deadline)
	remaining := time.Until(deadline) - answerTime
	if remaining <= 0 {
		return control.StepDown{}, fmt.Errorf("ask the leader %s: %w", name, context.DeadlineExceeded)
	}
	if err := json.NewEncoder(nc).Encode(call{StepDown: to, Remaining: remaining}); err != nil {
		return control.StepDown{}, fmt.Errorf("ask the leader %s: %w", name, err)
	}
	var got answer
	if err := json.NewDecoder(io.LimitReader(nc, callLimit)).Decode(&got); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = context.DeadlineExceeded // which says that the outcome is not known
		}
		return control.StepDown{}, fmt.Errorf("ask the leader %s: %w", name, err)
	}
	if got.Error != nil {
		return got.StepDown, got.Error
	}
	return got.StepDown, nil
}

// awaitLeader returns who leads, this member included, and where it is reached; after leaderWait without one, nobody.
func (m *member) awaitLeader(ctx context.Context) (name, addr string) {
	ctx, cancel := context.WithTimeout(ctx, leaderWait)
	defer cancel()
	for {
		changed := m.group.Changed()
		if m.group.Status().Role == "leader" {
			return m.cfg.Node, ""
		}
		if name, addr = m.leaderLink(); name != "" {
			return name, addr
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return "", ""
		}
	}
}

// serveCall answers another member's request.
func (m *member) serveCall(ctx context.Context, nc net.Conn) error {
	_ = nc.SetDeadline(time.Now().Add(callTimeLimit))
	var q call
	if err := json.NewDecoder(io.LimitReader(nc, callLimit)).Decode(&q); err != nil {
		return fmt.Errorf("read a member's request: %w", err)
	}
	var out answer
	if m.group.Status().Role != "leader" {
		out.Error = m.notLeader()
	} else {
		var err error
		out.StepDown, err = api{m}.StepDown(ctx, q.StepDown, min(max(q.Remaining, 0), callTimeLimit))
		if err != nil && !errors.As(err, &out.Error) {
			out.Error = &control.Error{Code: control.CodeInternal, Message: err.Error()}
		}
	}
	return json.NewEncoder(nc).Encode(out)
}
