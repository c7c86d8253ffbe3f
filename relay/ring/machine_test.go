package ring_test

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/thinrelay/thinrelay/relay/ring"
	"github.com/thinrelay/thinrelay/relay/wire"
	"pgregory.net/rapid"
)

// machine is the ring against a model: every block ever offered, by id, and
// what each peer was told.
type machine struct {
	ring   *ring.Ring
	peers  []ring.Peer
	blocks []wire.Block // offered so far
	data   map[wire.ID]byte
	public map[wire.ID]bool
	has    []map[wire.ID]bool
	next   uint32

	maxBlocks, maxBytes int
}

// Whatever is added, published, noted and forgotten in whatever order, the
// ring's bounds hold, its frames are whole, and what Missing lists is a chain
// that begins where the peer's knowledge ends.
func TestRingModel(t *testing.T) {
	defer wire.PoisonReleased(wire.PoisonReleased(true))
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{
			maxBlocks: rapid.IntRange(4, 24).Draw(t, "blocks"), maxBytes: rapid.IntRange(600, 5000).Draw(t, "bytes"),
			data: map[wire.ID]byte{}, public: map[wire.ID]bool{},
		}
		m.ring = ring.New(m.maxBlocks, m.maxBytes)
		reg := ring.NewRegistry(m.ring)
		for range 3 {
			p, err := reg.Join()
			if err != nil {
				t.Fatal(err)
			}
			m.peers, m.has = append(m.peers, p), append(m.has, map[wire.ID]bool{})
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": m.add, "publish": m.publish, "note": m.note, "forget": m.forget, "missing": m.missing,
			"clear": func(t *rapid.T) {
				if rapid.IntRange(0, 20).Draw(t, "really") == 0 {
					m.ring.Clear()
					m.public = map[wire.ID]bool{}
				}
			},
			"": m.check,
		})
		m.ring.Clear()
	})
}

// add offers a child of some block, at times of one that was never offered.
func (m *machine) add(t *rapid.T) {
	var parent wire.ID
	binary.BigEndian.PutUint32(parent[:], 100+uint32(rapid.IntRange(0, 30).Draw(t, "orphan at")))
	if len(m.blocks) > 0 && rapid.IntRange(0, 9).Draw(t, "linked") > 0 {
		// mostly recent ones, so that chains grow
		i := len(m.blocks) - 1 - min(len(m.blocks)-1, rapid.IntRange(0, 5).Draw(t, "back"))
		parent = m.blocks[i].ID
	}
	m.next++
	var b wire.Block
	binary.BigEndian.PutUint32(b.ID[:], parent.Num()+1)
	binary.BigEndian.PutUint32(b.ID[4:], m.next)
	b.Previous = parent
	size := rapid.IntRange(20, 300).Draw(t, "size")
	f := wire.BlockFrame(bytes.Repeat([]byte{byte(m.next)}, size))
	before := m.ring.Tip()
	e, isNew := m.ring.Add(b, f)
	f.Release()
	if before != nil && m.ring.Tip() != before {
		t.Fatalf("Add #%d moved the tip", b.Num())
	}
	if before != nil && b.Num() > before.Block.Num() && e == nil {
		t.Fatalf("a block above the tip was refused")
	}
	if e == nil {
		return
	}
	if !isNew {
		t.Fatalf("a new block was called known")
	}
	if e.Public || len(e.Origins) != 0 || e.Network || e.Decided || e.Emitted || e.Has(m.peers[0]) {
		t.Fatalf("a new entry is not empty: %+v", *e)
	}
	e.Origins = append(e.Origins, ring.Origin{Watched: true})
	m.blocks, m.data[b.ID] = append(m.blocks, b), byte(m.next)
}

// entry draws a block that the ring holds.
func (m *machine) entry(t *rapid.T) *ring.Entry {
	var held []*ring.Entry
	for _, b := range m.blocks {
		if e := m.ring.Get(b.ID); e != nil {
			held = append(held, e)
		}
	}
	if len(held) == 0 {
		return nil
	}
	return held[len(held)-1-rapid.IntRange(0, len(held)-1).Draw(t, "entry")]
}

func (m *machine) publish(t *rapid.T) {
	if e := m.entry(t); e != nil {
		m.ring.Publish(e)
		m.public[e.Block.ID] = true
	}
}

func (m *machine) note(t *rapid.T) {
	e, i := m.entry(t), rapid.IntRange(0, len(m.peers)-1).Draw(t, "peer")
	if e == nil {
		return
	}
	m.ring.Note(e, m.peers[i])
	for ; e != nil; e = m.ring.Parent(e) {
		if !e.Has(m.peers[i]) {
			t.Fatalf("after Note the peer lacks ancestor #%d", e.Block.Num())
		}
		m.has[i][e.Block.ID] = true
	}
}

func (m *machine) forget(t *rapid.T) {
	i := rapid.IntRange(0, len(m.peers)-1).Draw(t, "peer")
	m.ring.Forget(m.peers[i])
	m.has[i] = map[wire.ID]bool{}
}

func (m *machine) missing(t *rapid.T) {
	e, i := m.entry(t), rapid.IntRange(0, len(m.peers)-1).Draw(t, "peer")
	if e == nil {
		return
	}
	floor := uint32(rapid.IntRange(95, 140).Draw(t, "floor"))
	prefix := []*ring.Entry{e}
	got, ok := m.ring.Missing(prefix, e, m.peers[i], floor)
	if got[0] != e {
		t.Fatal("Missing changed what dst held")
	}
	got = got[1:]
	if !ok {
		if len(got) != 0 {
			t.Fatal("Missing gave up and left entries")
		}
		for a := e; a != nil; a = m.ring.Parent(a) {
			if a.Has(m.peers[i]) || a.Block.Num() <= floor+1 {
				t.Fatalf("Missing gave up although the ring reaches back to #%d", a.Block.Num())
			}
		}
		return
	}
	if len(got) == 0 {
		if !e.Has(m.peers[i]) && e.Block.Num() > floor {
			t.Fatal("Missing lists nothing although the block is missing")
		}
		return
	}
	if got[len(got)-1] != e {
		t.Fatal("the list does not end with the block")
	}
	for j, x := range got {
		if x.Has(m.peers[i]) || x.Block.Num() <= floor {
			t.Fatalf("the list holds #%d, which the peer has", x.Block.Num())
		}
		if j > 0 && x.Block.Previous != got[j-1].Block.ID {
			t.Fatal("the list is no chain")
		}
	}
	first := got[0]
	if p := m.ring.Parent(first); first.Block.Num() != floor+1 && (p == nil || !p.Has(m.peers[i])) {
		t.Fatal("the list does not begin where the peer's knowledge ends")
	}
}

// check compares the ring with the model.
func (m *machine) check(t *rapid.T) {
	n, size, heights, private, privateSize := 0, 0, map[uint32]bool{}, 0, 0
	var tip *ring.Entry
	lowest := uint32(0)
	for _, b := range m.blocks {
		e := m.ring.Get(b.ID)
		if e == nil {
			delete(m.public, b.ID)
			for i := range m.has {
				delete(m.has[i], b.ID)
			}
			continue
		}
		n, size = n+1, size+e.Frame.Len()
		heights[b.Num()] = true
		if lowest == 0 || b.Num() < lowest {
			lowest = b.Num()
		}
		if e.Public != m.public[b.ID] {
			t.Fatalf("#%d public=%v, want %v", b.Num(), e.Public, m.public[b.ID])
		}
		if !e.Public {
			private, privateSize = private+1, privateSize+e.Frame.Len()
		} else if tip == nil || b.Num() > tip.Block.Num() {
			tip = e
		}
		if len(e.Origins) != 1 || e.Frame.Body()[0] != m.data[b.ID] {
			t.Fatalf("#%d is not what was added", b.Num())
		}
		for i, p := range m.peers {
			if e.Has(p) != m.has[i][b.ID] {
				t.Fatalf("#%d: peer %d has=%v, want %v", b.Num(), i, e.Has(p), m.has[i][b.ID])
			}
		}
		found := false
		m.ring.At(b.Num(), func(x *ring.Entry) bool { found = x == e; return !found })
		if !found {
			t.Fatalf("#%d is not listed at its height", b.Num())
		}
	}
	if m.ring.Len() != n || m.ring.Bytes() != size || m.ring.Lowest() != lowest {
		t.Fatalf("len %d bytes %d lowest %d, want %d, %d, %d", m.ring.Len(), m.ring.Bytes(), m.ring.Lowest(), n, size, lowest)
	}
	if got := m.ring.Tip(); (got == nil) != (tip == nil) || got != nil && got.Block.Num() != tip.Block.Num() {
		t.Fatalf("tip %v, want %v", got, tip)
	}
	// One frame may stand over the bound: the one that was just added.
	if size > m.maxBytes+310 || len(heights) > m.maxBlocks+1 {
		t.Fatalf("%d heights and %d bytes, want at most %d and %d", len(heights), size, m.maxBlocks, m.maxBytes)
	}
	if private > max(m.maxBlocks/4, 1) || private > 1 && privateSize > m.maxBytes/4 {
		t.Fatalf("%d private blocks of %d bytes, want at most a quarter of %d and %d", private, privateSize, m.maxBlocks, m.maxBytes)
	}
	m.blocks = slices.DeleteFunc(m.blocks, func(b wire.Block) bool { return m.ring.Get(b.ID) == nil })
}
