package simnet_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/simnet"
)

// A producer that ignores its predecessor's last block forks it out; further
// back the certificates of the other branch win, and it loses its own round.
func TestMicrofork(t *testing.T) {
	for _, tc := range []struct {
		skip     int
		switches bool
	}{{1, true}, {3, false}} {
		synctest.Test(t, func(t *testing.T) {
			switched := make(map[string]int)
			var mu sync.Mutex
			w, _ := start(t, simnet.Config{History: 50, NoSignatures: true, Load: 2, OnEvent: func(e simnet.Event) {
				if e.Kind == simnet.Switched {
					mu.Lock()
					switched[e.Node] += e.Count
					mu.Unlock()
				}
			}})
			bpc, err := w.Producer("bpc")
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(6 * time.Second) // into the empty round of ours
			bpc.Microfork(tc.skip)
			time.Sleep(30 * time.Second)
			mu.Lock()
			defer mu.Unlock()
			if got := switched["up-1"] > 0; got != tc.switches {
				t.Errorf("skip %d: blocks undone %v", tc.skip, switched)
			}
			if !tc.switches && switched["bpc"] != 12 {
				t.Errorf("skip %d: blocks undone %v, want bpc's round", tc.skip, switched)
			}
			a, _ := w.Upstream(0).View()
			b, _ := w.Upstream(1).View()
			if a.Head.ID != b.Head.ID || a.Head.Num()-a.Root.Num() > 3 {
				t.Errorf("skip %d: heads %s and %s, root %s", tc.skip, a.Head, b.Head, a.Root)
			}
		})
	}
}

// A lagging upstream is behind the others by its lag, and recovers.
func TestLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := start(t, simnet.Config{History: 50, NoSignatures: true, Others: []string{"bpb", "bpc", "bpd", "bpe", "bpf"}})
		w.Upstream(1).Lag(2 * time.Second)
		time.Sleep(30 * time.Second)
		a, _ := w.Upstream(0).View()
		b, _ := w.Upstream(1).View()
		if d := a.Head.Num() - b.Head.Num(); d < 3 || d > 5 {
			t.Errorf("%d blocks behind, want about 4", d)
		}
		w.Upstream(1).Lag(0)
		time.Sleep(10 * time.Second)
		a, _ = w.Upstream(0).View()
		b, _ = w.Upstream(1).View()
		if a.Head.ID != b.Head.ID {
			t.Errorf("heads %s and %s after the lag", a.Head, b.Head)
		}
	})
}

// Each lie makes an honest node close the connection it came over.
func TestLies(t *testing.T) {
	for lie, name := range map[simnet.Lie]string{
		simnet.LieSignature: "signature", simnet.LieSchedule: "schedule", simnet.LieVote: "vote", simnet.LieGarbage: "garbage",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				invalid := 0
				w, _ := start(t, simnet.Config{History: 50, OnEvent: func(e simnet.Event) {
					if e.Node == "nodeos-a" && e.Kind == simnet.Invalid {
						invalid++
					}
				}})
				r := replica(t, w, simnet.ReplicaConfig{Name: "nodeos-a", Relays: []string{"up-1:9876"}})
				time.Sleep(10 * time.Second)
				w.Upstream(0).Lie(lie)
				synctest.Wait()
				if invalid != 1 {
					t.Errorf("%d invalid messages, want 1", invalid)
				}
				if v, _ := r.Node().View(); v.Connected != 0 {
					t.Error("still connected")
				}
				time.Sleep(3 * time.Second)
				if v, _ := r.Node().View(); v.Connected != 1 {
					t.Error("not connected again after a cleanup period")
				}
			})
		})
	}
}

// A sync request that is not served in 5 s is cancelled and the peer closed.
func TestStalledSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stalled := 0
		w, _ := start(t, simnet.Config{History: 3000, NoSignatures: true, OnEvent: func(e simnet.Event) {
			if e.Kind == simnet.SyncStalled {
				stalled++
			}
		}})
		w.Upstream(0).StallSync(true)
		r := replica(t, w, simnet.ReplicaConfig{Name: "nodeos-a", Relays: []string{"up-1:9876"}})
		r.Kill()
		if err := r.StartBehind(1); err != nil {
			t.Fatal(err)
		}
		time.Sleep(12 * time.Second)
		synctest.Wait()
		if stalled != 2 {
			t.Errorf("%d stalls in 12 s, want 2", stalled)
		}
		w.Upstream(0).StallSync(false)
		time.Sleep(30 * time.Second)
		v, _ := r.Node().View()
		up, _ := w.Upstream(0).View()
		if v.Head.ID != up.Head.ID {
			t.Errorf("at %s, want %s", v.Head, up.Head)
		}
	})
}

// Replicas of every release keep up with the network and fill their rounds.
func TestReleases(t *testing.T) {
	for _, release := range []simnet.Release{
		simnet.Spring12, simnet.Spring11, simnet.Spring10, simnet.Leap5, simnet.Leap4, simnet.EOSIO21, simnet.EOSIO20,
	} {
		t.Run(release.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				legacy := release >= simnet.Leap5
				w, mem := start(t, simnet.Config{History: 1500, NoSignatures: true, Load: 2, Legacy: legacy, Release: release})
				mem.SetDefaultDelay(time.Millisecond)
				if !legacy {
					if err := w.Finalizer(simnet.ReplicaConfig{Name: "fin-1", Relays: []string{"up-2:9876"}}).Start(); err != nil {
						t.Fatal(err)
					}
				}
				r := replica(t, w, simnet.ReplicaConfig{Name: "nodeos-a", Relays: []string{"up-1:9876"}, Release: release})
				r.Kill()
				if err := r.StartBehind(20); err != nil {
					t.Fatal(err)
				}
				time.Sleep(20 * time.Second)
				w.Oracle.Begin(w.Chain.Clock.SlotAt(time.Now()) + 1)
				time.Sleep(54 * time.Second)
				rep := w.Report()
				if rep.SlotsOurs < 30 || rep.Missed != 0 || rep.ForkSwitches != 0 {
					rep.Slots = nil
					t.Errorf("%+v, want full rounds", rep)
				}
			})
		})
	}
}

// Leap and EOSIO drop siblings' blocks in their own round; they recover with the
// next producer's, though Leap 5 ignores the first one when it is sent again.
func TestProducingLeapDropsSiblings(t *testing.T) {
	for _, release := range []simnet.Release{simnet.Leap5, simnet.Leap4} {
		t.Run(release.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				ignored := 0
				w, mem := start(t, simnet.Config{
					History: 50, NoSignatures: true, Legacy: true, Load: 2,
					OnEvent: func(e simnet.Event) {
						mu.Lock()
						defer mu.Unlock()
						if e.Kind == simnet.Ignored && e.Detail == "producing" {
							ignored++
						}
					},
				})
				mem.SetDefaultDelay(time.Millisecond)
				a := replica(t, w, simnet.ReplicaConfig{Name: "nodeos-a", Relays: []string{"up-1:9876"}, Release: release})
				b := replica(t, w, simnet.ReplicaConfig{Name: "nodeos-b", Relays: []string{"up-2:9876"}, Release: release})
				inRound(w, 1, 11)
				mu.Lock()
				if ignored < 11 {
					t.Errorf("%d siblings' blocks dropped in a round, want most", ignored)
				}
				mu.Unlock()
				time.Sleep(30 * time.Second)
				up, _ := w.Upstream(0).View()
				for _, r := range []*simnet.Replica{a, b} {
					v, _ := r.Node().View()
					if up.Head.Num()-v.Head.Num() > 12 {
						t.Errorf("%s at %s, want near %s", r.Name(), v.Head, up.Head)
					}
				}
			})
		})
	}
}

// An upstream that was killed comes back at its address and catches up; who was
// connected to it connects again.
func TestUpstreamRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := start(t, simnet.Config{History: 50, NoSignatures: true})
		r := replica(t, w, simnet.ReplicaConfig{Name: "nodeos-a", Relays: []string{"up-1:9876"}})
		time.Sleep(5 * time.Second)
		w.KillUpstream(0)
		time.Sleep(10 * time.Second)
		if v, _ := r.Node().View(); v.Connected != 0 {
			t.Error("still connected")
		}
		if err := w.StartUpstream(0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(15 * time.Second)
		a, _ := w.Upstream(0).View()
		b, _ := w.Upstream(1).View()
		c, _ := r.Node().View()
		if a.Head.ID != b.Head.ID || c.Head.ID != b.Head.ID {
			t.Errorf("heads %s, %s and %s", a.Head, b.Head, c.Head)
		}
		if c.Connected != 1 {
			t.Error("not connected again")
		}
	})
}
