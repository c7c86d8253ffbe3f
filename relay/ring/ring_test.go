package ring_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/thinrelay/thinrelay/relay/ring"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// frame returns a block frame of n bytes whose bytes tell it from others.
func frame(n int, mark byte) *wire.Frame {
	return wire.BlockFrame(bytes.Repeat([]byte{mark}, n-5))
}

// block makes up a block; salt tells blocks of one height apart.
func block(num uint32, salt byte, parent wire.ID) wire.Block {
	var b wire.Block
	binary.BigEndian.PutUint32(b.ID[:], num)
	b.ID[4] = salt
	b.Previous = parent
	binary.BigEndian.PutUint32(b.Previous[:], num-1)
	b.Slot = wire.Slot(num)
	return b
}

// chain adds n public blocks of size bytes from height from on, and returns
// them.
func chain(t *testing.T, r *ring.Ring, from uint32, n, size int) (list []*ring.Entry) {
	t.Helper()
	var parent wire.ID
	if tip := r.Tip(); tip != nil {
		parent = tip.Block.ID
	}
	for i := range n {
		b := block(from+uint32(i), 1, parent)
		e := add(t, r, b, size)
		r.Publish(e)
		list = append(list, e)
		parent = b.ID
	}
	return list
}

func add(t *testing.T, r *ring.Ring, b wire.Block, size int) *ring.Entry {
	t.Helper()
	f := frame(size, b.ID[4])
	defer f.Release()
	e, isNew := r.Add(b, f)
	if e == nil || !isNew {
		t.Fatalf("Add #%d = %v, %v, want a new entry", b.Num(), e, isNew)
	}
	return e
}

func TestAddIsIdempotent(t *testing.T) {
	r := ring.New(10, 1<<20)
	e := add(t, r, block(5, 1, wire.ID{}), 100)
	f := frame(100, 2)
	defer f.Release()
	again, isNew := r.Add(e.Block, f)
	if again != e || isNew || r.Len() != 1 || r.Bytes() != 100 {
		t.Fatalf("second Add: entry same=%v new=%v, len %d, %d bytes", again == e, isNew, r.Len(), r.Bytes())
	}
}

func TestTheLowestHeightGoesFirst(t *testing.T) {
	r := ring.New(4, 1<<20)
	list := chain(t, r, 10, 6, 50)
	if r.Lowest() != 12 || r.Len() != 4 || r.Bytes() != 200 || r.Tip() != list[5] {
		t.Fatalf("lowest %d, len %d, bytes %d, want 12, 4, 200", r.Lowest(), r.Len(), r.Bytes())
	}
	r = ring.New(100, 500)
	chain(t, r, 10, 20, 50)
	if r.Lowest() != 20 || r.Bytes() > 500 {
		t.Fatalf("lowest %d, bytes %d, want 20 and at most 500", r.Lowest(), r.Bytes())
	}
	if e, _ := r.Add(block(3, 9, wire.ID{}), frame(50, 1)); e != nil {
		t.Errorf("a block far below a full ring was kept")
	}
}

// What one height holds is bounded too, and so is what is not on the chain: a
// peer that makes up blocks can fill neither memory nor the ring.
func TestMadeUpBlocksPushNothingOut(t *testing.T) {
	const maxBytes = 100 << 10
	for _, tc := range []struct {
		name   string
		height func(i int) uint32
	}{
		{"one height", func(int) uint32 { return 120 }},
		{"the height of the tip", func(int) uint32 { return 119 }},
		{"ever higher", func(i int) uint32 { return 121 + uint32(i)%90 }},
		{"ever lower", func(i int) uint32 { return 118 - uint32(i)%90 }},
		{"below the ring", func(i int) uint32 { return 99 - uint32(i)%90 }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := ring.New(100, maxBytes)
			list := chain(t, r, 100, 20, 1<<10)
			for i := range 5000 {
				b := block(tc.height(i), 2, wire.ID{9})
				binary.BigEndian.PutUint32(b.ID[8:], uint32(i))
				f := frame(4<<10, 2)
				r.Add(b, f)
				f.Release()
				if r.Bytes() > maxBytes {
					t.Fatalf("after %d made-up blocks the ring holds %d bytes, want at most %d", i+1, r.Bytes(), maxBytes)
				}
			}
			if r.Tip() != list[19] {
				t.Fatalf("the tip was pushed out")
			}
			for _, e := range list {
				if r.Get(e.Block.ID) != e {
					t.Fatalf("block #%d of the chain was pushed out", e.Block.Num())
				}
			}
			// What comes then is kept all the same.
			next := add(t, r, block(120, 1, list[19].Block.ID), 1<<10)
			if r.Get(next.Block.ID) != next {
				t.Fatal("the next block is not there")
			}
		})
	}
}

// A public block is never pushed out by private ones of its own height.
func TestPublicSiblingsAreBoundedToo(t *testing.T) {
	const maxBytes = 100 << 10
	r := ring.New(100, maxBytes)
	list := chain(t, r, 100, 20, 1<<10)
	for i := range 500 {
		b := block(120, 2, list[19].Block.ID)
		binary.BigEndian.PutUint32(b.ID[8:], uint32(i))
		f := frame(4<<10, 2)
		if e, _ := r.Add(b, f); e != nil {
			r.Publish(e)
		}
		f.Release()
		if r.Bytes() > maxBytes+4<<10 {
			t.Fatalf("after %d siblings the ring holds %d bytes, want at most %d", i+1, r.Bytes(), maxBytes)
		}
	}
}

func TestMissing(t *testing.T) {
	r := ring.New(100, 1<<20)
	list := chain(t, r, 10, 10, 50)
	reg := ring.NewRegistry(r)
	p, err := reg.Join()
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name  string
		has   int // index, -1: none
		floor uint32
		want  []*ring.Entry
		ok    bool
	}{
		{"it has the parent", 8, 0, list[9:], true},
		{"it has an ancestor", 3, 0, list[4:], true},
		{"it has the block", 9, 0, nil, true},
		{"a floor inside", -1, 14, list[5:], true},
		{"a floor just below", -1, 9, list, true},
		{"a floor below the ring", -1, 8, nil, false},
		{"nothing is known", -1, 0, nil, false},
		{"a floor above", -1, 30, nil, true},
	} {
		r.Forget(p)
		if tc.has >= 0 {
			r.Note(list[tc.has], p)
		}
		got, ok := r.Missing(nil, list[9], p, tc.floor)
		if ok != tc.ok || !slices.Equal(got, tc.want) {
			t.Errorf("%s: Missing=%d blocks, %v, want %d, %v", tc.name, len(got), ok, len(tc.want), tc.ok)
		}
	}
}

func TestPeerNumbers(t *testing.T) {
	r := ring.New(10, 1<<20)
	e := add(t, r, block(5, 1, wire.ID{}), 100)
	reg := ring.NewRegistry(r)
	seen := map[ring.Peer]bool{}
	for range ring.MaxPeers {
		p, err := reg.Join()
		if err != nil || seen[p] {
			t.Fatalf("Join=%d, %v, want a free number", p, err)
		}
		seen[p] = true
		r.Note(e, p)
	}
	if _, err := reg.Join(); err != ring.ErrTooManyPeers {
		t.Fatalf("Join of one too many: %v", err)
	}
	reg.Leave(77)
	if p, err := reg.Join(); p != 77 || err != nil || e.Has(p) {
		t.Fatalf("Join after Leave=%d, %v, has=%v, want number 77 that has nothing", p, err, e.Has(p))
	}
}

// The ring holds one reference to each frame it keeps and no other: with
// released frames poisoned, what it holds stays whole and what it dropped does
// not.
func TestReferences(t *testing.T) {
	defer wire.PoisonReleased(wire.PoisonReleased(true))
	r := ring.New(3, 1<<20)
	var frames []*wire.Frame
	var parent wire.ID
	for i := range uint32(10) {
		b := block(i+1, byte(i+1), parent)
		f := frame(200, byte(i+1))
		if e, _ := r.Add(b, f); e != nil {
			r.Publish(e)
		}
		f.Release() // ours: the ring's keeps it alive
		frames, parent = append(frames, f), b.ID
	}
	for i, f := range frames[7:] {
		if want := bytes.Repeat([]byte{byte(i + 8)}, 195); !bytes.Equal(f.Body(), want) {
			t.Errorf("block %d, which the ring holds, is damaged", i+8)
		}
		f.Retain()
	}
	r.Clear()
	for i, f := range frames[7:] {
		if f.Body()[0] != byte(i+8) {
			t.Errorf("frame %d was released twice", i+8)
		}
		f.Release()
		if func() (double bool) {
			defer func() { double = recover() != nil }()
			f.Release()
			return false
		}() != true {
			t.Errorf("frame %d: the ring still held a reference after Clear", i+8)
		}
	}
	if r.Len() != 0 || r.Bytes() != 0 || r.Tip() != nil || r.Lowest() != 0 {
		t.Errorf("after Clear: %d blocks, %d bytes", r.Len(), r.Bytes())
	}
}

// Where all replicas sign, their blocks of the past go first, and one that waits for its
// parent stays, although an upstream has told one block that never links, at whatever height.
func TestStrayBlockLeavesWhatWaits(t *testing.T) {
	for _, stray := range []uint32{100, 230} {
		t.Run(fmt.Sprint(stray), func(t *testing.T) {
			r := ring.New(200, 1<<20)
			list := chain(t, r, 1, 190, 20)
			tell := func(num uint32, teller uint8) wire.ID {
				b := block(num, teller, wire.ID{teller})
				r.Tell(add(t, r, b, 20), teller)
				return b.ID
			}
			tell(stray, 2)
			sign := func(from, n uint32) {
				for num := from; num < from+n; num++ {
					e := add(t, r, block(num, 9, list[0].Block.ID), 20)
					e.Origins = append(e.Origins, ring.Origin{})
				}
			}
			sign(101, 30)
			waits := [2]wire.ID{tell(191, 1), tell(192, 1)}
			sign(180, 30)
			for _, id := range waits {
				if r.Get(id) == nil {
					t.Errorf("block %d, which waits for its parent, is gone", id.Num())
				}
			}
		})
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	r := ring.New(64, 1<<20)
	f := frame(200, 1)
	defer f.Release()
	var parent wire.ID
	num := uint32(1)
	step := func() {
		b := block(num, 1, parent)
		e, _ := r.Add(b, f)
		e.Origins = append(e.Origins, ring.Origin{Watched: true})
		r.Publish(e)
		parent = b.ID
		num++
	}
	for range 1000 {
		step()
	}
	if got := testing.AllocsPerRun(1000, step); got != 0 {
		t.Errorf("%v allocations per block, want 0", got)
	}
}

func ExampleRing_Missing() {
	r := ring.New(100, 1<<20)
	peers := ring.NewRegistry(r)
	p, _ := peers.Join()
	a, b := block(1, 1, wire.ID{}), block(2, 1, wire.ID{})
	b.Previous = a.ID
	f := frame(100, 1)
	defer f.Release()
	ea, _ := r.Add(a, f)
	eb, _ := r.Add(b, f)
	r.Note(ea, p)
	missing, ok := r.Missing(nil, eb, p, 0)
	fmt.Println(len(missing), missing[0].Block.Num(), ok)
	// Output: 1 2 true
}
