package relay_test

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// compressed returns the body of a message with a compressed transaction of about size bytes, which n makes different.
func compressed(t *testing.T, size int, n byte) []byte {
	t.Helper()
	plain := transaction(t, size)
	plain[len(plain)-2] = n
	_, k := binary.Uvarint(plain[3:])
	var small bytes.Buffer
	w := zlib.NewWriter(&small)
	w.Write(plain[3+k:])
	w.Close()
	body := binary.AppendUvarint([]byte{0, 1, 0}, uint64(small.Len()))
	return append(body, small.Bytes()...)
}

// Transactions of 1 kB that inflate to 1 MiB take 3 ms of a processor each. One connection gets
// some of them through, not as many as it likes; another one's are not held up by it, and
// those without compression go on.
func TestBombsAreRationed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &tally{}
		s := newStage(t, director.Passive, func(c *relay.Config) { c.Meter = m })
		defer s.close()
		base := child(genesis(100), s.slot, "bpb", 0, 0)
		evil, r := s.accept(base.id, base.id), s.dial("nodeos-a", base.id, base.id)
		evil.write(base.frame)
		settle()
		send := func(from *player, body []byte) int64 {
			t.Helper()
			before := m.up.Load() + m.down.Load()
			f := wire.RawFrame(wire.TypeTransaction, body)
			from.write(f.Bytes())
			f.Release()
			settle()
			return m.up.Load() + m.down.Load() - before
		}
		passed, began := int64(0), time.Now()
		for n := range 100 {
			passed += send(evil, compressed(t, 1<<20-100, byte(n)))
		}
		took := time.Since(began)
		if most := 8 + int64(8*took/time.Second); passed < 7 || passed > most {
			t.Errorf("%d bombs of 1 MiB were inflated in %v, want 7 to %d", passed, took, most)
		}
		if n := send(r, compressed(t, 1000, 1)); n != 1 {
			t.Errorf("%d compressed transactions of another connection passed, want it", n)
		}
		if n := send(evil, transaction(t, 1000)); n != 1 {
			t.Errorf("%d transactions without compression passed, want it", n)
		}
		time.Sleep(2 * time.Second) // fake time
		if n := send(evil, compressed(t, 1<<20-100, 200)); n != 1 {
			t.Errorf("%d compressed transactions passed two seconds later, want it", n)
		}
	})
}

// What comes from another relay was rationed there, peer by peer: one of its peers that sends
// as much as it may leaves another one's transactions their way.
func TestRelaysAreNotRationed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &tally{}
		s := newStage(t, director.Passive, func(c *relay.Config) { c.Meter = m })
		defer s.close()
		nc, _, ended := s.follow(t)
		follower := s.meet("r2", nc)
		const sent = 20
		for n := range byte(sent) {
			follower.feed(wire.TypeTransaction, compressed(t, 1<<20-100, n))
		}
		settle()
		if passed := m.up.Load(); passed != sent {
			t.Errorf("%d transactions passed, want %d", passed, sent)
		}
		follower.close()
		<-ended
	})
}
