package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/fsm"
	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/control"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// TestForwardedAge takes the time of sending for the block that this member sent, and the slot's for one that another leader did.
func TestForwardedAge(t *testing.T) {
	clock := relay.SystemClock{}
	const slot = 1_697_741_975
	id := wire.ID{0, 0, 1, 0x9f, 7}
	n := relay.Status{At: clock.TimeOf(slot).Add(2 * time.Second)}
	n.State.Mark = fsm.Mark{Last: fsm.BlockID(id), Slot: slot}
	for name, tt := range map[string]struct {
		last sent
		want int64
	}{
		"sent here":               {sent{id, clock.TimeOf(slot).Add(-300 * time.Millisecond)}, 2300},
		"sent by another":         {sent{}, 2000},
		"sent by another, of two": {sent{wire.ID{0, 0, 1, 0x10}, clock.TimeOf(slot - 300)}, 2000},
	} {
		if got := forwarded(n, clock, tt.last).AgeMS; got != tt.want {
			t.Errorf("%s: %d ms ago, want %d", name, got, tt.want)
		}
	}
}

// TestFromLeader counts the voters by the leader's word, and before it has given it by who was heard: a follower that has just stepped down
// said that two of three were heard, and to start the missing one.
func TestFromLeader(t *testing.T) {
	now := time.Now()
	follower := func(name string, stale bool) control.Member {
		return control.Member{Name: name, Role: control.RoleFollower, Stale: stale}
	}
	told := func(age time.Duration, role control.Role, have int) relay.Note {
		body, err := json.Marshal(note{Member: control.Member{Role: role}, Active: "nodeos-a", Quorum: control.Quorum{Have: have}})
		if err != nil {
			t.Fatal(err)
		}
		return relay.Note{From: "us-1", Body: body, At: now, Age: age}
	}
	all := []control.Member{{Name: "us-1", Role: control.RoleLeader}, follower("eu-1", false), follower("ap-1", false)}
	for name, test := range map[string]struct {
		members []control.Member
		told    relay.Note
		quorum  bool
		want    int
	}{
		"by its word":              {all, told(300*time.Millisecond, control.RoleLeader, 3), true, 3},
		"it misses one":            {all, told(300*time.Millisecond, control.RoleLeader, 2), true, 2},
		"its word is a follower's": {all, told(300*time.Millisecond, control.RoleFollower, 2), true, 3},
		"its word is old":          {all, told(3*time.Second, control.RoleLeader, 2), true, 3},
		"no word":                  {all, relay.Note{}, true, 3},
		"one was not heard":        {[]control.Member{all[0], all[1], follower("ap-1", true)}, relay.Note{}, true, 2},
		"no quorum":                {all, told(300*time.Millisecond, control.RoleLeader, 3), false, 1},
	} {
		s := control.Status{Members: test.members, Quorum: control.Quorum{Have: 2, Need: 2, Total: 3, OK: test.quorum}}
		if !test.quorum {
			s.Quorum.Have = 1
		}
		if fromLeader(&s, test.told, now); s.Quorum.Have != test.want {
			t.Errorf("%s: %d voters heard, want %d", name, s.Quorum.Have, test.want)
		}
	}
}

// TestNameSource names the source of the last block, whichever member it is connected to.
func TestNameSource(t *testing.T) {
	n := relay.Status{}
	n.State.Mark.Source = [32]byte{0xe2, 0xe8, 0xe5, 0x33, 1}
	s := control.Status{
		Forwarded: &control.Forwarded{Source: "e2e8e533"},
		Members:   []control.Member{{Name: "ap-1"}, {Name: "eu-1", Replicas: []control.Replica{{Name: "nodeos-b", NodeID: "fb277920"}, {Name: "nodeos-a", NodeID: "e2e8e533"}}}},
	}
	if nameSource(&s, n); s.Forwarded.Source != "nodeos-a" {
		t.Errorf("source %q, want nodeos-a", s.Forwarded.Source)
	}
	s.Members[1].Replicas, s.Forwarded.Source = nil, "e2e8e533"
	if nameSource(&s, n); s.Forwarded.Source != "e2e8e533" {
		t.Errorf("source %q of a replica that has gone, want its id", s.Forwarded.Source)
	}
}
