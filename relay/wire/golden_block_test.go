package wire_test

import (
	"strings"
	"testing"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// chain is all blocks of a folder of recordings, by id.
type chain map[wire.ID]wire.Block

func recordedChain(tb testing.TB, dir string) chain {
	tb.Helper()
	blocks := chain{}
	each(tb, dir, wire.TypeBlock, func(name string, f *wire.Frame) {
		b, err := wire.ParseBlock(f.Body())
		if err != nil {
			tb.Fatalf("%s: %v", name, err)
		}
		if b.Num() != b.ID.Num() {
			tb.Errorf("%s: block %d has id %s", name, b.Num(), b.ID)
		}
		blocks[b.ID] = b
	})
	return blocks
}

// each runs fn on every recorded frame of a type.
func each(tb testing.TB, dir string, typ wire.Type, fn func(name string, f *wire.Frame)) {
	tb.Helper()
	folder(tb, dir, func(name string, all []*wire.Frame) {
		for _, f := range all {
			if f.Type() == typ {
				fn(name, f)
			}
		}
	})
}

// TestCapturedChains checks ids against the chain itself: an id is right if a
// later block names it. In every recording every block but the first links.
func TestCapturedChains(t *testing.T) {
	want := map[string]int{"relay-votes": 232, "relay-passive": 249, "nodes": 214, "legacy": 98}
	for _, dir := range folders {
		blocks := recordedChain(t, dir)
		if len(blocks) != want[dir] {
			t.Errorf("%s: %d distinct blocks, want %d", dir, len(blocks), want[dir])
		}
		first := uint32(1<<32 - 1)
		for _, b := range blocks {
			first = min(first, b.Num())
		}
		for _, b := range blocks {
			switch parent, known := blocks[b.Previous]; {
			case !known && b.Num() > first:
				t.Errorf("%s: the parent of block %d, %s, is in no stream", dir, b.Num(), b.Previous)
			case known && parent.Slot >= b.Slot:
				t.Errorf("%s: block %d has slot %d, its parent %d", dir, b.Num(), b.Slot, parent.Slot)
			}
		}
	}
}

// TestCapturedSignatures recovers the key of every Savanna block from its id. A
// wrong id would give a key nobody has; here each producer has one, and the
// replicas of bpa share it.
func TestCapturedSignatures(t *testing.T) {
	keys := map[string]string{} // by producer, over all recordings of the Savanna chain
	seen := map[wire.ID]bool{}
	for _, dir := range folders {
		each(t, dir, wire.TypeBlock, func(name string, f *wire.Frame) {
			b, err := wire.ParseBlock(f.Body())
			if err != nil {
				t.Fatal(err)
			}
			if seen[b.ID] || !b.Savanna() {
				return
			}
			seen[b.ID] = true
			key, err := b.SignatureKey(f.Body())
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			p := b.Producer.String()
			if keys[p] == "" {
				keys[p] = key.String()
			}
			if keys[p] != key.String() {
				t.Errorf("%s: block %d is signed by %s, others of %s by %s", name, b.Num(), key, p, keys[p])
			}
		})
	}
	if len(keys) != 3 || keys["bpa"] == "" || keys["bpb"] == "" || keys["bpc"] == "" {
		t.Errorf("producers and keys %v, want bpa, bpb and bpc", keys)
	}
	if len(seen) < 400 {
		t.Errorf("only %d Savanna blocks", len(seen))
	}
}

// TestCapturedVotes: every vote is for a block of the recording, and a finalizer
// is one of a handful.
func TestCapturedVotes(t *testing.T) {
	want := map[string]int{"relay-votes": 1182, "relay-passive": 1414, "nodes": 7827, "legacy": 0}
	for _, dir := range folders {
		blocks, votes := recordedChain(t, dir), 0
		finalizers := map[[32]byte]bool{}
		each(t, dir, wire.TypeVote, func(name string, f *wire.Frame) {
			v, err := wire.ParseVote(f.Body())
			if err != nil {
				t.Fatal(err)
			}
			votes++
			finalizers[v.Finalizer()] = true
			if _, known := blocks[v.Block]; !known {
				t.Errorf("%s: vote for %s, which is in no stream", name, v.Block)
			}
		})
		if votes != want[dir] {
			t.Errorf("%s: %d votes, want %d", dir, votes, want[dir])
		}
		if len(finalizers) > 4 {
			t.Errorf("%s: %d finalizers, want at most 4", dir, len(finalizers))
		}
	}
}

// TestCapturedFinality compares the last irreversible block derived from two
// headers with what nodeos says in its handshakes. A handshake names the head of
// the fork database, which may not be applied yet; then its root is one behind.
// A node that has just replayed says root = head.
func TestCapturedFinality(t *testing.T) {
	exact := 0
	for _, dir := range folders {
		blocks := recordedChain(t, dir)
		each(t, dir, wire.TypeHandshake, func(name string, f *wire.Frame) {
			h, err := wire.ParseHandshake(f.Body())
			if err != nil {
				t.Fatal(err)
			}
			head, known := blocks[h.HeadID]
			if !known || strings.HasSuffix(name, ".to-node") {
				return
			}
			claimed := head
			for known && claimed.Num() > head.QCClaim.Num {
				claimed, known = blocks[claimed.Previous]
			}
			if !known || !head.QCClaim.Strong { // weak: the blocks of the transition
				return
			}
			switch lib, ok := wire.Finality(head, claimed); {
			case !ok:
				t.Errorf("%s: no finality at head %d, claim %+v", name, h.HeadNum, head.QCClaim)
			case lib == h.RootNum:
				exact++
			case lib != h.RootNum+1 && h.RootNum != h.HeadNum:
				t.Errorf("%s: root at head %d derived %d, nodeos says %d", name, h.HeadNum, lib, h.RootNum)
			}
		})
	}
	if exact < 50 {
		t.Errorf("%d handshakes with the derived root, want at least 50", exact)
	}
}
