package simnet_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/simnet"
	"github.com/thinrelay/thinrelay/relay/simnet/memnet"
)

// cluster is a network, a relay of the simplest kind, three replicas under load
// and a finalizer.
func cluster(t *testing.T, gated bool) (*simnet.Network, map[string]*simnet.Replica, *memnet.Network) {
	t.Helper()
	w, mem := start(t, simnet.Config{History: 50, Load: 4, NoSignatures: true})
	mem.SetDefaultDelay(time.Millisecond)
	runProto(t, w, mem, gated)
	relays := []string{"relay:9876"}
	fin := w.Finalizer(simnet.ReplicaConfig{Name: "fin-1", Relays: relays})
	if err := fin.Start(); err != nil {
		t.Fatal(err)
	}
	replicas := make(map[string]*simnet.Replica)
	for _, name := range []string{"nodeos-a", "nodeos-b", "nodeos-c"} {
		replicas[name] = replica(t, w, simnet.ReplicaConfig{Name: name, Relays: relays})
	}
	synctest.Wait()
	time.Sleep(30 * time.Second)
	w.Oracle.Begin(w.Chain.Clock.SlotAt(time.Now()) + 1)
	return w, replicas, mem
}

// Vote-gated, only the active replica signs, and every slot is filled, as was
// measured with real nodes.
func TestVoteGateKeepsStandbysQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _, _ := cluster(t, true)
		time.Sleep(10 * 18 * time.Second)
		r := w.Report()
		if r.Missed != 0 || r.Double != 0 || r.Unlinked != 0 || r.SignedExtra != 0 || r.ForkSwitches != 0 {
			r.Slots = nil
			t.Errorf("%+v, want ten clean rounds", r)
		}
		if r.SlotsOurs < 110 {
			t.Errorf("%d slots judged", r.SlotsOurs)
		}
	})
}

// A kill in mid-round costs at most a slot with standbys that follow, and most
// of the rest of the round with standbys that produce.
func TestKillInRound(t *testing.T) {
	for _, tc := range []struct {
		name     string
		gated    bool
		min, max int
	}{{"gated", true, 0, 1}, {"passive", false, 4, 7}} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, replicas, _ := cluster(t, tc.gated)
				inRound(w, 0, 4)
				replicas[speaker(w)].Kill()
				time.Sleep(40 * time.Second)
				r := w.Report()
				if r.Missed < tc.min || r.Missed > tc.max {
					t.Errorf("missed %d, want %d to %d: %+v", r.Missed, tc.min, tc.max, r.Slots)
				}
				if r.Double != 0 || r.Unlinked != 0 {
					t.Errorf("%d heights twice, %d unlinked", r.Double, r.Unlinked)
				}
				t.Logf("missed %d, signed %v", r.Missed, r.Signed)
			})
		})
	}
}

// speaker is the replica whose blocks the network has.
func speaker(w *simnet.Network) string {
	return w.Oracle.Speaker()
}

// A kill in every round, with the killed replica back before the next: at most a
// slot is lost each time, no height is sent twice, and standbys sign nothing. The
// replica comes back outside our round and more than a vote pause before the
// next: a process that has just started has no old block to miss votes for, and
// produces until it has one.
func TestKillInEveryRound(t *testing.T) {
	const rounds = 24
	synctest.Test(t, func(t *testing.T) {
		w, replicas, _ := cluster(t, true)
		for i := range rounds {
			inRound(w, 0, 0)
			begin := time.Now()
			time.Sleep(time.Duration(i) * 241 * time.Millisecond)
			victim := replicas[speaker(w)]
			victim.Kill()
			time.Sleep(time.Until(begin.Add(8 * time.Second)))
			if err := victim.StartBehind(1 << 20); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(18 * time.Second)
		r := w.Report()
		if r.Missed > rounds || r.Double != 0 || r.Unlinked != 0 || r.SignedExtra != 0 {
			t.Errorf("missed %d in %d kills, %d heights twice, %d unlinked, %d signed by standbys",
				r.Missed, rounds, r.Double, r.Unlinked, r.SignedExtra)
		}
		t.Logf("missed %d of %d, signed %v", r.Missed, r.SlotsOurs, r.Signed)
	})
}
