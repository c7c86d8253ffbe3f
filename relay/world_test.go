package relay_test

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/downstream"
	"github.com/thinrelay/thinrelay/relay/simnet"
	"github.com/thinrelay/thinrelay/relay/simnet/memnet"
	"github.com/thinrelay/thinrelay/relay/upstream"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// world is one relay between a simulated network and its replicas, in memory
// and, inside a synctest bubble, in fake time.
type world struct {
	t        *testing.T
	mem      *memnet.Network
	net      *simnet.Network
	replicas []*simnet.Replica
	fin      *simnet.Replica
	node     *relay.Node
	group    *solo

	mu      sync.Mutex
	records []relay.Record

	stopLead context.CancelFunc
	stop     context.CancelFunc
	ran, led chan error
}

type worldConfig struct {
	mode     director.Mode
	replicas int
	release  simnet.Release
	history  int
	legacy   bool
	load     float64
	quiet    bool // the replicas are made, not started
	alone    bool // nobody but us produces

	unresolvedAfter time.Duration
}

func newWorld(t *testing.T, cfg worldConfig) *world {
	t.Helper()
	w := &world{t: t, mem: memnet.New(memnet.WithIPs())}
	host := func(name string) simnet.Transport { return w.mem.Host(name) }
	var err error
	nc := simnet.Config{NoSignatures: true, Host: host, History: cfg.history, Legacy: cfg.legacy, Load: cfg.load}
	if cfg.alone {
		nc.Others = []string{}
	}
	w.net, err = simnet.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.net.Start(); err != nil {
		t.Fatal(err)
	}
	w.startRelay(cfg)
	for i := range cfg.replicas {
		r, err := w.net.Replica(simnet.ReplicaConfig{
			Name: fmt.Sprintf("nodeos-%c", 'a'+i), Relays: []string{"relay:9876"}, Release: cfg.release, Stale: cfg.alone,
		})
		if err != nil {
			t.Fatal(err)
		}
		w.replicas = append(w.replicas, r)
		if !cfg.quiet {
			w.start(r)
		}
	}
	if !cfg.legacy {
		w.fin = w.net.Finalizer(simnet.ReplicaConfig{Name: "fin-1", Relays: []string{"relay:9876"}})
		w.start(w.fin)
	}
	return w
}

func (w *world) start(r *simnet.Replica) {
	w.t.Helper()
	if err := r.Start(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) startRelay(cfg worldConfig) {
	w.t.Helper()
	h := w.mem.Host("relay")
	ln, err := h.Listen("relay:9876")
	if err != nil {
		w.t.Fatal(err)
	}
	w.node = relay.New(relay.Config{
		Name: "relay", Producers: []wire.Name{mustName(w.t, "bpa")}, Mode: cfg.mode, Observers: []string{"fin-1"}, UnresolvedAfter: cfg.unresolvedAfter,
		Upstream:   upstream.Config{Peers: w.net.Addrs(), Dial: h.Dial},
		Downstream: downstream.Config{Allow: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}},
		Observe:    w.observe,
	})
	group := &solo{node: w.node}
	if w.group != nil { // it starts again
		group.state, group.term = w.group.state, w.group.term
	}
	w.group = group
	ctx, cancel := context.WithCancel(w.t.Context())
	w.stop = cancel
	w.ran, w.led = make(chan error, 1), make(chan error, 1)
	go func() { w.ran <- w.node.Run(ctx, ln) }()
	w.lead()
}

func (w *world) lead() {
	ctx, cancel := context.WithCancel(w.t.Context())
	w.stopLead = cancel
	go func() { w.led <- w.group.lead(ctx) }()
}

func (w *world) observe(r relay.Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r.Kind != relay.VoteUp {
		w.records = append(w.records, r)
	}
}

// close ends everything and waits for it.
func (w *world) close() {
	w.stopLead()
	<-w.led
	w.stop()
	if err := <-w.ran; err != nil {
		w.t.Errorf("Run: %v", err)
	}
	for _, r := range w.replicas {
		r.Kill()
	}
	w.net.Close()
}

// count returns how many records of a kind there were since from.
func (w *world) count(kind relay.RecordKind) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, r := range w.records {
		if r.Kind == kind {
			n++
		}
	}
	return n
}

// dump logs the records, for a test that failed.
func (w *world) dump(most int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	from := max(0, len(w.records)-most)
	for _, r := range w.records[from:] {
		w.t.Logf("%s kind=%d %s #%d %s slot%%12=%d reason=%s cause=%s lead=%v %s %v", r.At.Format("05.000"), r.Kind, r.Name,
			r.Block.Num(), r.Block.ID.Short(), r.Block.Slot%12, r.Reason, r.Cause, r.Lead, r.Text, r.Err)
	}
}

// rounds lets n rounds of the whole schedule pass.
func rounds(n int) { time.Sleep(time.Duration(n) * 18 * time.Second) } // fake time

func (w *world) now() wire.Slot { return relay.SystemClock{}.SlotAt(time.Now()) + 1 }

// brief is a report without its lists.
func brief(r simnet.Report) simnet.Report {
	r.Slots, r.Arrived = nil, nil
	return r
}
