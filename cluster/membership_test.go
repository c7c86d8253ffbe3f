package cluster_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/thinrelay/thinrelay/cluster"
)

func TestDecide(t *testing.T) {
	peer := func(name string) cluster.Peer {
		return cluster.Peer{Name: name, RaftID: name + "-00000000", Addr: name + ":8300"}
	}
	with := func(name string, f func(*cluster.Peer)) cluster.Peer {
		p := peer(name)
		f(&p)
		return p
	}
	member := func(p *cluster.Peer) { p.ClusterID = "x" }
	state := func(p *cluster.Peer) { p.HasState = true }
	joins := func(p *cluster.Peer) { p.Joins = true }
	noAddr := func(p *cluster.Peer) { p.Addr = "" }
	type peers = []cluster.Peer
	tests := []struct {
		name     string
		self     cluster.Peer
		founding bool
		peers    peers
		expect   int
		found    bool
		start    bool
	}{
		{"alone", peer("a"), false, nil, 1, true, true},
		{"alone, waiting", peer("a"), false, nil, 3, false, false},
		{"two of three", peer("a"), false, peers{peer("b")}, 3, false, false},
		{"three, lowest", peer("a"), false, peers{peer("c"), peer("b")}, 3, true, true},
		{"three, not lowest", peer("b"), false, peers{peer("a"), peer("c")}, 3, false, true},
		{"four of three", peer("a"), false, peers{peer("b"), peer("c"), peer("d")}, 3, false, false},
		{"one has joined", peer("a"), false, peers{peer("b"), with("c", member)}, 3, false, true},
		{"one has joined, fewer seen", peer("a"), false, peers{with("c", member)}, 3, false, true},
		{"one has state", peer("a"), false, peers{peer("b"), with("c", state)}, 3, false, true},
		{"one beside a cluster", peer("a"), false, peers{with("b", member)}, 1, false, true},
		{"own state", with("a", state), false, nil, 1, false, true},
		{"lost its log", with("a", member), false, nil, 1, false, false},
		{"lost its log, others there", with("a", member), false, peers{peer("b"), peer("c")}, 3, false, true},
		{"founding", with("a", member), true, peers{peer("b"), peer("c")}, 3, true, true},
		{"founding, others gone", with("a", member), true, nil, 3, false, false},
		{"founding beside a cluster", with("a", member), true, peers{peer("b"), with("c", state)}, 3, false, true},
		{"join only", peer("a"), false, peers{peer("b")}, 0, false, true},
		{"disk lost, two newcomers, the others not seen", peer("b"), false, peers{with("d", joins), with("e", joins)}, 3, false, false},
		{"first of one, two newcomers", peer("a"), false, peers{with("d", joins), with("e", joins)}, 1, true, true},
		{"join only, nobody", peer("a"), false, nil, 0, false, false},
		{"same name twice", peer("b"), false, peers{peer("b"), peer("c")}, 3, false, false},
		{"no address yet", peer("a"), false, peers{peer("b"), with("c", noAddr)}, 3, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := cluster.Decide(tt.self, tt.founding, tt.peers, tt.expect)
			if (p.Found != nil) != tt.found || p.Start != tt.start || p.Reason == "" {
				t.Errorf("got %+v, want found %v, start %v, and a reason", p, tt.found, tt.start)
			}
			if p.Found != nil && len(p.Found) != tt.expect {
				t.Errorf("founds with %d, want %d", len(p.Found), tt.expect)
			}
		})
	}
}

// A member of a cluster that the others have left, by a recovery or by another foundation, says what is to be done: nobody will call it.
func TestWaitingForAClusterThatIsGone(t *testing.T) {
	peer := func(name, id string) cluster.Peer {
		return cluster.Peer{Name: name, RaftID: name + "-00000000", Addr: name + ":8300", ClusterID: id}
	}
	for name, tt := range map[string]struct {
		founding bool
		peers    []cluster.Peer
		want     bool
	}{
		"all others are in another":       {false, []cluster.Peer{peer("b", "y"), peer("c", "y")}, true},
		"it began one, they made another": {true, []cluster.Peer{peer("b", "y"), peer("c", "y")}, true},
		"one that belongs nowhere":        {false, []cluster.Peer{peer("b", "")}, false},
		"one of its own, and a stray":     {false, []cluster.Peer{peer("b", "y"), peer("c", "x")}, false},
	} {
		p := cluster.Decide(peer("a", "x"), tt.founding, tt.peers, 3)
		if got := strings.Contains(p.Reason, "data_dir"); got != tt.want || p.Found != nil {
			t.Errorf("%s: got %+v, want it to ask for data_dir to be moved away: %v", name, p, tt.want)
		}
	}
}

func TestNextChange(t *testing.T) {
	type ids = map[raft.ServerID]bool
	server := func(id string, suffrage raft.ServerSuffrage) raft.Server {
		return raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(id + "@" + id[:1] + ":8300"), Suffrage: suffrage}
	}
	peer := func(id string) cluster.Peer {
		return cluster.Peer{Name: id[:1], RaftID: id, Addr: id[:1] + ":8300", ClusterID: "x"}
	}
	three := []raft.Server{server("a-1", raft.Voter), server("b-1", raft.Voter), server("c-1", raft.Voter)}
	and := func(s ...raft.Server) []raft.Server { return append(slices.Clone(three), s...) }
	moved, state, foreign := peer("c-1"), peer("d-1"), peer("d-1")
	moved.Addr, state.HasState, foreign.ClusterID = "c:9999", true, "y"
	liar, undone := peer("d-1"), peer("c-2")
	liar.Name, undone.HasState = "e", true
	unknown := undone
	unknown.ClusterID = ""
	cut, cutOther, cutUnknown := state, foreign, state
	cut.Joining, cutOther.Joining, cutOther.HasState, cutUnknown.Joining, cutUnknown.ClusterID = true, true, true, true, ""
	tests := []struct {
		name      string
		servers   []raft.Server
		peers     []cluster.Peer
		alive     ids
		caught    ids
		want      string // "verb id"
		obstacles int
	}{
		{"nothing to do", three, []cluster.Peer{peer("a-1"), peer("b-1"), peer("c-1")}, nil, nil, " ", 0},
		{"silent member stays", three, nil, nil, nil, " ", 0},
		{"newcomer", three, []cluster.Peer{peer("d-1")}, nil, nil, "add as non-voter d-1", 0},
		{"newcomer with a log", three, []cluster.Peer{state}, nil, nil, " ", 1},
		{"newcomer whose joining was cut short", three, []cluster.Peer{cut}, nil, nil, "add as non-voter d-1", 0},
		{"the same, of another cluster", three, []cluster.Peer{cutOther}, nil, nil, " ", 1},
		{"the same, of who knows which", three, []cluster.Peer{cutUnknown}, nil, nil, " ", 1},
		{"of another cluster", three, []cluster.Peer{foreign}, nil, nil, " ", 1},
		{"name and id differ", three, []cluster.Peer{liar}, nil, nil, " ", 0},
		{"newcomer behind", and(server("d-1", raft.Nonvoter)), []cluster.Peer{peer("d-1")}, ids{"d-1": true}, nil, " ", 0},
		{"newcomer caught up, silent", and(server("d-1", raft.Nonvoter)), []cluster.Peer{peer("d-1")}, nil, ids{"d-1": true}, " ", 0},
		{"newcomer caught up", and(server("d-1", raft.Nonvoter)), []cluster.Peer{peer("d-1")}, ids{"d-1": true}, ids{"d-1": true}, "promote to voter d-1", 0},
		{"new address", three, []cluster.Peer{moved}, nil, nil, "change address c-1", 0},
		{"wiped", three, []cluster.Peer{peer("c-2")}, nil, nil, "add as non-voter c-2", 0},
		{"wiped, behind", and(server("c-2", raft.Nonvoter)), []cluster.Peer{peer("c-2")}, ids{"c-2": true}, nil, " ", 0},
		{"wiped, caught up", and(server("c-2", raft.Nonvoter)), []cluster.Peer{peer("c-2")}, ids{"c-2": true}, ids{"c-2": true}, "remove c-1", 0},
		{"wiped twice", and(server("c-2", raft.Nonvoter)), []cluster.Peer{peer("c-3")}, nil, nil, "add as non-voter c-3", 0},
		{"wiped thrice", and(server("c-2", raft.Nonvoter), server("c-3", raft.Nonvoter)), []cluster.Peer{peer("c-4")}, nil, nil, "remove c-2", 0},
		{"wiped, its joining undone", three, []cluster.Peer{undone}, nil, nil, "add as non-voter c-2", 0},
		{"wiped, a log of who knows where", three, []cluster.Peer{unknown}, nil, nil, " ", 1},
		{"same name twice, with a log", three, []cluster.Peer{undone}, ids{"c-1": true}, nil, " ", 1},
		{"same name twice", three, []cluster.Peer{peer("c-2")}, ids{"c-1": true}, nil, " ", 1},
		{"the leader's name", three, []cluster.Peer{peer("a-2")}, nil, nil, " ", 1},
		{"an obstacle stops no other", three, []cluster.Peer{peer("a-2"), peer("d-1")}, nil, nil, "add as non-voter d-1", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			verb, s, obstacles := cluster.NextChange("a-1", "x", tt.servers, tt.peers, tt.alive, tt.caught)
			if got := verb + " " + string(s.ID); got != tt.want || len(obstacles) != tt.obstacles {
				t.Errorf("got %q %v, want %q and %d obstacles", got, obstacles, tt.want, tt.obstacles)
			}
		})
	}
}

func TestWipedMemberRejoins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world3(t)
		defer w.close()
		l := w.leader()
		for range 50 {
			l.mustAdvance()
		}
		m := w.followers(l)[0]
		time.Sleep(time.Second)
		before := m.group.Announce()
		m.kill()
		m.wipe()
		time.Sleep(time.Minute)
		m.start()
		w.voters(l, "a", "b", "c")
		w.until("the new identity to be a voter", 20*time.Second, func() bool {
			for _, x := range l.group.Status().Members {
				if x.Name == m.name {
					return x.RaftID == m.group.Announce().RaftID && x.Voter
				}
			}
			return false
		})
		after := m.group.Announce()
		if after.RaftID == before.RaftID || after.ClusterID != before.ClusterID {
			t.Errorf("identity: %+v, then %+v", before, after)
		}
		w.agreed(l.mustAdvance())
		// It counts now: with it the group survives the loss of another.
		for _, x := range w.followers(l) {
			if x != m {
				x.kill()
			}
		}
		w.agreed(w.leader().mustAdvance())
	})
}

// A member that has a log and no entry is taken in while its name is a member: so is one whose joining was undone with the leader that
// led no more. Here a disk comes back that was replaced.
func TestLogWithoutEntryOfAMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world3(t)
		defer w.close()
		l := w.leader()
		l.mustAdvance()
		m := w.followers(l)[0]
		voter := func(id string) func() bool {
			return func() bool {
				return slices.ContainsFunc(l.group.Status().Members, func(x cluster.Member) bool { return x.RaftID == id && x.Voter })
			}
		}
		former := m.group.Announce().RaftID
		m.kill()
		medium, faults := m.medium, m.faults
		m.wipe()
		m.start()
		present := m.group.Announce().RaftID
		w.until("the new log to count", 20*time.Second, voter(present))
		w.agreed(l.mustAdvance())
		m.kill()
		m.medium, m.faults = medium, faults
		m.start()
		w.until("the former log to count", 20*time.Second, voter(former))
		w.voters(l, "a", "b", "c")
		if present == former || voter(present)() {
			t.Errorf("members %+v, want %s in the place of %s", l.group.Status().Members, former, present)
		}
		w.agreed(l.mustAdvance())
	})
}

// All members lose one disk after the other; the mark stays.
func TestEveryDiskReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world3(t)
		defer w.close()
		w.leader().mustAdvance()
		for _, name := range []string{"a", "b", "c"} {
			m := w.members[name]
			m.kill()
			m.wipe()
			w.leader()
			m.start()
			w.until("a voter again", 30*time.Second, func() bool {
				for _, x := range w.leader().group.Status().Members {
					if x.RaftID == m.group.Announce().RaftID {
						return x.Voter
					}
				}
				return false
			})
			w.agreed(w.leader().mustAdvance()) // so the configuration is committed
		}
		l := w.leader()
		w.voters(l, "a", "b", "c")
		if got := l.group.State().Mark.Height(); got != 4 {
			t.Errorf("height: got %d, want 4", got)
		}
		w.agreed(l.mustAdvance())
	})
}

func TestMembersComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world3(t)
		defer w.close()
		l := w.leader()
		l.mustAdvance()
		w.add("d").start()
		w.voters(l, "a", "b", "c", "d")
		w.agreed(l.mustAdvance())
		d := w.members["d"]
		ctx := context.Background()
		mustErr(t, l.group.Remove(ctx, l.name), cluster.ErrRemoveLeader)
		mustErr(t, l.group.Remove(ctx, "nobody"), cluster.ErrNotMember)
		mustErr(t, d.group.Remove(ctx, "a"), cluster.ErrNotLeader)
		mustErr(t, d.group.Remove(ctx, "d"), cluster.ErrNotLeader) // its own name, but it does not lead
		if err := l.group.Remove(ctx, "d"); err != nil {
			t.Fatal(err)
		}
		w.until("the removed member to stop", 10*time.Second, func() bool { return !d.alive() })
		mustErr(t, d.err, cluster.ErrRemoved)
		w.voters(l, "a", "b", "c")
		d.start() // with its old log: it is not taken in again
		time.Sleep(time.Minute)
		w.voters(l, "a", "b", "c")
		if s := d.group.Status(); !strings.Contains(s.Waiting, "removed") || s.Quorum || !s.Apart {
			t.Errorf("removed member: %+v", s)
		}
		for _, m := range w.members {
			if s := m.group.Status(); s.Apart && m != d {
				t.Errorf("%s says that it is apart: %+v", m.name, s)
			}
		}
		if w.leader() != l {
			t.Error("the removed member has disturbed the leader")
		}
		if err := d.quit(); err != nil {
			t.Error(err)
		}
		d.wipe()
		d.start()
		w.voters(l, "a", "b", "c", "d")
		w.agreed(l.mustAdvance())
	})
}

func TestAddressChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world3(t)
		defer w.close()
		l := w.leader()
		m := w.followers(l)[0]
		if err := m.quit(); err != nil {
			t.Fatal(err)
		}
		m.port = 8301
		l.mustAdvance()
		m.start()
		w.agreed(l.mustAdvance())
		w.until("the new address in the configuration", 5*time.Second, func() bool { // it is reached there before
			return slices.ContainsFunc(l.group.Status().Members, func(x cluster.Member) bool {
				return x.Name == m.name && x.Addr == m.name+":8301" && x.Voter
			})
		})
		if h, err := l.group.StepDown(context.Background(), m.name); err != nil || h.To != m.name {
			t.Errorf("hand-over to the new address: %+v, %v", h, err)
		}
		w.agreed(w.leader().mustAdvance())
	})
}

// More entries than are kept: a member that was away gets a snapshot, one that restarts begins with its own.
func TestSnapshots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world3(t)
		defer w.close()
		l := w.leader()
		m := w.followers(l)[0]
		m.kill()
		for range 600 {
			l.mustAdvance()
		}
		for _, x := range w.members {
			if x.alive() {
				if err := x.group.Snapshot(); err != nil {
					t.Fatal(err)
				}
			}
		}
		m.start()
		w.agreed(l.mustAdvance())
		if err := m.quit(); err != nil {
			t.Fatal(err)
		}
		if err := l.quit(); err != nil {
			t.Fatal(err)
		}
		l.start()
		m.start()
		w.agreed(w.leader().mustAdvance())
		if w.jumps < 3 {
			t.Errorf("%d jumps, want one by the member that was away and one by each that restarted", w.jumps)
		}
	})
}
