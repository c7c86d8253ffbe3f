//go:build benchpeers

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/wire"
)

const (
	// learnRounds of ours pass before the measured ones: a relay knows whose slot is next when it has seen a producer twice.
	learnRounds = 2
	// early is how long before its slot's time the first group's block comes. A nodeos is early, too.
	early = 350 * time.Millisecond
	// stagger is how far the blocks of one slot are from group to group, so that the groups do not share the processors.
	// The last group's block before our round must come well before the replica would begin the next, which is a slot before its time
	// (relay/predecessor.go): else the mark follows when the replica has built on it, and our first block waits for the quorum.
	stagger = 60 * time.Millisecond
	// idleTime is how long the members are watched before any block.
	idleTime = 10 * time.Second
)

// trial is one group under the replica feed: a slot of 500 ms is half a second, twelve slots of ours follow twelve of the
// network's.
type trial struct {
	name  string
	rtt   time.Duration
	group *group
	up    *peer
	down  *peer
	chain *chain

	sent    []atomic.Int64 // by height above genesis
	arrived []atomic.Int64
	index   []int // 1 to 12 in a round of ours, 0: a block of the network's
}

// quorum measures, in one run, how late each block of a round leaves a group of one and groups of three at distances.
func (rep *report) quorum(ctx context.Context, s *settings) error {
	trials := []*trial{{name: "alone"}}
	for _, ms := range s.Distances {
		trials = append(trials, &trial{name: fmt.Sprintf("three members, RTT %d ms", ms), rtt: time.Duration(ms) * time.Millisecond})
	}
	defer func() {
		for _, t := range trials {
			t.group.close()
		}
	}()
	for _, t := range trials {
		members := 3
		if t.name == "alone" {
			members = 1
		}
		var err error
		if t.group, err = newGroup(ctx, s, members, t.rtt); err == nil {
			t.up, t.down, err = t.group.connect(ctx)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		slots := 2 * director.RoundSlots * (s.OurRounds + learnRounds)
		t.chain = newChain(make([]byte, maxBlock))
		t.sent, t.arrived, t.index = make([]atomic.Int64, slots+1), make([]atomic.Int64, slots+1), make([]int, slots+1)
		t.group.receive(t.down, t.note)
		t.group.receive(t.up, t.note)
	}
	before := usages(trials)
	select {
	case <-time.After(idleTime):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	after := usages(trials)
	var wg sync.WaitGroup
	errs := make([]error, len(trials))
	for i, t := range trials {
		wg.Go(func() { errs[i] = t.run(ctx, s, early-time.Duration(i)*stagger) })
	}
	wg.Wait()
	end := usages(trials)
	for i, t := range trials {
		rep.addTrial(t, after[i].since(before[i]), end[i].since(after[i]))
	}
	return errors.Join(errs...)
}

func usages(trials []*trial) []usage {
	var out []usage
	for _, t := range trials {
		out = append(out, t.group.usage())
	}
	return out
}

// note records that a block has arrived.
func (t *trial) note(num uint32) { t.arrived[num-genesis].Store(now()) }

// run plays the chain: each block that long before its slot's time.
func (t *trial) run(ctx context.Context, s *settings, before time.Duration) error {
	mine, err := wire.ParseName(ours)
	if err != nil {
		return err
	}
	other, err := wire.ParseName(theirs)
	if err != nil {
		return err
	}
	first := (wire.SlotAt(time.Now())/(2*director.RoundSlots) + 1) * 2 * director.RoundSlots // a round of the network's
	for n := 1; n < len(t.sent); n++ {
		slot := first + wire.Slot(n-1)
		inRound := int(slot) % (2 * director.RoundSlots)
		producer, from := other, t.up
		if inRound >= director.RoundSlots {
			producer, from = mine, t.down
			if n > 2*director.RoundSlots*learnRounds {
				t.index[n] = inRound - director.RoundSlots + 1
			}
		}
		select {
		case <-time.After(time.Until(slot.Time().Add(-before))):
		case err := <-t.group.failed:
			return fmt.Errorf("%s, block %d: %w", t.name, n, errors.Join(err, t.group.complaints()))
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		t.chain.slot = slot - 1
		bufs, _ := t.chain.next(producer, s.Sizes[0])
		t.sent[n].Store(now())
		if _, err := bufs.WriteTo(from.c); err != nil {
			return fmt.Errorf("%s: write block %d: %w", t.name, n, err)
		}
	}
	select {
	case <-time.After(time.Second): // for the last ones to arrive
	case <-ctx.Done():
	}
	return nil
}
