package simnet_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/simnet"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// After 13 windows of unlinkable blocks the connection is closed; each such
// block brings a handshake first.
func TestUnlinkableBlocksClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, mem := start(t, simnet.Config{History: 50, NoSignatures: true})
		time.Sleep(13 * time.Second)
		d := dialDummy(t, w, mem, "relay", wire.Version9)
		head := w.Upstream(0).Blocks()
		parent, err := w.Chain.Child(head[len(head)-1], head[len(head)-1].Slot+1, head[len(head)-1].Claim, "never sent")
		if err != nil {
			t.Fatal(err)
		}
		sent := 0
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := range 20 {
				time.Sleep(60 * time.Millisecond) // a handshake repeats after 50 ms
				b, err := w.Chain.Child(parent, parent.Slot+1+wire.Slot(i), parent.Claim, "")
				if err != nil {
					return
				}
				if _, err := d.conn.Write(b.Frame()); err != nil {
					return
				}
				sent++
			}
		}()
		_, shakes := d.ended(wire.TypeHandshake)
		<-done
		if want := 15; sent != want { // TCP takes one more

			t.Errorf("closed after %d blocks, want %d", sent, want)
		}
		if want := 13; shakes != want {
			t.Errorf("%d handshakes, want %d", shakes, want)
		}
		r := w.Report()
		if r.Unlinked != 14 {
			t.Errorf("the oracle counts %d unlinked blocks, want 14", r.Unlinked)
		}
	})
}

// The rest of a branch that a node has dropped meanwhile is a breach when it comes in time, and none when it comes late: a
// broken network has held it back, and when it was sent its parent was there.
func TestRestOfADroppedBranch(t *testing.T) {
	for name, tt := range map[string]struct{ late, want int }{"in time": {-1, 1}, "late": {2, 0}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, mem := start(t, simnet.Config{History: 50, NoSignatures: true})
				// Our round, which nobody fills: the branch may be the higher one without being the better.
				now := func() wire.Slot { return w.Chain.Clock.SlotAt(time.Now()) }
				for time.Sleep(13 * time.Second); now()%12 != 0 || w.Chain.ProducerAt(now()+1).String() != "bpa"; {
					time.Sleep(wire.SlotInterval)
				}
				d := dialDummy(t, w, mem, "relay", wire.Version9)
				root, _ := w.Upstream(0).View()
				blocks := w.Upstream(0).Blocks()
				b := blocks[root.Root.Num()-blocks[0].Num()]
				claim := b.Claim
				const before = 22
				for i := range before + 1 {
					next, err := w.Chain.Child(b, b.Slot+1, claim, "another branch")
					if err != nil {
						t.Fatal(err)
					}
					if b = next; i == before {
						time.Sleep(time.Until(b.Slot.Time().Add(time.Duration(tt.late) * wire.SlotInterval).Add(time.Millisecond)))
					}
					if _, err := d.conn.Write(b.Frame()); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(100 * time.Millisecond)
				v, _ := w.Upstream(0).View()
				if v.Root.Num() >= b.Num() {
					t.Fatalf("root %s: the block came too late to tell anything", v.Root)
				}
				if got := w.Report().Unlinked; got != tt.want {
					t.Errorf("the oracle counts %d unlinked blocks, want %d", got, tt.want)
				}
			})
		})
	}
}

// Bytes that break the rules close the connection at once.
func TestInvalidInputCloses(t *testing.T) {
	for name, make := range map[string]func(w *simnet.Network) []byte{
		"vote": func(w *simnet.Network) []byte {
			return wire.Append(nil, &wire.Vote{Block: w.Upstream(0).Blocks()[0].ID, Strong: true})
		},
		"signature": func(w *simnet.Network) []byte {
			blocks := w.Upstream(0).Blocks()
			f := append([]byte(nil), blocks[len(blocks)-1].Frame()...)
			f[5+126+10] ^= 1
			f[5] ^= 1
			return f
		},
		"unknown index": func(*simnet.Network) []byte { return []byte{1, 0, 0, 0, 99} },
		"empty frame":   func(*simnet.Network) []byte { return []byte{0, 0, 0, 0} },
		"huge frame":    func(*simnet.Network) []byte { return []byte{0, 0, 0, 9, 7} },
		"trailing":      func(*simnet.Network) []byte { return append([]byte{10, 0, 0, 0, 6}, make([]byte, 9)...) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, mem := start(t, simnet.Config{History: 50, NoSignatures: true})
				time.Sleep(13 * time.Second)
				d := dialDummy(t, w, mem, "relay", wire.Version9)
				d.write(make(w))
				if after, _ := d.ended(wire.TypeHandshake); after > 100*time.Millisecond {
					t.Errorf("still open after %s", after)
				}
			})
		})
	}
}

// An accepted connection that says nothing for 10 s is closed at the next tick.
func TestSilenceCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, mem := start(t, simnet.Config{History: 50, NoSignatures: true})
		d := dialDummy(t, w, mem, "relay", wire.Version9)
		if after, _ := d.ended(wire.TypeTime); after < 10*time.Second || after > 21*time.Second {
			t.Errorf("closed after %s, want between 10 and 20 s", after)
		}
	})
}

// One connection per host: the second is closed without a word.
func TestOneConnectionPerHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, mem := start(t, simnet.Config{History: 50, NoSignatures: true})
		dialDummy(t, w, mem, "relay", wire.Version9)
		second := dialDummy(t, w, mem, "relay", 0)
		if after, _ := second.ended(wire.TypeGoAway); after > time.Second {
			t.Errorf("second connection open after %s", after)
		}
		if other := dialDummy(t, w, mem, "other", wire.Version9); other.next(wire.TypeBlock) == nil {
			t.Error("another host gets no blocks")
		}
	})
}

// What a peer gets depends on the version it announced and on what it said it
// has.
func TestVersionsAndFlags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, mem := start(t, simnet.Config{History: 500, NoSignatures: true})
		count := func(d *dummy) map[wire.Type]int {
			got := make(map[wire.Type]int)
			for {
				select {
				case f := <-d.in:
					if f == nil {
						return got
					}
					got[f.Type()]++
				case <-time.After(5 * time.Second):
					return got
				}
			}
		}
		time.Sleep(4 * time.Second) // two rounds of blocks lie ahead
		spring := dialDummy(t, w, mem, "spring", wire.Version9)
		leap := dialDummy(t, w, mem, "leap", wire.VersionBase+7)
		mute := dialDummy(t, w, mem, "mute", 0)
		root := w.Chain.Genesis.ID
		root[1] = 0x10 // a root far above everything mutes all blocks below it
		mute.hello(wire.Version9, root, root)
		far := dialDummy(t, w, mem, "far", 0)
		far.hello(wire.Version9, wire.ID{}, wire.ID{})
		time.Sleep(6 * time.Second)
		_ = spring.conn.Close()
		_ = leap.conn.Close()
		_ = far.conn.Close()
		_ = mute.conn.Close()
		if got := count(spring); got[wire.TypeVote] < 10 || got[wire.TypeBlock] < 10 {
			t.Errorf("version 9 got %v, want votes and blocks", got)
		}
		if got := count(leap); got[wire.TypeVote] != 0 || got[wire.TypeBlock] < 10 {
			t.Errorf("version 7 got %v, want blocks only", got)
		}
		if got := count(mute); got[wire.TypeBlock] != 0 || got[wire.TypeVote] < 10 {
			t.Errorf("a peer with a root above the head got %v, want votes and no blocks", got)
		}
		if got := count(far); got[wire.TypeVote] != 0 || got[wire.TypeBlock] != 0 || got[wire.TypeNotice] != 1 {
			t.Errorf("a peer far behind got %v, want one notice and silence", got)
		}
	})
}
