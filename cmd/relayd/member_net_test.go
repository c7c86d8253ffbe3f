package main

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/thinrelay/thinrelay/cluster/members"
)

// hearsay is a gossip that says what it is told to.
type hearsay []members.Member

func (hearsay) Run(context.Context) error   { return nil }
func (h hearsay) Members() []members.Member { return h }
func (hearsay) Update(members.Meta)         {}
func (hearsay) Changed() <-chan struct{}    { return nil }

// A host that was replaced under another name keeps its address; the former name stays in gossip for days. A dial must not insist on
// that one. Nor on one whose configuration was copied with cluster.advertise from the member that is there: it would cut that one off.
func TestNameOfAnAddress(t *testing.T) {
	at := func(name string, state members.State) members.Member {
		return members.Member{Name: name, State: state, Meta: members.Meta{ClusterAddr: "10.0.0.3:8300"}}
	}
	tests := map[string]struct {
		heard hearsay
		want  string
	}{
		"alive":                   {hearsay{at("ap-1", members.Alive)}, "ap-1"},
		"replaced after a crash":  {hearsay{at("ap-1", members.Gone), at("ap-2", members.Alive)}, "ap-2"},
		"replaced after goodbye":  {hearsay{at("ap-1", members.Left), at("ap-2", members.Alive)}, "ap-2"},
		"claimed by another too":  {hearsay{at("aa-1", members.Alive), at("ap-1", members.Alive)}, ""},
		"gone":                    {hearsay{at("ap-1", members.Gone)}, ""},
		"ourselves":               {hearsay{at("eu-1", members.Alive)}, ""},
		"nobody is known by that": {nil, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m := &member{cfg: Config{Node: "eu-1"}, gossip: tt.heard}
			got, ok := m.nameOf("10.0.0.3:8300")
			if got != tt.want || ok != (tt.want != "") {
				t.Errorf("got %q, %v, want %q", got, ok, tt.want)
			}
		})
	}
}

// A certificate of the group's CA is not enough: its name has to be a member's, or be heard, as a newcomer's is.
func TestWhoMayEnter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newSimGroup(t, 1)
		defer g.close()
		g.speaks("at the start")
		inside := g.members[simNames[0]].m
		m := &member{cfg: inside.cfg, gossip: hearsay{{Name: "sa-1", State: members.Alive}, {Name: "sa-2", State: members.Left}}}
		if !m.allowed("sa-3") {
			t.Error("nobody may enter before the group is open: its members could not say hello")
		}
		m.memory.Store(inside.group)
		for name, want := range map[string]bool{simNames[1]: true, "sa-1": true, "sa-2": false, "ops-laptop": false} {
			if got := m.allowed(name); got != want {
				t.Errorf("%s may enter: %v, want %v", name, got, want)
			}
		}
	})
}

// Of containers that start together the names of the others mean nothing at first: a relay that has to find its own address by them goes on trying,
// and says so once a minute.
func TestOwnAddressOnceAMemberIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		join := []string{"127.0.0.1:99999"} // which leads nowhere, without a question to anybody
		said := lineCounter{each: func(n int) {
			if n == 2 {
				join[0] = "127.0.0.1:7946"
			}
		}}
		m := &member{
			cfg: Config{Cluster: ClusterConfig{Listen: "0.0.0.0:8300", Join: join}},
			log: hclog.New(&hclog.LoggerOptions{Output: &said}),
		}
		got := make(chan string, 1)
		look := func() {
			addr, err := m.ownAddr(ctx)
			got <- fmt.Sprint(addr, err)
		}
		from := time.Now()
		go look()
		if got, want := <-got, "127.0.0.1:8300<nil>"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if took, want := time.Since(from), addrTold+addrPause; took != want {
			t.Errorf("found after %s, want %s: a look after the second line, which comes a minute after the first", took, want)
		}

		join[0] = "127.0.0.1:99999"
		go look()
		synctest.Wait()
		stop()
		if got, want := <-got, fmt.Sprint(context.Canceled); got != want {
			t.Errorf("stopped: got %s, want %s", got, want)
		}
	})
}

// lineCounter calls a function with the number of each line that is written to it, in the goroutine that writes.
type lineCounter struct {
	n    int
	each func(n int)
}

func (l *lineCounter) Write(p []byte) (int, error) {
	l.n++
	l.each(l.n)
	return len(p), nil
}
