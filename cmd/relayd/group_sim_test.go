package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/thinrelay/thinrelay/cluster/members"
	"github.com/thinrelay/thinrelay/cluster/storage"
	"github.com/thinrelay/thinrelay/cluster/transport"
	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/simnet"
	"github.com/thinrelay/thinrelay/relay/simnet/memnet"
)

var groupSeeds = flag.Int("group.seeds", groupSchedules, "how many seeded schedules TestGroupSchedules runs")

var groupFirst = flag.Uint64("group.first", 1, "the first seed")

// Whole members - node, Raft, mutual TLS, links - in fake time, on a network
// that is cut, delayed and killed by a seeded schedule, under transactions. An
// oracle outside looks for a second block of a height and for blocks that do
// not link; after the last fault the group must speak again.
func TestGroupSchedules(t *testing.T) {
	for i := range uint64(*groupSeeds) {
		seed := *groupFirst + i
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { runSchedule(t, seed) })
		})
		if t.Failed() {
			t.Fatalf("replay: go test ./cmd/relayd -run TestGroupSchedules -group.first %d -group.seeds 1", seed)
		}
	}
}

func runSchedule(t *testing.T, seed uint64) {
	dir := t.TempDir()
	if _, err := transport.WriteSet(dir, simNames[:]...); err != nil { // valid now, by the bubble's clock
		t.Fatal(err)
	}
	g := newSimGroup(t, dir, seed)
	defer g.close()
	time.Sleep(20 * time.Second)
	g.net.Oracle.Begin(g.net.Chain.Clock.SlotAt(time.Now()) + 1)
	for range 3 + g.rng.IntN(5) {
		time.Sleep(time.Duration(g.rng.Int64N(int64(9 * time.Second))))
		g.fault()
	}
	g.healAll()
	time.Sleep(25 * time.Second)
	from := g.net.Chain.Clock.SlotAt(time.Now())
	time.Sleep(40 * time.Second)
	r := g.net.Report()
	after := 0
	for _, s := range r.Slots {
		if s.Slot > from && s.OnChain {
			after++
		}
	}
	if r.Double > 0 || r.Unlinked > 0 || after < 12 {
		t.Errorf("double=%d %v unlinked=%d %v, blocks after the last fault=%d; faults:\n%s\n%s",
			r.Double, r.Doubles, r.Unlinked, r.Unlinkeds, after, g.story(), g.stateText())
	}
}

var simNames = [...]string{"eu-1", "us-1", "ap-1"}

// simGroup is three members and a network, in memory.
type simGroup struct {
	t       *testing.T
	dir     string
	rng     *rand.Rand
	mem     *memnet.Network
	net     *simnet.Network
	members map[string]*simMember
	reps    []*simnet.Replica
	began   time.Time
	faults  []string
	mu      sync.Mutex
}

// simMember is one member and what outlives its process.
type simMember struct {
	medium *storage.Medium
	m      *member
	stop   context.CancelFunc
	ended  chan error
}

func newSimGroup(t *testing.T, dir string, seed uint64) *simGroup {
	g := &simGroup{
		t: t, dir: dir, rng: rand.New(rand.NewPCG(seed, 0)), mem: memnet.New(memnet.WithIPs(), memnet.WithDelay(time.Millisecond)),
		members: make(map[string]*simMember), began: time.Now(),
	}
	var err error
	g.net, err = simnet.New(simnet.Config{
		NoSignatures: true, Load: 1, Others: []string{"bpb"}, MaxNodesPerHost: -1, Seed: fmt.Sprint(seed),
		Host:    func(name string) simnet.Transport { return g.mem.Host(name) },
		OnEvent: g.outside,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.net.Start(); err != nil {
		t.Fatal(err)
	}
	for i, a := range simNames {
		for _, b := range simNames[i+1:] {
			d := time.Duration(g.rng.Int64N(int64(40 * time.Millisecond)))
			g.mem.SetDelay(a, b, d)
			g.mem.SetDelay(b, a, d)
		}
		g.members[a] = &simMember{medium: storage.NewMemory()}
	}
	for _, name := range simNames {
		g.start(name)
	}
	for i := range 3 {
		r, err := g.net.Replica(simnet.ReplicaConfig{
			Name: fmt.Sprintf("nodeos-%c", 'a'+i), Relays: []string{simNames[i] + ":9876", simNames[(i+1)%3] + ":9876"},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Start(); err != nil {
			t.Fatal(err)
		}
		g.reps = append(g.reps, r)
	}
	if err := g.net.Finalizer(simnet.ReplicaConfig{Name: "fin-1", Relays: []string{"eu-1:9876", "us-1:9876", "ap-1:9876"}}).Start(); err != nil {
		t.Fatal(err)
	}
	return g
}

// start starts a member's process on what its disk holds.
func (g *simGroup) start(name string) {
	g.t.Helper()
	s := g.members[name]
	host := g.mem.Host(name)
	f := transport.FilesOf(g.dir, name)
	c := DefaultConfig()
	c.Node, c.Region, c.Producers, c.DataDir = name, name[:2], []string{"bpa"}, g.dir
	c.Downstream = DownstreamConfig{Listen: name + ":9876", Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Observers: []string{"fin-1"}}
	c.Upstream.Peers = g.net.Addrs()
	c.Cluster.Listen, c.Cluster.Advertise, c.Cluster.BootstrapExpect = name+":8300", name+":8300", 3
	c.Cluster.TLS = TLSConfig{CA: f.CA, Cert: f.Cert, Key: f.Key}
	c.HTTP.Listen = ""
	p := parts{
		listen:    host.Listen,
		listenAPI: func(Config) (net.Listener, error) { return nil, nil },
		dial:      host.Dial, dialGroup: host.Dial,
		gossip: func(m *member, advertise string) (gossip, func() error, error) {
			return &simGossip{g: g, name: name, changed: make(chan struct{})}, func() error { return nil }, nil
		},
		store:   func() (*storage.Store, error) { return storage.New(s.medium, name, storage.Config{}) },
		chain:   relay.NewChainID(g.net.Chain.ID, nil),
		observe: func(r relay.Record) { g.observe(name, r) },
	}
	ctx, cancel := context.WithCancel(context.Background())
	m, err := openMember(ctx, c, p, hclog.NewNullLogger())
	if err != nil {
		g.t.Fatalf("start %s: %v", name, err)
	}
	g.mu.Lock()
	s.m, s.stop, s.ended = m, cancel, make(chan error, 1)
	g.mu.Unlock()
	go func() { s.ended <- m.run(ctx) }()
}

// kill ends a member's process as kill -9 does: its sockets go at once.
func (g *simGroup) kill(name string) {
	g.mu.Lock()
	s := g.members[name]
	m := s.m
	s.m = nil
	g.mu.Unlock()
	if m == nil {
		return
	}
	g.mem.Kill(name)
	s.stop()
	<-s.ended
}

func (g *simGroup) close() {
	for _, name := range simNames {
		g.kill(name)
	}
	g.net.Close()
	g.mem.Close()
}

// alive returns the names of the members that run.
func (g *simGroup) alive() (names []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, n := range simNames {
		if g.members[n].m != nil {
			names = append(names, n)
		}
	}
	return names
}

func (g *simGroup) leader() string {
	for _, n := range g.alive() {
		if g.members[n].m.group.Status().Role == "leader" {
			return n
		}
	}
	return simNames[0]
}

func (g *simGroup) note(format string, args ...any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.faults = append(g.faults, fmt.Sprintf("%8s  %s", time.Since(g.began).Round(time.Millisecond), fmt.Sprintf(format, args...)))
}

// fault does one thing to the group.
func (g *simGroup) fault() {
	name := simNames[g.rng.IntN(3)]
	if g.rng.IntN(2) == 0 {
		name = g.leader()
	}
	switch g.rng.IntN(8) {
	case 0:
		g.note("kill and restart %s", name)
		g.kill(name)
		time.Sleep(time.Duration(g.rng.Int64N(int64(4 * time.Second))))
		g.start(name)
	case 1:
		g.note("isolate %s from the members", name)
		for _, o := range simNames {
			if o != name {
				g.mem.CutBoth(name, o)
			}
		}
	case 2:
		other := simNames[g.rng.IntN(3)]
		g.note("cut %s -> %s", name, other)
		if other != name {
			g.mem.Cut(name, other)
		}
	case 3:
		g.note("cut %s from its upstreams", name)
		for i := range 2 {
			g.mem.CutBoth(name, fmt.Sprintf("up-%d", i+1))
		}
	case 4:
		l := g.leader()
		g.note("step down %s", l)
		if m := g.members[l].m; m != nil {
			ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
			_, _ = m.group.StepDown(ctx, "")
			cancel()
		}
	case 5:
		r := g.reps[g.rng.IntN(3)]
		g.note("kill and restart replica %s", r.Name())
		if r.Alive() {
			r.Kill()
		}
		time.Sleep(time.Duration(g.rng.Int64N(int64(3 * time.Second))))
		if err := r.Start(); err != nil {
			g.t.Fatal(err)
		}
	case 6:
		g.note("heal everything")
		g.mem.HealAll()
	case 7:
		r := g.reps[g.rng.IntN(3)]
		g.note("cut replica %s from %s", r.Name(), name)
		g.mem.CutBoth(r.Name(), name)
	}
}

func (g *simGroup) healAll() {
	g.mem.HealAll()
	g.note("all healed")
}

func (g *simGroup) story() (s string) {
	for _, f := range g.faults {
		s += f + "\n"
	}
	return s
}

func (g *simGroup) stateText() (s string) {
	for _, n := range g.alive() {
		m := g.members[n].m
		st := m.group.Status()
		s += fmt.Sprintf("%s: %s term %d leader %q waiting %q mark %s\n", n, st.Role, st.Term, st.Leader, st.Waiting, st.Mark.Mark)
	}
	return s
}

// outside keeps what the upstreams take from relays, for the same.
func (g *simGroup) outside(e simnet.Event) {
	if e.Inside || e.Block == nil || e.Peer != agent {
		return
	}
	switch e.Kind {
	case simnet.Received, simnet.Unlinkable, simnet.Ignored, simnet.Invalid:
		g.note("%s: %s #%d %s", e.Node, e.Kind, e.Block.Num(), e.Block.ID.Short())
	default:
	}
}

// observe keeps the last records of all members, for the story of a failure.
func (g *simGroup) observe(name string, r relay.Record) {
	if r.Kind == relay.Network || r.Kind == relay.VoteUp {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.faults = append(g.faults, fmt.Sprintf("%8s  %s kind=%d %s #%d %s reason=%s cause=%s lead=%s term=%d %s %v", r.At.Sub(g.began).Round(time.Millisecond), name, r.Kind,
		r.Name, r.Block.Num(), r.Block.ID.Short(), r.Reason, r.Cause, r.Lead, r.Term, r.Text, r.Err))
}

// simGossip sees every member that runs, at once.
type simGossip struct {
	g       *simGroup
	name    string
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

func (s *simGossip) Members() (list []members.Member) {
	s.g.mu.Lock()
	defer s.g.mu.Unlock()
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
	return slices.Clip(list)
}
