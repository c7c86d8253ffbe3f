package relay_test

import (
	"encoding/binary"
	"testing"
	"testing/synctest"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// FuzzPeer throws bytes at a running relay, as a replica that shook hands and
// as an upstream that did: nothing panics, and no block leaves but children of
// what the honest upstream has, one a height.
func FuzzPeer(f *testing.F) {
	base := child(genesis(100), 1000, "bpb", 0, 0)
	ours := child(base.id, 1001, "bpa", 0, 0)
	next := child(ours.id, 1002, "bpa", 0, 0)
	twin := child(base.id, 1001, "bpa", 1, 0)
	vote := wire.Append(nil, &wire.Vote{Block: base.id, Strong: true})
	for _, seed := range [][][]byte{
		{ours.frame, next.frame},
		{ours.frame, twin.frame},
		{next.frame, ours.frame},
		{vote, ours.frame},
		{wire.Append(nil, &wire.SyncRequest{Start: 1, End: 1 << 31})},
		{wire.Append(nil, &wire.Request{ReqBlocks: wire.IDList{Mode: wire.ModeCatchUp}})},
		{wire.Append(nil, &wire.Notice{KnownBlocks: wire.IDList{Mode: wire.ModeLastIrrCatchUp, Pending: 7}})},
		{wire.Append(nil, &wire.GoAway{Reason: 5})},
		{{1, 0, 0, 0, 64}, {1, 0, 0, 0, 70}},
	} {
		var all []byte
		for _, frame := range seed {
			all = append(all, frame...)
		}
		f.Add(false, all)
		f.Add(true, all)
	}
	f.Fuzz(func(t *testing.T, asUpstream bool, data []byte) {
		if len(data) > 64<<10 {
			t.Skip()
		}
		synctest.Test(t, func(t *testing.T) {
			s := newStage(t, director.Passive, func(c *relay.Config) { c.RingBlocks, c.RingBytes = 64, 1<<20 })
			defer s.close()
			up := s.accept(base.id, base.id)
			r := s.dial("nodeos-a", base.id, base.id)
			settle()
			up.write(base.frame)
			settle()
			if asUpstream {
				up.write(data)
			} else {
				r.write(data)
			}
			settle()
			if asUpstream {
				return // it is the network: whatever it says is the chain
			}
			heights := map[uint32]wire.ID{}
			had := map[wire.ID]bool{base.id: true}
			parents := parentsIn(data)
			up.mu.Lock()
			defer up.mu.Unlock()
			for _, id := range up.blocks {
				num := id.Num()
				if first, ok := heights[num]; ok && first != id {
					t.Fatalf("two blocks of height %d left", num)
				}
				heights[num] = id
				if !had[parents[id]] {
					t.Fatalf("block %s left, and its parent is not there", id)
				}
				had[id] = true
			}
		})
	})
}

// parentsIn returns the parent of each block frame in a stream.
func parentsIn(data []byte) map[wire.ID]wire.ID {
	parents := map[wire.ID]wire.ID{}
	for len(data) > 5 {
		n := int(binary.LittleEndian.Uint32(data))
		if n < 1 || n > len(data)-4 {
			break
		}
		if wire.Type(data[4]) == wire.TypeBlock {
			if b, err := wire.ParseBlock(data[5 : 4+n]); err == nil {
				parents[b.ID] = b.Previous
			}
		}
		data = data[4+n:]
	}
	return parents
}
