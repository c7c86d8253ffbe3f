package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/cluster"
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
		"sent here":               {sent{wire.Block{ID: id, Slot: slot}, wire.ID{}, clock.TimeOf(slot).Add(-300 * time.Millisecond)}, 2300},
		"sent by another":         {sent{}, 2000},
		"sent by another, of two": {sent{wire.Block{ID: wire.ID{0, 0, 1, 0x10}}, wire.ID{}, clock.TimeOf(slot - 300)}, 2000},
	} {
		if got := forwarded(n, clock, tt.last, "", nil).AgeMS; got != tt.want {
			t.Errorf("%s: %d ms ago, want %d", name, got, tt.want)
		}
	}
}

// TestForwardedResting does not show a block of another producer, on which the mark rests until our next block comes, as one that a replica of ours
// made; and not the replica that may speak next as the one that spoke.
func TestForwardedResting(t *testing.T) {
	d := newDiary()
	d.cfg.Producers = []string{"bpa"}
	name := func(text string) wire.Name {
		n, err := wire.ParseName(text)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	slot := d.clock.SlotAt(d.from)
	a, b := wire.ID{0xaa, 1}, wire.ID{0xbb, 1}
	status := func(id wire.ID, slot wire.Slot, source wire.ID) *control.Forwarded {
		n := relay.Status{At: d.from.Add(time.Second), Replicas: []relay.ReplicaStatus{{ID: a, Name: "nodeos-a"}, {ID: b, Name: "nodeos-b"}}}
		n.State.Mark = fsm.Mark{Last: fsm.BlockID(id), Slot: uint32(slot), Source: fsm.NodeID(source)}
		last, producer := d.resting(id)
		return forwarded(n, d.clock, last, producer, []string{"fin-1"})
	}
	block := func(num byte, producer string) wire.Block {
		return wire.Block{ID: wire.ID{0, 0, 0, num, 9}, Slot: slot + wire.Slot(num), Producer: name(producer)}
	}
	theirs, ours, next := block(7, "eosnationftw"), block(8, "bpa"), block(9, "cryptolions")

	d.tell(0, relay.Record{Kind: relay.Network, Block: theirs})
	if f := status(theirs.ID, theirs.Slot, a); f.Num != 7 || f.Source != "" || f.Producer != "eosnationftw" || f.Ours != nil {
		t.Errorf("the mark rests on a block of another: %+v", f)
	}
	d.tell(0, relay.Record{Kind: relay.Network, Block: ours, Source: a})
	if f := status(ours.ID, ours.Slot, b); f.Source != "nodeos-a" || f.Producer != "" || f.Num != 8 {
		t.Errorf("ours, sent by another member, with the mark moved on to nodeos-b: %+v", f)
	}
	d.tell(200*time.Millisecond, relay.Record{Kind: relay.Forwarded, Block: ours, Source: a, Name: "nodeos-a"})
	d.tell(300*time.Millisecond, relay.Record{Kind: relay.Network, Block: ours, Source: b})
	d.tell(400*time.Millisecond, relay.Record{Kind: relay.Network, Block: next})
	f := status(next.ID, next.Slot, b)
	if f.Num != 9 || f.Source != "" || f.Producer != "cryptolions" || f.Ours == nil {
		t.Fatalf("the mark rests on a block of another: %+v", f)
	}
	if o := f.Ours; o.Num != 8 || o.Source != "nodeos-a" || o.AgeMS != 800 {
		t.Errorf("the last block of ours: %+v", o)
	}
	for range othersKept + 1 {
		d.tell(0, relay.Record{Kind: relay.Network, Block: block(200, "eosnationftw")})
	}
	if f := status(next.ID, next.Slot, b); f.Producer != "cryptolions" {
		t.Errorf("long after: %+v", f)
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
	s := control.Status{
		Forwarded: &control.Forwarded{Source: "e2e8e533"},
		Members:   []control.Member{{Name: "ap-1"}, {Name: "eu-1", Replicas: []control.Replica{{Name: "nodeos-b", NodeID: "fb277920"}, {Name: "nodeos-a", NodeID: "e2e8e533"}}}},
	}
	if nameSource(&s); s.Forwarded.Source != "nodeos-a" {
		t.Errorf("source %q, want nodeos-a", s.Forwarded.Source)
	}
	s.Members[1].Replicas, s.Forwarded.Source = nil, "e2e8e533"
	if nameSource(&s); s.Forwarded.Source != "e2e8e533" {
		t.Errorf("source %q of a replica that has gone, want its id", s.Forwarded.Source)
	}
}

// TestActiveByID marks one replica as active where all have the same name, as nodeos that were given none do: all of them had the mark.
func TestActiveByID(t *testing.T) {
	at := func() control.Status {
		return control.Status{Active: "agent", Members: []control.Member{
			{Name: "eu-1", Replicas: []control.Replica{{Name: "agent", NodeID: "aa"}, {Name: "agent", NodeID: "bb", Active: true}}},
			{Name: "us-1", Replicas: []control.Replica{{Name: "agent", NodeID: "aa"}, {Name: "other", NodeID: "cc"}}},
		}}
	}
	for name, test := range map[string]struct {
		id, active string
		want       []bool // in the order of the members
	}{
		"by its id":                      {"aa", "agent", []bool{true, false, true, false}},
		"one that is connected nowhere":  {"dd", "agent", []bool{false, false, false, false}},
		"a leader of an earlier build":   {"", "agent", []bool{true, true, true, false}},
		"none":                           {"", "", []bool{false, false, false, false}},
		"one that is told to be another": {"cc", "other", []bool{false, false, false, true}},
	} {
		s := at()
		s.Active = test.active
		markActive(&s, test.id)
		var got []bool
		for _, m := range s.Members {
			for _, r := range m.Replicas {
				got = append(got, r.Active)
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
	body, err := json.Marshal(note{Active: "agent", ActiveID: "aa"})
	if err != nil {
		t.Fatal(err)
	}
	s := at()
	if id, ok := fromLeader(&s, relay.Note{Body: body}, time.Now()); id != "aa" || !ok {
		t.Errorf("the leader's word: got %q, %v, want aa", id, ok)
	}
	if _, ok := fromLeader(&s, relay.Note{}, time.Now()); ok {
		t.Error("no word of the leader is taken for one")
	}
}

// TestUnresolvedIsTold says at every member why nothing leaves while the leader waits for the network to move past the mark: status told that
// all was well, and later that slots were missed, for which it sent people to the finalizer node.
func TestUnresolvedIsTold(t *testing.T) {
	now := time.Now()
	m := &member{cfg: Config{Node: "us-1"}, metrics: control.NewMetrics("")}
	if got := m.ownNote(relay.Status{At: now, Leading: true}, cluster.Status{Role: "leader"}); got.Stuck {
		t.Error("a leader that waits for nothing says that it does")
	}
	lead := m.ownNote(relay.Status{At: now, Leading: true, Unresolved: now.Add(-time.Second), State: fsm.State{Mark: fsm.Mark{Last: fsm.BlockID{0, 0, 1, 0x9f}}}}, cluster.Status{Role: "leader"})
	body, err := json.Marshal(lead)
	if err != nil {
		t.Fatal(err)
	}
	for age, want := range map[time.Duration]bool{300 * time.Millisecond: true, time.Minute: false} {
		s := control.Status{
			Node: "eu-1", Leader: "us-1", Quorum: control.Quorum{Have: 2, Need: 2, Total: 3, OK: true},
			Members: []control.Member{{Name: "us-1", Role: control.RoleLeader, Upstream: "1 connected", Replicas: []control.Replica{{Name: "nodeos-a"}}}},
		}
		fromLeader(&s, relay.Note{From: "us-1", Body: body, At: now, Age: age}, now)
		s.Assess()
		i := slices.IndexFunc(s.Problems, func(p control.Problem) bool { return p.Code == "unresolved" })
		if got := i >= 0; got != want {
			t.Errorf("its word is %s old: told %v, want %v", age, got, want)
			continue
		}
		if want && (s.Health != control.HealthDown || s.Problems[i].Node != "us-1" || !strings.Contains(s.Problems[i].Text, "the one after #415,")) {
			t.Errorf("got %s, %+v", s.Health, s.Problems[i])
		}
	}
}
