package simnet_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/simnet"
)

// A replica that hears no votes pauses itself after 6 s and follows the chain;
// its other rounds are unharmed once votes come back.
func TestVotePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var paused []string
		w, _ := start(t, simnet.Config{History: 50, NoSignatures: true, Upstreams: 3, OnEvent: func(e simnet.Event) {
			if e.Node == "nodeos-a" && (e.Kind == simnet.Paused || e.Kind == simnet.Resumed) {
				paused = append(paused, e.Kind.String()+" "+e.Detail)
			}
		}})
		// no finalizer of ours anywhere: the votes of the own producer are missing
		replica(t, w, simnet.ReplicaConfig{Name: "nodeos-a", Relays: []string{"up-1:9876"}})
		replica(t, w, simnet.ReplicaConfig{Name: "nodeos-b", Relays: []string{"up-2:9876"}, IgnoreVotes: true})
		time.Sleep(30 * time.Second)
		w.Oracle.Begin(w.Chain.Clock.SlotAt(time.Now()))
		time.Sleep(36 * time.Second)
		synctest.Wait()
		r := w.Report()
		if got := r.Signed["nodeos-a"]; got != 0 {
			t.Errorf("the replica without votes signed %d blocks, want none", got)
		}
		if got := r.Signed["nodeos-b"]; got < 12 {
			t.Errorf("the replica that ignores votes signed %d blocks, want its rounds", got)
		}
		if len(paused) == 0 || paused[0] != "paused no recent votes received from configured producer" {
			t.Errorf("told %q", paused)
		}
		fin := w.Finalizer(simnet.ReplicaConfig{Name: "fin-1", Relays: []string{"up-3:9876"}})
		if err := fin.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(36 * time.Second)
		if got := w.Report().Signed["nodeos-a"]; got < 12 {
			t.Errorf("with votes it signed %d blocks, want a round at least", got)
		}
	})
}

// A replica far behind catches up in chunks and follows live after that.
func TestCatchUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, mem := start(t, simnet.Config{History: 5000, NoSignatures: true})
		mem.SetDefaultDelay(5 * time.Millisecond)
		r := replica(t, w, simnet.ReplicaConfig{Name: "nodeos-a", Relays: []string{"up-1:9876"}})
		time.Sleep(3 * time.Second)
		r.Kill()
		if err := r.StartBehind(1); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		for {
			v, ok := r.Node().View()
			up, _ := w.Upstream(0).View()
			if !ok {
				t.Fatal("replica has ended")
			}
			if v.Head.ID == up.Head.ID {
				break
			}
			if time.Since(begin) > time.Minute {
				t.Fatalf("at %s after a minute, want %s", v.Head, up.Head)
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Logf("caught up in %s", time.Since(begin))
		time.Sleep(20 * time.Second)
		v, _ := r.Node().View()
		up, _ := w.Upstream(0).View()
		if up.Head.Num()-v.Head.Num() > 1 {
			t.Errorf("20 s later at %s, want %s", v.Head, up.Head)
		}
	})
}

// A frozen replica keeps its connection and, thawed, sends the block whose
// deadline passed meanwhile.
func TestFreezeAndThaw(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := start(t, simnet.Config{History: 50, Load: 2, NoSignatures: true})
		fin := w.Finalizer(simnet.ReplicaConfig{Name: "fin-1", Relays: []string{"up-1:9876"}})
		if err := fin.Start(); err != nil {
			t.Fatal(err)
		}
		r := replica(t, w, simnet.ReplicaConfig{Name: "nodeos-a", Relays: []string{"up-2:9876"}})
		inRound(w, 1, 5)
		w.Oracle.Begin(w.Chain.Clock.SlotAt(time.Now()) + 1)
		r.Freeze()
		time.Sleep(1200 * time.Millisecond)
		if got := w.Report().Signed["nodeos-a"]; got != 0 {
			t.Errorf("signed %d blocks while frozen", got)
		}
		r.Thaw()
		time.Sleep(20 * time.Second)
		rep := w.Report()
		var late int
		for _, s := range rep.Slots {
			if s.Emitted && s.LeadMS < 0 {
				late++
			}
		}
		if late != 1 {
			t.Errorf("%d late blocks, want the one that was pending: %+v", late, rep.Slots)
		}
	})
}

// inRound waits for slot i of our round after the given number of rounds.
func inRound(w *simnet.Network, rounds, i int) {
	clock := w.Chain.Clock
	s := clock.SlotAt(time.Now()) + 1
	ours := w.Chain.Producers[0]
	for seen := 0; ; s++ {
		if int(s)%12 == i && w.Chain.ProducerAt(s) == ours {
			if seen++; seen > rounds {
				break
			}
		}
	}
	time.Sleep(time.Until(clock.TimeOf(s)))
}

// Two children of one parent reach the upstream, and the oracle sees it.
func TestEquivocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := start(t, simnet.Config{History: 50, NoSignatures: true})
		fin := w.Finalizer(simnet.ReplicaConfig{Name: "fin-1", Relays: []string{"up-1:9876"}})
		if err := fin.Start(); err != nil {
			t.Fatal(err)
		}
		r := replica(t, w, simnet.ReplicaConfig{Name: "nodeos-a", Relays: []string{"up-2:9876"}})
		inRound(w, 1, 3)
		r.Node().Equivocate(2)
		time.Sleep(5 * time.Second)
		if got, want := w.Report().Double, 2; got != want {
			t.Errorf("%d heights with two blocks, want %d", got, want)
		}
	})
}

// A second child of a block that has one already: the upstream gets it, and its
// author does not build on it.
func TestAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := start(t, simnet.Config{History: 50, NoSignatures: true})
		fin := w.Finalizer(simnet.ReplicaConfig{Name: "fin-1", Relays: []string{"up-1:9876"}})
		if err := fin.Start(); err != nil {
			t.Fatal(err)
		}
		r := replica(t, w, simnet.ReplicaConfig{Name: "nodeos-a", Relays: []string{"up-2:9876"}})
		inRound(w, 1, 3)
		before, _ := r.Node().View()
		r.Node().Again(before.Head.Previous)
		after, _ := r.Node().View()
		if after.Head.ID != before.Head.ID {
			t.Errorf("its head is %s, want %s as before", after.Head, before.Head)
		}
		time.Sleep(time.Second) // fake time
		if got, want := w.Report().Double, 1; got != want {
			t.Errorf("%d heights with two blocks, want %d", got, want)
		}
	})
}
