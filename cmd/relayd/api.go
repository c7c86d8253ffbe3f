package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/thinrelay/thinrelay/cluster"
	"github.com/thinrelay/thinrelay/fsm"
	"github.com/thinrelay/thinrelay/relay/control"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// api is the member as the control API sees it.
type api struct{ m *member }

var (
	_ control.Node       = api{}
	_ control.Membership = api{}
)

// StepDown implements control.Node. On a follower it asks the leader.
func (a api) StepDown(ctx context.Context, to string, timeout time.Duration) (control.StepDown, error) {
	m := a.m
	if m.gossip == nil {
		return control.StepDown{}, &control.Error{
			Code: control.CodeRefused, Message: "this relay is a group of one: there is nobody to hand over to",
			Remedy: "add members (docs/operations.md), or stop it: nothing is lost outside our rounds",
		}
	}
	if m.group.Status().Role != "leader" {
		return a.askLeader(ctx, to, timeout)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	before, _ := m.node.Status(ctx)
	h, err := m.group.StepDown(ctx, to)
	out := control.StepDown{From: h.From, To: h.To, TookMS: h.Took.Milliseconds()}
	if err != nil {
		return out, m.stepDownError(err, h)
	}
	out.Term = m.group.Status().Term
	out.GapMS, out.Lost = m.measureGap(ctx, before, h)
	m.journal.steppedDown(out)
	return out, nil
}

// stepDownError words a failed hand-over for whoever asked for it.
func (m *member) stepDownError(err error, h cluster.Handover) error {
	if errors.Is(err, cluster.ErrNotLeader) && h.From == "" { // before anything was done
		return m.notLeader()
	}
	e := &control.Error{Code: control.CodeRefused, Message: err.Error(), Remedy: "look at relayctl status, and repeat"}
	switch {
	case errors.Is(err, cluster.ErrNoTarget), errors.Is(err, cluster.ErrNotReady):
		e.Remedy = "relayctl status says which member cannot lead, and why"
	case errors.Is(err, cluster.ErrOtherWon):
		e.Remedy = "the group works; step down again if it has to be that member"
	}
	return e
}

// notLeader says that another member has to be asked.
func (m *member) notLeader() *control.Error {
	return &control.Error{
		Code: control.CodeNotLeader, Message: m.cfg.Node + " does not lead any more", Remedy: "look at relayctl status for who does, and repeat",
	}
}

// RemoveMember implements control.Membership.
func (a api) RemoveMember(ctx context.Context, name string) error {
	err := a.m.group.Remove(ctx, name)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, cluster.ErrNotLeader):
		leader, _ := a.m.group.Leader()
		if leader == "" {
			return noLeaderKnown()
		}
		return &control.Error{Code: control.CodeRefused, Message: err.Error(), Remedy: "ask the leader, " + leader}
	case errors.Is(err, cluster.ErrRemoveLeader):
		return &control.Error{Code: control.CodeRefused, Message: err.Error(), Remedy: "relayctl step-down, then ask the new leader"}
	case errors.Is(err, cluster.ErrFewLeft):
		return &control.Error{Code: control.CodeRefused, Message: err.Error(), Remedy: "relayctl status says which members do not answer or are behind"}
	case errors.Is(err, cluster.ErrNotMember):
		return &control.Error{
			Code: control.CodeNotFound, Message: fmt.Sprintf("no member is named %q", name),
			Remedy: "choose one of " + strings.Join(a.m.memberNames(), ", "),
		}
	}
	return fmt.Errorf("remove member %s: %w", name, err)
}

// memberNames are the members of the group, in order.
func (m *member) memberNames() (names []string) {
	for _, o := range m.group.Status().Members {
		names = append(names, o.Name)
	}
	slices.Sort(names)
	return slices.Compact(names) // one that comes back without its log is there twice for a while
}

// noLeaderKnown says that there is nobody to ask.
func noLeaderKnown() *control.Error {
	return &control.Error{
		Code: control.CodeNoQuorum, Message: "no leader is known", Remedy: "bring the missing members back: relayctl status names them",
	}
}

// Blocks implements control.Node.
func (a api) Blocks(limit int) []control.Block {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	list := a.m.node.Blocks(ctx, limit)
	out := make([]control.Block, 0, len(list))
	for _, b := range list {
		c := control.Block{
			Num: b.Block.Num(), ID: b.Block.ID.String(), Previous: b.Block.Previous.String(), Slot: uint32(b.Block.Slot),
			SlotTime: a.m.journal.clock.TimeOf(b.Block.Slot), Producer: b.Block.Producer.String(), State: control.BlockNetwork, Source: b.Name,
		}
		if b.Emitted {
			c.State = control.BlockForwarded
			if slices.Contains(a.m.cfg.Downstream.Observers, c.Source) {
				c.Source = "" // it brought here what another member sent
			}
		}
		out = append(out, c)
	}
	out = a.m.journal.completed(out)
	slices.SortStableFunc(out, func(x, y control.Block) int { return cmp.Compare(y.Num, x.Num) })
	return out[:min(len(out), limit)]
}

// Events implements control.Node.
func (a api) Events(ctx context.Context) <-chan control.Event { return a.m.journal.events(ctx) }

// short is the first 8 digits of a node id.
func short(id [32]byte) string { return hex.EncodeToString(id[:4]) }

// slotOf is the slot of the mark's block.
func slotOf(m fsm.Mark) wire.Slot { return wire.Slot(m.Slot) }

func ms(d time.Duration) *float64 {
	f := float64(d.Microseconds()) / 1000
	return &f
}
