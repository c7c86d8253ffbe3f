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
func savanna(parent wire.ID, slot wire.Slot, producer string, claim uint32) script {
	b := child(parent, slot, producer, 0, 220)
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
// time: what counts is how it compares with taking the blocks in.
func TestHangUpWhileFinalityStands(t *testing.T) {
	s := newStage(t, director.Passive, nil)
	defer s.close()
	prev := savanna(genesis(100), s.slot, "bpb", 100)
	up := s.accept(prev.id, prev.id)
	a, b := s.dial("nodeos-a", prev.id, prev.id), s.dial("nodeos-b", prev.id, prev.id)
	settle()
	await := func(r *player, n int) time.Duration {
		begin := time.Now()
		for range n {
			up.write(prev.frame)
			prev = savanna(prev.id, prev.slot+1, "bpb", 101)
		}
		up.write(prev.frame)
		for !r.has(prev.id) && time.Since(begin) < time.Minute {
			time.Sleep(100 * time.Microsecond)
		}
		return time.Since(begin)
	}
	all := await(b, 3000)
	b.nc.Close()
	<-b.done
	time.Sleep(5 * time.Millisecond) // for the relay to hear of it
	if one := await(a, 1); one > all/8 {
		t.Errorf("the block after the hang-up took %v, all 3000 before it %v", one, all)
	}
}
