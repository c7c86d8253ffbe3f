package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/thinrelay/thinrelay/cluster/storage"
	"github.com/thinrelay/thinrelay/cluster/transport"
	"github.com/thinrelay/thinrelay/fsm"
	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/simnet"
	"github.com/thinrelay/thinrelay/relay/simnet/memnet"
)

var simNames = [...]string{"eu-1", "us-1", "ap-1"}

// upstreams is the number of the network's listening nodes.
const upstreams = 2

// simGroup is three members and a network, in memory.
type simGroup struct {
	t        *testing.T
	dir      string
	rng      *rand.Rand
	mem      *memnet.Network
	net      *simnet.Network
	members  map[string]*simMember
	reps     []*simnet.Replica
	fin      *simnet.Replica
	fin2     *simnet.Replica // a second host with our finalizer's key, which no operator is to have; nil: none
	marks    ledger
	counts   map[string]int // faults by kind
	trouble  trouble
	began    time.Time
	patience time.Duration // of members, with a stop amid our round

	mu        sync.Mutex // guards what follows, and members' m
	diary     []func() string
	unwelcome []string // members whose connections upstreams close on sight
}

// simMember is one member and what outlives its process.
type simMember struct {
	medium *storage.Medium
	disk   *storage.Faults
	m      *member // nil while it is dead
	stop   context.CancelFunc
	ended  chan struct{}
	lives  int // how often it was started
}

func newSimGroup(t *testing.T, seed uint64) *simGroup {
	dir := t.TempDir()
	if _, err := transport.WriteSet(dir, simNames[:]...); err != nil { // valid now, by the bubble's clock
		t.Fatal(err)
	}
	g := &simGroup{
		t: t, dir: dir, rng: rand.New(rand.NewPCG(seed, 1)), mem: memnet.New(memnet.WithIPs(), memnet.WithDelay(time.Millisecond)),
		members: make(map[string]*simMember), marks: ledger{at: make(map[string]int)}, counts: make(map[string]int), began: time.Now(),
	}
	var err error
	g.net, err = simnet.New(simnet.Config{
		NoSignatures: true, Load: 1, Others: []string{"bpb"}, Extra: []string{"boot1", "boot2"}, MaxNodesPerHost: -1, Upstreams: upstreams, Seed: fmt.Sprint(seed),
		// One producer is not enough to bring a chain back on which all pause for want of votes.
		Timing:  simnet.Timing{VotePause: -1},
		Host:    func(name string) simnet.Transport { return g.mem.Host(name) },
		OnEvent: g.outside,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.net.Start(); err != nil {
		t.Fatal(err)
	}
	g.distances()
	for _, name := range simNames {
		g.members[name] = &simMember{}
		g.members[name].wipe()
	}
	for _, name := range simNames {
		g.start(name)
	}
	for i := range simNames {
		r, err := g.net.Replica(simnet.ReplicaConfig{
			Name: fmt.Sprintf("nodeos-%c", 'a'+i), Relays: []string{simNames[i] + ":9876", simNames[(i+1)%3] + ":9876"},
			IgnoreVotes: i == 2 && g.rng.IntN(4) == 0,
		})
		if err != nil {
			t.Fatal(err)
		}
		g.reps = append(g.reps, r)
	}
	g.fin = g.net.Finalizer(simnet.ReplicaConfig{Name: "fin-1", Relays: []string{"eu-1:9876", "us-1:9876", "ap-1:9876"}})
	if g.rng.IntN(4) == 0 {
		g.fin2 = g.net.Finalizer(simnet.ReplicaConfig{Name: "fin-2", Relays: []string{"eu-1:9876", "us-1:9876", "ap-1:9876"}})
	}
	for _, r := range append(g.reps[:3:3], g.fin) {
		if err := r.Start(); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

// distances draws how far the members are from each other.
func (g *simGroup) distances() {
	for i, a := range simNames {
		for _, b := range simNames[i+1:] {
			d := time.Duration(g.rng.Int64N(int64(40 * time.Millisecond)))
			g.mem.SetDelay(a, b, d)
			g.mem.SetDelay(b, a, d)
		}
	}
}

// wipe gives a member an empty disk.
func (s *simMember) wipe() {
	s.medium = storage.NewMemory()
	s.disk = &storage.Faults{Backend: s.medium.Backend}
	s.medium.Backend = s.disk
}

// end lets nothing more of the present process onto the disk, however slow that is.
func (s *simMember) end() {
	s.disk = s.disk.Kill()
	s.medium.Backend = s.disk
}

// start starts a member's process on what its disk holds.
func (g *simGroup) start(name string) {
	g.t.Helper()
	s := g.members[name]
	s.end() // the last life may have ended by itself
	s.disk.Slow(0)
	s.disk.Fail(nil)
	g.marks.begin(name)
	ctx, cancel := context.WithCancel(context.Background())
	m, err := openMember(ctx, g.config(name), g.parts(name), hclog.NewNullLogger())
	if err != nil {
		g.t.Fatalf("start %s: %v", name, err)
	}
	g.mu.Lock()
	s.m, s.stop, s.ended = m, cancel, make(chan struct{})
	s.lives++
	g.mu.Unlock()
	go func() {
		defer close(s.ended)
		err := m.run(ctx)
		g.mu.Lock()
		defer g.mu.Unlock()
		if s.m != m {
			return // killed
		}
		s.m = nil
		if !errors.Is(err, storage.ErrFailed) && (err != nil || ctx.Err() == nil) {
			g.t.Errorf("%s: run: %v", name, err)
		}
	}()
}

func (g *simGroup) config(name string) Config {
	f := transport.FilesOf(g.dir, name)
	c := DefaultConfig()
	c.Node, c.Region, c.Producers, c.DataDir = name, name[:2], []string{"bpa"}, g.dir
	c.Downstream = DownstreamConfig{Listen: name + ":9876", Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Observers: []string{"fin-1", "fin-2"}}
	c.Upstream.Peers = g.net.Addrs()
	c.Cluster.Listen, c.Cluster.Advertise, c.Cluster.BootstrapExpect = name+":8300", name+":8300", 3
	c.Cluster.TLS = TLSConfig{CA: f.CA, Cert: f.Cert, Key: f.Key}
	c.HTTP.Listen = ""
	return c
}

func (g *simGroup) parts(name string) parts {
	host := g.mem.Host(name)
	medium := g.members[name].medium
	return parts{
		listen:    host.Listen,
		listenAPI: func(Config, hclog.Logger) (net.Listener, error) { return nil, nil },
		dial:      g.upstreamDialer(name),
		dialGroup: host.Dial,
		gossip: func(*member, string) (gossip, func() error, error) {
			return &simGossip{g: g, changed: make(chan struct{})}, func() error { return nil }, nil
		},
		store:    func() (*storage.Store, error) { return storage.New(medium, name, storage.Config{}) },
		chain:    relay.NewChainID(g.net.Chain.ID, nil),
		observe:  func(r relay.Record) { g.observe(name, r) },
		patience: g.patience,
		applied:  func(s fsm.State) { g.marks.applied(name, s) },
	}
}

// kill ends a member's process as kill -9 does: its sockets go at once, and it
// writes no more.
func (g *simGroup) kill(name string) {
	g.mu.Lock()
	s := g.members[name]
	m := s.m
	s.m = nil
	g.mu.Unlock()
	if s.ended == nil {
		return
	}
	if m != nil {
		g.mem.Kill(name)
		s.end()
		s.stop()
	}
	<-s.ended
}

// startDead starts the members that are dead, or have ended because their store
// failed, as a service manager does.
func (g *simGroup) startDead() {
	for _, name := range simNames {
		if g.member(name) == nil {
			g.kill(name) // waits for its end
			g.start(name)
		}
	}
}

func (g *simGroup) close() {
	for _, name := range simNames {
		g.kill(name)
	}
	g.net.Close()
	g.mem.Close()
}

// member is the process of a member; nil while it is dead.
func (g *simGroup) member(name string) *member {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.members[name].m
}

// leader is the member that leads; nil when there is none.
func (g *simGroup) leader() (string, *member) {
	for _, n := range simNames {
		if m := g.member(n); m != nil && m.group.Status().Role == "leader" {
			return n, m
		}
	}
	return simNames[0], g.member(simNames[0])
}
