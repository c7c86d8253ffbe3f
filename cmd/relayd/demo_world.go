package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/memberlist"

	"github.com/thinrelay/thinrelay/cluster/members"
	"github.com/thinrelay/thinrelay/cluster/storage"
	"github.com/thinrelay/thinrelay/cluster/transport"
	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/simnet"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// demoNames are the relays of the demonstration, and where they pretend to be.
var demoNames = [...]string{"eu-1", "us-1", "ap-1"}

// demoWorld is everything the demonstration runs.
type demoWorld struct {
	view     *demoView
	net      *simnet.Network
	relays   []*demoRelay
	replicas []*simnet.Replica
	tally    tally
}

// demoRelay is one relay of it, which can be unplugged.
type demoRelay struct {
	name   string
	member *member
	plug   *plug
	stop   context.CancelFunc
	ended  chan error
}

// newDemoWorld starts everything, in the order an operator would.
func newDemoWorld(ctx context.Context, dir string, view *demoView) (*demoWorld, error) {
	w := &demoWorld{view: view, tally: newTally()}
	var err error
	w.net, err = simnet.New(simnet.Config{Load: 4, MaxNodesPerHost: -1, OnEvent: view.network})
	if err != nil {
		return nil, err
	}
	if err := w.net.Start(); err != nil {
		return nil, err
	}
	if err := w.startRelays(ctx, dir); err != nil {
		w.close()
		return nil, err
	}
	if err := w.startReplicas(); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// startRelays starts the group.
func (w *demoWorld) startRelays(ctx context.Context, dir string) error {
	if _, err := transport.WriteSet(dir, demoNames[:]...); err != nil {
		return err
	}
	key := filepath.Join(dir, "gossip.key")
	if err := members.WriteKeyFile(key); err != nil {
		return err
	}
	ports, err := newDemoPorts(len(demoNames))
	if err != nil {
		return err
	}
	for i, name := range demoNames {
		cfg := w.config(i, ports, dir, key)
		r := &demoRelay{name: name, plug: newPlug(ports), ended: make(chan error, 1)}
		log := hclog.NewNullLogger()
		if r.member, err = openMember(ctx, cfg, w.parts(r), log); err != nil {
			return fmt.Errorf("relay %s: %w", name, err)
		}
		own, stop := context.WithCancel(context.WithoutCancel(ctx))
		r.stop = stop
		go func() { r.ended <- r.member.run(own) }()
		w.relays = append(w.relays, r)
	}
	w.view.line("3 relays start: eu-1, us-1 and ap-1 form a group over mutual TLS", "")
	return nil
}

// config is what an operator would write for one relay.
func (w *demoWorld) config(i int, ports *demoPorts, dir, key string) Config {
	name := demoNames[i]
	f := transport.FilesOf(dir, name)
	c := DefaultConfig()
	c.Node, c.Region, c.DataDir, c.Producers = name, name[:2], dir, []string{"bpa"}
	c.Downstream = DownstreamConfig{Listen: ports.replica[i], Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Observers: []string{"fin-1"}}
	c.Upstream.Peers = w.net.Addrs()
	c.Cluster.Listen, c.Cluster.Gossip, c.Cluster.BootstrapExpect = ports.group[i], ports.gossip[i], len(demoNames)
	c.Cluster.TLS, c.Cluster.GossipKeyFile = TLSConfig{CA: f.CA, Cert: f.Cert, Key: f.Key}, key
	for j, addr := range ports.gossip {
		if j != i {
			c.Cluster.Join = append(c.Cluster.Join, addr)
		}
	}
	c.HTTP.Listen = ""
	return c
}

// parts are real sockets that can be unplugged, and a store in memory.
func (w *demoWorld) parts(r *demoRelay) parts {
	return parts{
		listen:    r.plug.listen,
		listenAPI: func(Config, hclog.Logger) (net.Listener, error) { return nil, nil },
		dial:      r.plug.dial,
		dialGroup: r.plug.dial,
		tune:      func(c *memberlist.Config) { tuneLocal(c) },
		store: func() (*storage.Store, error) {
			return storage.New(storage.NewMemory(), r.name, storage.Config{})
		},
		chain: relay.NewChainID(w.net.Chain.ID, nil),
		observe: func(rec relay.Record) {
			w.tally.add(r.name, rec)
			w.view.relay(r.name, rec)
		},
	}
}

// tuneLocal makes gossip as quick as one machine allows.
func tuneLocal(c *memberlist.Config) {
	local := memberlist.DefaultLocalConfig()
	c.GossipInterval, c.ProbeInterval, c.ProbeTimeout = local.GossipInterval, local.ProbeInterval, local.ProbeTimeout
	c.PushPullInterval, c.SuspicionMult = local.PushPullInterval, local.SuspicionMult
}

// startReplicas starts our nodeos replicas and the finalizer host; each dials
// two relays or more, and nobody else.
func (w *demoWorld) startReplicas() error {
	addrs := make([]string, len(w.relays))
	for i, r := range w.relays {
		addrs[i] = r.member.replica.Addr().String()
	}
	for i, name := range []string{"nodeos-a", "nodeos-b", "nodeos-c"} {
		r, err := w.net.Replica(simnet.ReplicaConfig{Name: name, Relays: []string{addrs[i], addrs[(i+1)%3]}})
		if err != nil {
			return err
		}
		if err := r.Start(); err != nil {
			return err
		}
		w.replicas = append(w.replicas, r)
	}
	w.view.line("3 replicas of bpa start, all with the same key; their only peers are relays", "")
	return w.net.Finalizer(simnet.ReplicaConfig{Name: "fin-1", Relays: addrs}).Start()
}

// leader is the relay that leads, nil when none does.
func (w *demoWorld) leader() *demoRelay {
	for _, r := range w.relays {
		if r.plug.in() && r.member.group.Status().Role == "leader" {
			return r
		}
	}
	return nil
}

// begin starts the oracle's count.
func (w *demoWorld) begin() {
	w.net.Oracle.Begin(w.now() + 1)
	w.tally.reset()
}

func (w *demoWorld) now() wire.Slot { return w.net.Chain.Clock.SlotAt(time.Now()) }

// settle waits until the last slots are final.
func (w *demoWorld) settle() {
	time.Sleep(2 * time.Second)
}

// close ends everything.
func (w *demoWorld) close() {
	var all sync.WaitGroup
	for _, r := range w.relays {
		all.Go(func() {
			r.stop()
			if err := <-r.ended; err != nil && r.plug.in() {
				w.view.line(fmt.Sprintf("%s ended: %v", r.name, err), "")
			}
		})
	}
	all.Wait()
	w.net.Close()
}
