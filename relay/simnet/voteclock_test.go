package simnet

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// A block within a second of the last vote counts as one from before it: without votes a node
// pauses some seven seconds after the last one, not six (production_pause_vote_tracker.hpp:13, 220-230).
func TestPauseBeginsASecondLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := NewClock(0, time.Now())
		c := voteClock{active: true}
		c.vote(time.Now(), false)
		c.vote(time.Now(), true)
		begin := time.Now()
		for !c.other.missing(time.Now().Add(-6 * time.Second)) {
			if time.Since(begin) > time.Minute {
				t.Fatal("no pause without votes")
			}
			c.block(clock, clock.SlotAt(time.Now()))
			time.Sleep(100 * time.Millisecond) // fake time
		}
		if after := time.Since(begin); after < 7*time.Second || after > 7600*time.Millisecond {
			t.Errorf("paused %s after the last vote, want 7 to 7.5 s", after)
		}
	})
}

// A vote that a node has already ends no pause: its producer plugin does not hear of it
// (vote_processor.hpp:68-75). A vote that is new to it does.
func TestKnownVoteEndsNoPause(t *testing.T) {
	name, err := wire.ParseName("bpa")
	if err != nil {
		t.Fatal(err)
	}
	chain, err := NewChain(Rules{Producers: []wire.Name{name}, NoSignatures: true})
	if err != nil {
		t.Fatal(err)
	}
	n, err := NewNode(NodeConfig{Name: "nodeos-a", Chain: chain})
	if err != nil {
		t.Fatal(err)
	}
	n.votes.active = true
	cast := func(i int) time.Time {
		n.votes.other.vote = time.Time{}
		n.count(nil, n.db.root, i, wire.Vote{Block: n.db.root.ID, Strong: true, Key: chain.finalizers[i].key})
		return n.votes.other.vote
	}
	if cast(0).IsZero() || !cast(0).IsZero() || cast(1).IsZero() {
		t.Error("want a vote to count once, and each new one")
	}
}

// A vote for the last irreversible block is not heard (vote_processor.hpp:213-215), nor does the producer
// plugin count any before a block has been applied: a process that has just begun is not paused, and is a
// pause's length later unless others vote then (producer_plugin.cpp:441-445, 493-535).
func TestVotesThatDoNotCount(t *testing.T) {
	name, err := wire.ParseName("bpa")
	if err != nil {
		t.Fatal(err)
	}
	chain, err := NewChain(Rules{Producers: []wire.Name{name}, NoSignatures: true})
	if err != nil {
		t.Fatal(err)
	}
	n, err := NewNode(NodeConfig{Name: "nodeos-a", Chain: chain})
	if err != nil {
		t.Fatal(err)
	}
	vote := func(id wire.ID) bool {
		n.votes.other.vote = time.Time{}
		n.onVote(nil, wire.Vote{Block: id, Strong: true, Key: chain.finalizers[0].key, Sig: chain.finalizers[0].sign(id, true)})
		return !n.votes.other.vote.IsZero()
	}
	for _, active := range []bool{false, true} {
		b, err := chain.seal(draft{parent: n.db.best.Block, slot: n.db.best.Slot + 1, producer: name, claim: n.db.best.Claim})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := n.db.add(b); err != nil {
			t.Fatal(err)
		}
		n.votes.active = active
		if vote(n.db.root.ID) || vote(b.ID) != active {
			t.Errorf("a vote counts, or does not; block applied: %v", active)
		}
	}
}
