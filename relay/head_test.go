package relay_test

import (
	"crypto/sha256"
	"encoding/binary"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// savanna makes a block on parent whose header claims a strong certificate for the
// block of a height.
func savanna(parent wire.ID, slot wire.Slot, producer string, salt byte, claim uint32) script {
	b := child(parent, slot, producer, salt, 220)
	body := b.frame[5:]
	binary.LittleEndian.PutUint32(body[110:], 1<<31)
	body[115] = 1 // header extension
	binary.LittleEndian.PutUint16(body[116:], 2)
	body[118] = 7 // bytes
	binary.LittleEndian.PutUint32(body[119:], claim)
	body[123] = 1
	const header = 126
	id := wire.ID(sha256.Sum256(body[:header]))
	binary.BigEndian.PutUint32(id[:], parent.Num()+1)
	return script{id, slot, b.frame}
}

// Finality has stood for thousands of blocks, and a replica hangs up: which of them is
// the head is found out without going back to the last certificate from each. In real
// time: the hub was held for as long as a tenth of all these blocks had taken, and more.
func TestHangUpWhileFinalityStands(t *testing.T) {
	s := newStage(t, director.Passive, nil)
	defer s.close()
	prev := savanna(genesis(100), s.slot, "bpb", 0, 100)
	up := s.accept(prev.id, prev.id)
	a := s.dial("nodeos-a", prev.id, prev.id)
	var gone []*player // three: one may meet a machine that is busy
	for _, name := range []string{"nodeos-b", "nodeos-c", "nodeos-d"} {
		gone = append(gone, s.dial(name, prev.id, prev.id))
	}
	settle()
	tick := time.NewTicker(100 * time.Microsecond)
	defer tick.Stop()
	await := func(r *player, n int) time.Duration {
		begin := time.Now()
		for range n {
			up.write(prev.frame)
			prev = savanna(prev.id, prev.slot+1, "bpb", 0, 101)
		}
		up.write(prev.frame)
		for !r.has(prev.id) && time.Since(begin) < time.Minute {
			<-tick.C
		}
		return time.Since(begin)
	}
	all, least := await(gone[0], 3000), time.Minute
	for _, r := range gone {
		await(r, 0)
		r.close()
		least = min(least, await(a, 1))
	}
	if least > all/10 {
		t.Errorf("a block after a hang-up took %v at least, all 3000 before it %v", least, all)
	}
}
