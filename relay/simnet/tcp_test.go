package simnet_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/thinrelay/thinrelay/relay/simnet"
)

// Over real sockets and in real time, at a tenth of the slot length: a replica
// in the same process, and a finalizer that knows nothing but the rules.
func TestRealTimeOverTCP(t *testing.T) {
	defer goleak.VerifyNone(t)
	applied := make(chan simnet.Event, 1<<16)
	cfg := simnet.Config{
		SlotLength: 50 * time.Millisecond, Anchor: time.Now(), Load: 2, MaxNodesPerHost: 4,
		OnEvent: func(e simnet.Event) {
			if e.Node == "up-1" && e.Kind == simnet.Applied {
				applied <- e
			}
		},
	}
	w, err := simnet.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	rules, err := cfg.Rules()
	if err != nil {
		t.Fatal(err)
	}
	chain, err := simnet.NewChain(rules)
	if err != nil {
		t.Fatal(err)
	}
	voter, ok := simnet.NewVoter(chain, chain.Producers[0])
	if !ok {
		t.Fatal("no finalizer of ours")
	}
	fin := simnet.NewReplica(simnet.NodeConfig{
		Name: "fin-1", Chain: chain, Peers: w.Addrs()[:1], Voters: []*simnet.Voter{voter},
	}, nil)
	if err := fin.Start(); err != nil {
		t.Fatal(err)
	}
	defer fin.Kill()
	replica(t, w, simnet.ReplicaConfig{Name: "nodeos-a", Relays: w.Addrs()[1:]})
	limit := time.After(20 * time.Second)
	for ours := 0; ours < 12; {
		select {
		case e := <-applied:
			if e.Block.Producer == chain.Producers[0] {
				ours++
			}
		case <-limit:
			t.Fatalf("%d blocks of ours in 20 s, want 12: %+v", ours, w.Report())
		}
	}
}
