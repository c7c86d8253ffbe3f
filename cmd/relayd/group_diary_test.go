package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/thinrelay/thinrelay/cluster/members"
	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/simnet"
)

// write adds a line to what is told if the schedule fails.
func (g *simGroup) write(at time.Time, line func() string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.diary = append(g.diary, func() string { return fmt.Sprintf("%10s  %s\n", at.Sub(g.began).Round(time.Millisecond), line()) })
}

func (g *simGroup) note(format string, args ...any) {
	g.write(time.Now(), func() string { return fmt.Sprintf(format, args...) })
}

// forget begins the diary of another schedule.
func (g *simGroup) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.diary = nil
}

func (g *simGroup) story() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var b strings.Builder
	for _, line := range g.diary {
		b.WriteString(line())
	}
	return b.String()
}

func (g *simGroup) stateText() (s string) {
	for _, n := range simNames {
		m := g.member(n)
		if m == nil {
			s += n + ": dead\n"
			continue
		}
		st := m.group.Status()
		s += fmt.Sprintf("%s: %s term %d leader %q waiting %q mark %s failure %v\n", n, st.Role, st.Term, st.Leader, st.Waiting, st.Mark.Mark, st.Failure)
	}
	for i := range upstreams {
		v, ok := g.net.Upstream(i).View()
		s += fmt.Sprintf("%s: alive %v head %s root %s, %d of %d peers connected, syncing %v\n", upName(i), ok, v.Head, v.Root, v.Connected, v.Peers, v.Syncing)
	}
	for _, r := range g.reps {
		if n := r.Node(); n != nil {
			v, _ := n.View()
			s += fmt.Sprintf("%s: head %s root %s paused %q syncing %v\n", r.Name(), v.Head, v.Root, v.Paused, v.Syncing)
		}
	}
	return s
}

// outside keeps what the upstreams take from relays.
func (g *simGroup) outside(e simnet.Event) {
	if e.Inside || e.Peer != agent {
		return
	}
	if e.Kind == simnet.Invalid {
		g.write(e.Time, func() string { return fmt.Sprintf("%s: %s, %s", e.Node, e.Kind, e.Detail) })
	}
	if e.Block == nil {
		return
	}
	switch e.Kind {
	case simnet.Received, simnet.Unlinkable, simnet.Ignored:
		g.write(e.Time, func() string { return fmt.Sprintf("%s: %s #%d %s", e.Node, e.Kind, e.Block.Num(), e.Block.ID.Short()) })
	default:
	}
}

// observe keeps the records of all members.
func (g *simGroup) observe(name string, r relay.Record) {
	if r.Kind == relay.VoteUp {
		return
	}
	g.write(r.At, func() string {
		return fmt.Sprintf("%s kind=%d %s #%d %s reason=%s cause=%s lead=%s term=%d %s %v", name, r.Kind,
			r.Name, r.Block.Num(), r.Block.ID.Short(), r.Reason, r.Cause, r.Lead, r.Term, r.Text, r.Err)
	})
}

// simGossip sees every member that runs, at once.
type simGossip struct {
	g       *simGroup
	changed chan struct{}
	mu      sync.Mutex
	meta    members.Meta
}

func (s *simGossip) Run(ctx context.Context) error { <-ctx.Done(); return nil }

func (s *simGossip) Update(m members.Meta) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.meta = m
}

func (s *simGossip) Changed() <-chan struct{} { return s.changed }

func (s *simGossip) Members() []members.Member {
	s.g.mu.Lock()
	defer s.g.mu.Unlock()
	list := make([]members.Member, 0, len(simNames))
	for _, n := range simNames {
		m := s.g.members[n].m
		if m == nil {
			continue
		}
		o, ok := m.gossip.(*simGossip)
		if !ok {
			continue
		}
		o.mu.Lock()
		list = append(list, members.Member{Name: n, State: members.Alive, Meta: o.meta})
		o.mu.Unlock()
	}
	return list
}
