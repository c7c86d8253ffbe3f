package simnet_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/simnet"
	"github.com/thinrelay/thinrelay/relay/simnet/memnet"
)

// start runs a network in memory.
func start(t *testing.T, cfg simnet.Config) (*simnet.Network, *memnet.Network) {
	t.Helper()
	mem := memnet.New()
	cfg.Host = func(name string) simnet.Transport { return mem.Host(name) }
	w, err := simnet.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w, mem
}

func replica(t *testing.T, w *simnet.Network, cfg simnet.ReplicaConfig) *simnet.Replica {
	t.Helper()
	r, err := w.Replica(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestReplicaProducesFullRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := start(t, simnet.Config{History: 50, Load: 4, OnEvent: func(e simnet.Event) {
			if testing.Verbose() && e.Kind != simnet.Applied && e.Kind != simnet.Received && e.Kind != simnet.Duplicate {
				t.Log(e.Time.Format("05.000"), e.Node, e.Kind, e.Peer, e.Block, e.Detail)
			}
		}})
		fin := w.Finalizer(simnet.ReplicaConfig{Name: "fin-1", Relays: []string{"up-1:9876"}})
		if err := fin.Start(); err != nil {
			t.Fatal(err)
		}
		replica(t, w, simnet.ReplicaConfig{Name: "nodeos-a", Relays: []string{"up-2:9876"}})
		time.Sleep(18 * time.Second)
		w.Oracle.Begin(w.Chain.Clock.SlotAt(time.Now()) + 2)
		time.Sleep(3*18*time.Second + 2*time.Second)
		r := w.Report()
		t.Logf("%+v", r)
		if got, want := r.Missed, 0; got != want {
			t.Errorf("missed %d, want %d", got, want)
		}
	})
}
