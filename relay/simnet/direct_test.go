package simnet_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/simnet"
)

// Three same-key replicas in the open sign different blocks for every slot, and
// the network switches between them: what a relay is for.
func TestReplicasInTheOpenFork(t *testing.T) {
	for _, legacy := range []bool{false, true} {
		t.Run(fmt.Sprintf("legacy=%v", legacy), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, mem := start(t, simnet.Config{History: 50, Load: 4, Upstreams: 3, Legacy: legacy, NoSignatures: true})
				mem.SetDefaultDelay(3 * time.Millisecond)
				fin := w.Finalizer(simnet.ReplicaConfig{Name: "fin-1", Relays: []string{"up-1:9876"}})
				if err := fin.Start(); err != nil {
					t.Fatal(err)
				}
				for i, name := range []string{"nodeos-a", "nodeos-b", "nodeos-c"} {
					replica(t, w, simnet.ReplicaConfig{Name: name, Relays: []string{fmt.Sprintf("up-%d:9876", i+1)}})
				}
				time.Sleep(10 * time.Second)
				w.Oracle.Begin(w.Chain.Clock.SlotAt(time.Now()))
				time.Sleep(4 * 18 * time.Second)
				r := w.Report()
				t.Logf("slots %d double %d switches %d undone %d missed %d extra %d unlinked %d signed %v", r.SlotsOurs, r.Double, r.ForkSwitches, r.BlocksUndone, r.Missed, r.SignedExtra, r.Unlinked, r.Signed)
				if r.Double < r.SlotsOurs*3/4 {
					t.Errorf("%d heights with two blocks in %d slots, want three of four", r.Double, r.SlotsOurs)
				}
				if got, want := r.ForkSwitches, r.SlotsOurs/4; got < want {
					t.Errorf("%d fork switches, want at least %d", got, want)
				}
				if !legacy && r.Unlinked == 0 {
					t.Error("finality did not cut the losing branches off")
				}
			})
		})
	}
}

// Without transactions the replicas sign the same bytes.
func TestIdleReplicasSignTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := start(t, simnet.Config{History: 50, Upstreams: 3})
		fin := w.Finalizer(simnet.ReplicaConfig{Name: "fin-1", Relays: []string{"up-3:9876"}})
		if err := fin.Start(); err != nil {
			t.Fatal(err)
		}
		for i, name := range []string{"nodeos-a", "nodeos-b"} {
			replica(t, w, simnet.ReplicaConfig{Name: name, Relays: []string{fmt.Sprintf("up-%d:9876", i+1)}})
		}
		time.Sleep(2 * 18 * time.Second)
		r := w.Report()
		t.Logf("slots %d double %d missed %d signed %v", r.SlotsOurs, r.Double, r.Missed, r.Signed)
		if r.Double != 0 {
			t.Errorf("got %d different blocks, want none", r.Double)
		}
		if r.Signed["nodeos-a"] == 0 || r.Signed["nodeos-a"] != r.Signed["nodeos-b"] {
			t.Errorf("signed %v, want the same of both", r.Signed)
		}
	})
}
