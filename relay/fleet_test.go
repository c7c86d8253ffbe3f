package relay_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/downstream"
	"github.com/thinrelay/thinrelay/relay/gate"
	"github.com/thinrelay/thinrelay/relay/simnet"
	"github.com/thinrelay/thinrelay/relay/simnet/memnet"
	"github.com/thinrelay/thinrelay/relay/upstream"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// fleet is several relays of one group between a simulated network and its
// replicas, joined by links over the network in memory.
type fleet struct {
	t        *testing.T
	mem      *memnet.Network
	net      *simnet.Network
	group    *group
	members  []*member
	replicas []*simnet.Replica
	fin      *simnet.Replica // nil: there is none
	mode     director.Mode
	// mayGiveUp: see fleetConfig.
	mayGiveUp       bool
	meter           relay.Meter
	ring            int
	unresolvedAfter time.Duration

	mu      sync.Mutex
	records []memberRecord
	events  func(simnet.Event)
	link    func(net.Conn) net.Conn // see fleetConfig
}

type memberRecord struct {
	relay.Record
	member string
}

// member is one relay of a fleet.
type member struct {
	f     *fleet
	name  string
	host  *memnet.Host
	node  *relay.Node // nil while it is dead
	cut   bool        // guarded by group.mu
	began time.Time
	dead  atomic.Bool
	still atomic.Int64 // for how long the process is to be stopped, in ns; see stillClock

	stop    context.CancelFunc
	running sync.WaitGroup
	// led is the leadership under way; nil when there is none.
	led  *led
	ups  []net.Conn // to upstreams, also those that have ended; guarded by f.mu, as is away
	away time.Time  // until when it gets no other ones
}

// led is one leadership at one relay.
type led struct {
	term  uint64
	stop  context.CancelFunc
	ended chan struct{}
}

type fleetConfig struct {
	seed    uint64
	relays  int
	mode    director.Mode
	load    float64
	history int
	// dials lists, for each replica, the relays that it dials, by index.
	dials [][]int
	// finalizer lists the relays that the finalizer host dials; the first
	// relay and the second if empty.
	finalizer  []int
	maxPerHost int
	// ring is how many blocks the relays keep; 0: as many as usual.
	ring int
	// change alters the network's configuration.
	change func(*simnet.Config)
	// replica alters a replica's.
	replica func(i int, c *simnet.ReplicaConfig)
	// noFinalizer: there is no finalizer host.
	noFinalizer bool
	quiet       bool
	commit, lag time.Duration
	events      func(simnet.Event)
	meter       relay.Meter
	// mayGiveUp: a leader may end by itself, when what it proposed was overtaken.
	mayGiveUp bool
	// unresolvedAfter is the relays' setting; 0: they wait.
	unresolvedAfter time.Duration
	// link alters both ends of a link.
	link func(net.Conn) net.Conn
}

func newFleet(t *testing.T, cfg fleetConfig) *fleet {
	t.Helper()
	f := &fleet{
		t: t, mem: memnet.New(memnet.WithIPs()), group: newGroup(cfg.seed), mode: cfg.mode, mayGiveUp: cfg.mayGiveUp,
		meter: cfg.meter, ring: cfg.ring, events: cfg.events, link: cfg.link, unresolvedAfter: cfg.unresolvedAfter,
	}
	if f.link == nil {
		f.link = func(nc net.Conn) net.Conn { return nc }
	}
	f.mem.SetDefaultDelay(time.Millisecond)
	if cfg.commit != 0 {
		f.group.commit = cfg.commit
	}
	f.group.lag = cfg.lag
	var err error
	network := simnet.Config{
		NoSignatures: true, Host: func(name string) simnet.Transport { return f.mem.Host(name) },
		History: cfg.history, Load: cfg.load, MaxNodesPerHost: cfg.maxPerHost,
		OnEvent: func(e simnet.Event) {
			if f.events != nil {
				f.events(e)
			}
		},
	}
	if cfg.change != nil {
		cfg.change(&network)
	}
	f.net, err = simnet.New(network)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.net.Start(); err != nil {
		t.Fatal(err)
	}
	for i := range cfg.relays {
		name := fmt.Sprintf("r%d", i+1)
		m := &member{f: f, name: name}
		f.members = append(f.members, m)
		f.group.members = append(f.group.members, m)
		m.start()
	}
	f.appoint(f.members[0], 0)
	for i, dials := range cfg.dials {
		rc := simnet.ReplicaConfig{Name: fmt.Sprintf("nodeos-%c", 'a'+i), Relays: f.addrs(dials)}
		if cfg.replica != nil {
			cfg.replica(i, &rc)
		}
		r, err := f.net.Replica(rc)
		if err != nil {
			t.Fatal(err)
		}
		f.replicas = append(f.replicas, r)
		if !cfg.quiet {
			f.startReplica(r)
		}
	}
	if cfg.finalizer == nil {
		cfg.finalizer = []int{0, min(1, cfg.relays-1)}
	}
	if cfg.noFinalizer {
		return f
	}
	f.fin = f.net.Finalizer(simnet.ReplicaConfig{Name: "fin-1", Relays: f.addrs(cfg.finalizer)})
	f.startReplica(f.fin)
	return f
}

func (f *fleet) addrs(dials []int) (out []string) {
	for _, i := range dials {
		if addr := f.members[i].name + ":9876"; len(out) == 0 || out[0] != addr {
			out = append(out, addr)
		}
	}
	return out
}

func (f *fleet) startReplica(r *simnet.Replica) {
	f.t.Helper()
	if err := r.Start(); err != nil {
		f.t.Fatal(err)
	}
}

// start runs the relay: a new process.
func (m *member) start() {
	f := m.f
	f.t.Helper()
	m.host = f.mem.Host(m.name)
	m.dead.Store(false)
	m.began = time.Now()
	down, err := m.host.Listen(m.name + ":9876")
	if err != nil {
		f.t.Fatal(err)
	}
	links, err := m.host.Listen(m.name + ":8300")
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	node := relay.New(relay.Config{
		Name: m.name, Producers: []wire.Name{mustName(f.t, "bpa")}, Mode: f.mode, Observers: []string{"fin-1", "fin-2"},
		Upstream:   upstream.Config{Peers: f.net.Addrs(), Dial: m.dialUpstream},
		Downstream: downstream.Config{Allow: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}},
		DialSync:   func(ctx context.Context) (net.Conn, error) { return m.dial(ctx, 'S') },
		Meter:      f.meter, UnresolvedAfter: f.unresolvedAfter, Clock: stillClock{still: &m.still},
		RingBlocks: f.ring,
		Observe: func(r relay.Record) {
			if r.Kind == relay.VoteUp {
				return
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			f.records = append(f.records, memberRecord{r, m.name})
		},
	})
	f.group.mu.Lock()
	m.node, m.cut = node, false
	f.group.deliver(m)
	f.group.mu.Unlock()
	m.stop = func() {
		cancel()
		links.Close()
	}
	m.running.Go(func() {
		if err := node.Run(ctx, down); err != nil && !m.dead.Load() {
			f.t.Errorf("%s: Run: %v", m.name, err)
		}
	})
	m.running.Go(func() { m.serveLinks(ctx, node, links) })
	m.running.Go(func() { m.follow(ctx, node) })
}

// dialUpstream opens a connection to an upstream, and lets the oracle see what leaves on
// it, as long as this process lives.
func (m *member) dialUpstream(ctx context.Context, addr string) (net.Conn, error) {
	for left := m.awayFor(); left > 0 && ctx.Err() == nil; left = m.awayFor() {
		wait(ctx, min(left, 10*time.Millisecond)) // it may be back sooner
	}
	c, err := m.host.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	m.f.mu.Lock()
	m.ups = append(m.ups, c)
	m.f.mu.Unlock()
	return m.f.net.Oracle.Watched(c, m.name+m.began.Format(" since 04:05.000"), addr), nil
}

// awayFor is for how long it gets no connection to an upstream.
func (m *member) awayFor() time.Duration {
	m.f.mu.Lock()
	defer m.f.mu.Unlock()
	return time.Until(m.away)
}

// hangUp ends all its connections to upstreams, and there are no other ones for a while.
func (m *member) hangUp(d time.Duration) {
	m.f.mu.Lock()
	defer m.f.mu.Unlock()
	for _, c := range m.ups {
		c.Close()
	}
	m.ups, m.away = nil, time.Now().Add(d)
}

// serveLinks answers other relays.
func (m *member) serveLinks(ctx context.Context, node *relay.Node, ln net.Listener) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		wg.Go(func() {
			head := make([]byte, 2)
			if _, err := io.ReadFull(nc, head); err != nil {
				nc.Close()
				return
			}
			if head[0] == 'S' {
				node.ServeSync(ctx, nc)
				return
			}
			node.ServeLink(ctx, fmt.Sprintf("r%d", head[1]), m.f.link(nc))
		})
	}
}

// dial opens a stream to the leader this relay knows of.
func (m *member) dial(ctx context.Context, purpose byte) (net.Conn, error) {
	leader, _ := m.f.group.current()
	if leader == nil || leader == m {
		return nil, errDeposed
	}
	nc, err := m.host.Dial(ctx, leader.name+":8300")
	if err != nil {
		return nil, err
	}
	_, err = nc.Write([]byte{purpose, m.name[1] - '0'})
	return nc, err
}

// follow keeps a link to whoever leads.
func (m *member) follow(ctx context.Context, node *relay.Node) {
	for ctx.Err() == nil {
		leader, term := m.f.group.current()
		if leader != nil && leader != m {
			once, cancel := context.WithCancel(ctx)
			watch := make(chan struct{})
			go func() {
				defer close(watch)
				for once.Err() == nil {
					if now, _ := m.f.group.current(); now != leader {
						cancel()
					}
					wait(once, 10*time.Millisecond)
				}
			}()
			if nc, err := m.dial(once, 'F'); err == nil {
				node.FollowLink(once, leader.name, m.f.link(nc))
			}
			cancel()
			<-watch
		}
		if _, now := m.f.group.current(); now == term {
			wait(ctx, 50*time.Millisecond)
		}
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// lead runs a leadership of term at this relay.
func (m *member) lead(term uint64, hang bool) {
	f := m.f
	ctx, cancel := context.WithCancel(context.Background())
	l := &led{term: term, stop: cancel, ended: make(chan struct{})}
	m.led = l
	node := m.node
	f.group.mu.Lock()
	f.group.deliver(m)
	f.group.mu.Unlock()
	go func() {
		defer close(l.ended)
		err := node.Lead(ctx, term, &proposer{f.group, m, term, hang})
		if now, t := f.group.current(); ctx.Err() == nil && now == m && t == term && !m.dead.Load() && !f.mayGiveUp {
			f.t.Errorf("%s: the group's leader gave up in term %d: %v", m.name, term, err)
		}
	}()
}

// resign ends the leadership under way and waits.
func (m *member) resign() {
	if m.led != nil {
		m.led.stop()
		<-m.led.ended
		m.led = nil
	}
}

// appoint makes m lead after the gap without a leader; the old leader must
// have ended, or be dead.
func (f *fleet) appoint(m *member, gap time.Duration) {
	if gap > 0 {
		f.group.elect(nil)
		time.Sleep(gap) // fake time
	}
	m.lead(f.group.elect(m), false)
}

// kill ends a relay as kill -9 does: its sockets are gone at once.
func (m *member) kill() {
	m.dead.Store(true)
	m.f.group.mu.Lock()
	m.node, m.cut = nil, true // what it proposes while it falls is not heard
	m.f.group.mu.Unlock()
	m.f.mem.Kill(m.name)
	m.resign()
	m.stop()
	m.running.Wait()
	m.f.mem.Rejoin(m.name)
}

// close ends everything and waits.
func (f *fleet) close() {
	f.group.elect(nil)
	for _, m := range f.members {
		m.resign()
		if m.node != nil {
			m.stop()
			m.running.Wait()
		}
	}
	f.net.Close()
}

// count returns how many records of a kind there were.
func (f *fleet) count(kind relay.RecordKind) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.records {
		if r.Kind == kind {
			n++
		}
	}
	return n
}

// dump logs the last records, for a test that failed.
func (f *fleet) dump(from time.Time, most int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.records {
		if r.At.Before(from) || r.Kind == relay.Network || r.Reason == gate.Duplicate || r.Reason == gate.NotOurs {
			continue
		}
		if most--; most < 0 {
			return
		}
		f.t.Logf("%s %s kind=%d %s #%d %s slot%%12=%d reason=%s cause=%s lead=%v term=%d %s %v", r.At.Format("04:05.000"), r.member, r.Kind, r.Name,
			r.Block.Num(), r.Block.ID.Short(), r.Block.Slot%12, r.Reason, r.Cause, r.Lead, r.Term, r.Text, r.Err)
	}
}

// now is the slot that has not begun yet.
func (f *fleet) now() wire.Slot { return relay.SystemClock{}.SlotAt(time.Now()) + 1 }

// awaitSlot sleeps until the given time before slot i of our next round.
func (f *fleet) awaitSlot(i int, before time.Duration) wire.Slot {
	now := time.Now()
	slot := relay.SystemClock{}.SlotAt(now) + 2
	for slot%12 != 0 || f.net.Chain.ProducerAt(slot) != mustName(f.t, "bpa") {
		slot++
	}
	slot += wire.Slot(i)
	time.Sleep(slot.Time().Sub(now) - before) // fake time
	return slot
}
