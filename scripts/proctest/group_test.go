package proctest_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/cluster/members"
	"github.com/thinrelay/thinrelay/cluster/transport"
	"github.com/thinrelay/thinrelay/relay/control"
	"github.com/thinrelay/thinrelay/relay/simnet"
)

// relayNames are the members, in the order of their addresses.
var relayNames = []string{"eu-1", "us-1", "ap-1"}

// replicaNames are the replicas; each dials two relays: the one of its region
// and the next.
var replicaNames = []string{"nodeos-a", "nodeos-b", "nodeos-c"}

// upstreamNames are the listening nodes of the network.
var upstreamNames = []string{"up-1", "up-2"}

// group is three relays, each a process, amid a simulated network in this one.
type group struct {
	t        *testing.T // of the scenario under way
	setup    setup
	relays   map[string]*relay
	net      *simnet.Network
	fabric   *fabric
	replicas map[string]*simnet.Replica
	fin      *simnet.Replica
	doors    []string // where replicas dial, by the relays' order
	emitted  *emissions
	random   *rand.Rand
	seeds    [2]uint64
	ca       *transport.CA
	certs    string
	cluster  map[string]string // where relays listen for each other
	gossip   map[string]string // and where they gossip
}

// setup is what can be different about a group.
type setup struct {
	seed    uint64
	wild    bool               // all replicas ignore the vote gate
	apart   time.Duration      // of what relays send each other: how late it is, at least
	prepare func(*relay)       // before its first start
	watch   func(simnet.Event) // told what happens in the network
}

// newGroup starts a group, and waits for its first whole round.
func newGroup(t *testing.T, s setup) *group {
	t.Helper()
	g := &group{
		t: t, setup: s, relays: make(map[string]*relay), replicas: make(map[string]*simnet.Replica), cluster: make(map[string]string),
		emitted: &emissions{seen: make(map[[32]byte]bool)}, seeds: [2]uint64{s.seed, 1},
	}
	g.random = rand.New(rand.NewPCG(g.seeds[0], g.seeds[1]))
	g.certs = t.TempDir()
	ca, err := transport.WriteSet(g.certs, relayNames...)
	if err != nil {
		t.Fatal(err)
	}
	g.ca = ca
	if err := members.WriteKeyFile(filepath.Join(g.certs, "gossip.key")); err != nil {
		t.Fatal(err)
	}
	ip := make(map[string]string)
	for i, name := range relayNames {
		ip[name] = fmt.Sprintf("127.0.6.%d", i+1)
	}
	for i, name := range append(slices.Clone(replicaNames), "fin-1", "fin-2") {
		ip[name] = fmt.Sprintf("127.0.7.%d", i+1)
	}
	g.fabric = newFabric(t, ip, g.who)
	g.fabric.tap = func(w way) io.Writer {
		if !slices.Contains(relayNames, w[0]) || !slices.Contains(upstreamNames, w[1]) {
			return nil
		}
		return g.net.Oracle.Sent(fmt.Sprintf("%s (%d)", w[0], g.relays[w[0]].pid()), w[1])
	}
	if s.apart > 0 {
		for _, name := range relayNames {
			g.fabric.worsen(&impairment{delay: s.apart}, ways(name, relayNames)...)
		}
	}
	g.startNetwork()
	g.startRelays()
	g.startReplicas()
	until(t, time.Minute, "the group works", func() bool { return g.whole() && g.attached() == allAttached() })
	until(t, time.Minute, "a whole round has left", func() bool { return g.emitted.run() >= roundSlots })
	return g
}

// ways are the ways from a party to others.
func ways(a string, others []string) (out []way) {
	for _, b := range others {
		if b != a {
			out = append(out, way{a, b})
		}
	}
	return out
}

// who is the party that a connection is from: by its address, or by the process
// that has its other end.
func (g *group) who(from, to *net.TCPAddr) string {
	for name, ip := range g.fabric.ip {
		if ip == from.IP.String() {
			return name
		}
	}
	pids := make(map[int]string)
	for name, r := range g.relays {
		if pid := r.pid(); pid != 0 {
			pids[pid] = name
		}
	}
	return ownerOf(from, to, pids)
}

// startNetwork starts a network in which every other round is ours. Finality
// does not need our finalizer.
func (g *group) startNetwork() {
	w, err := simnet.New(simnet.Config{
		Others: []string{"bpb"}, Extra: []string{"boot", "boota"}, Upstreams: len(upstreamNames), Load: 4, NoSignatures: true, History: 60,
		Host: func(name string) simnet.Transport { return from{g.fabric.ip[name]} },
		Listen: func(int) string {
			return "127.0.5.1:0"
		},
		OnEvent: func(e simnet.Event) {
			g.emitted.watch(e)
			if g.setup.watch != nil {
				g.setup.watch(e)
			}
		},
	})
	if err != nil {
		g.t.Fatal(err)
	}
	if err := w.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(w.Close)
	g.net = w
	g.emitted.clock = w.Chain.Clock
}

// startRelays starts the relays, each behind proxies, calling through proxies.
func (g *group) startRelays() {
	t := g.t
	gossip, advertised, public := make(map[string]string), make(map[string]string), make(map[string]string)
	for i, name := range relayNames {
		private := fmt.Sprintf("127.0.2.%d", i+1)
		outside := fmt.Sprintf("127.0.1.%d", i+1)
		g.cluster[name] = freeAddr(t, private)
		advertised[name] = g.fabric.expose(t, outside+":0", name, func() string { return g.cluster[name] })
		// gossip is announced with the port it listens on
		free := freeAddr(t, private)
		_, port, _ := net.SplitHostPort(free)
		gossip[name] = free
		public[name] = net.JoinHostPort(outside, port)
		g.fabric.expose(t, public[name], name, func() string { return gossip[name] })
	}
	g.gossip = gossip
	for _, name := range relayNames {
		g.fabric.exposeUDP(t, public[name], name, gossip)
	}
	for i, name := range relayNames {
		join := make([]string, 0, 2)
		for _, other := range relayNames {
			if other != name {
				join = append(join, public[other])
			}
		}
		private := fmt.Sprintf("127.0.2.%d", i+1)
		peers := make([]string, len(upstreamNames))
		for j, up := range upstreamNames {
			peers[j] = g.fabric.exposeTo(t, fmt.Sprintf("127.0.4.%d:0", i+1), name, up, func() string { return g.net.Upstream(j).Addr() })
		}
		yaml := fmt.Sprintf(`region: %s
producers: [bpa]
downstream: {listen: %q, observers: [fin-1, fin-2]}
upstream: {peers: [%q, %q]}
cluster:
  listen: %q
  advertise: %q
  gossip: %q
  join: [%q, %q]
  bootstrap_expect: 3
  tls: {ca: %q, cert: %q, key: %q}
  gossip_key_file: %q
`, name[:2], freeAddr(t, private), peers[0], peers[1], g.cluster[name], advertised[name], gossip[name], join[0], join[1],
			filepath.Join(g.certs, "ca.pem"), filepath.Join(g.certs, name+".pem"), filepath.Join(g.certs, name+"-key.pem"),
			filepath.Join(g.certs, "gossip.key"))
		g.relays[name] = newRelay(t, name, freeAddr(t, private), yaml)
		if g.setup.prepare != nil {
			g.setup.prepare(g.relays[name])
		}
	}
	for _, name := range relayNames {
		g.relays[name].start(t)
	}
}

// startReplicas starts the replicas and the finalizer host.
func (g *group) startReplicas() {
	t := g.t
	at := make([]string, len(relayNames))
	g.doors = at
	for i, name := range relayNames {
		target := g.relays[name].downstream(t)
		at[i] = g.fabric.expose(t, fmt.Sprintf("127.0.3.%d:0", i+1), name, func() string { return target })
	}
	for i, name := range replicaNames {
		r, err := g.net.Replica(g.replicaConfig(i))
		if err != nil {
			t.Fatal(err)
		}
		g.replicas[name] = r
		if err := r.Start(); err != nil {
			t.Fatal(err)
		}
	}
	g.fin = g.net.Finalizer(simnet.ReplicaConfig{Name: "fin-1", Relays: at})
	if err := g.fin.Start(); err != nil {
		t.Fatal(err)
	}
}

// replicaConfig is the i-th replica: it dials the relay of its region and the next.
func (g *group) replicaConfig(i int) simnet.ReplicaConfig {
	return simnet.ReplicaConfig{Name: replicaNames[i], IgnoreVotes: g.setup.wild, Relays: []string{g.doors[i], g.doors[(i+1)%len(g.doors)]}}
}

// downstream is where the relay listens for replicas, by its configuration.
func (r *relay) downstream(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(r.config)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), `downstream: {listen: "`)
	addr, _, ok := strings.Cut(rest, `"`)
	if !ok {
		t.Fatal("no downstream.listen in the configuration")
	}
	return addr
}

// leads is the member that leads, "" when none says so of itself with a quorum.
func (g *group) leads() (name string, s control.Status) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for n, r := range g.relays {
		if r.pid() == 0 {
			continue
		}
		wg.Go(func() {
			got, ok := r.status()
			mu.Lock()
			defer mu.Unlock()
			if ok && got.Leader == n && got.Quorum.OK && got.Term >= s.Term {
				name, s = n, got
			}
		})
	}
	wg.Wait()
	return name, s
}

// leader waits for a leader.
func (g *group) leader() string {
	g.t.Helper()
	var name string
	until(g.t, 30*time.Second, "there is a leader", func() bool { name, _ = g.leads(); return name != "" })
	return name
}

// whole reports a group in which everyone is well.
func (g *group) whole() bool {
	name, s := g.leads()
	if name == "" || s.Quorum.Have != len(relayNames) || s.Quorum.Total != len(relayNames) {
		return false
	}
	up := 0
	for _, u := range s.Upstreams {
		if u.State == control.UpstreamConnected {
			up++
		}
	}
	if up != len(upstreamNames) || s.Active == "" {
		return false
	}
	for _, m := range s.Members {
		if m.Stale || m.Role == control.RoleUnreachable || m.Role == control.RoleNonvoter || m.Upstream == "" || m.Upstream == string(control.UpstreamUnreachable) {
			return false
		}
	}
	return len(s.Members) == len(relayNames)
}

// attached counts the connections of our nodes, by what each relay says of itself: of the others it may tell what was.
func (g *group) attached() (n int) {
	for name, r := range g.relays {
		s, _ := r.status()
		for _, m := range s.Members {
			if m.Name == name {
				n += len(m.Replicas)
			}
		}
	}
	return n
}

// allAttached is what attached counts when all is well: two for each replica,
// and the finalizer host is at every relay. A relay that has just started does
// not know whether a replica that comes back has signed in between, so that the
// loss of another one then is not the loss of one.
func allAttached() int { return 2*len(replicaNames) + len(relayNames) }

// settle waits until the group is whole, whatever was done to it.
func (g *group) settle() {
	g.t.Helper()
	g.fabric.heal(g.t)
	for _, name := range relayNames {
		if r := g.relays[name]; r.pid() == 0 {
			r.start(g.t)
		}
	}
	for _, r := range g.replicas {
		if !r.Alive() {
			if err := r.StartBehind(1 << 20); err != nil {
				g.t.Fatal(err)
			}
		}
	}
	until(g.t, time.Minute, "the group is whole again", func() bool { return g.whole() && g.attached() == allAttached() })
}
