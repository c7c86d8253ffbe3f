package simnet

import (
	"encoding/binary"
	"io"
	"net"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// Sent is to be given all that a relay writes to an upstream, on one connection. What
// has left counts as such whether or not it arrives: lines are cut, senders are killed
// with bytes under way, receivers close first. An upstream alone would excuse the second
// block of a height when the first was lost on its way. So are votes judged. relay names
// the process: one that is started again is another.
func (o *Oracle) Sent(relay, upstream string) io.Writer {
	return &sent{oracle: o, relay: relay, upstream: upstream, votes: make(map[[32]byte]lastVote)}
}

// sent reads the frames of one connection.
type sent struct {
	oracle          *Oracle
	relay, upstream string
	buf             []byte
	skip            int // bytes of a frame that is neither block nor vote
	votes           map[[32]byte]lastVote
}

// Write implements io.Writer. It never fails.
func (s *sent) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		if s.skip > 0 {
			k := min(s.skip, len(b))
			b, s.skip = b[k:], s.skip-k
			continue
		}
		want := 5
		if len(s.buf) >= want {
			want = 4 + int(binary.LittleEndian.Uint32(s.buf))
		}
		k := min(want-len(s.buf), len(b))
		s.buf, b = append(s.buf, b[:k]...), b[k:]
		if len(s.buf) < 5 {
			continue
		}
		size, typ := 4+int(binary.LittleEndian.Uint32(s.buf)), wire.Type(s.buf[4])
		switch {
		case typ != wire.TypeBlock && typ != wire.TypeVote:
			s.skip, s.buf = max(size-len(s.buf), 0), s.buf[:0]
		case len(s.buf) < size:
		case typ == wire.TypeVote:
			if vote, err := wire.ParseVote(s.buf[5:]); err == nil {
				s.oracle.voted(s, vote)
			}
			s.buf = s.buf[:0]
		default:
			if block, err := parseBlock(s.buf[4:]); err == nil { // else the upstream complains
				s.oracle.sent(s.relay, s.upstream, block)
			}
			s.buf = s.buf[:0]
		}
	}
	return n, nil
}

// sent is a block that a relay has written to an upstream.
func (o *Oracle) sent(relay, upstream string, b *Block) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.polls.knows(b)
	if !o.ours[b.Producer] || b.Slot < o.begin {
		return
	}
	o.left++
	o.one(b, Violation{Node: upstream, Relay: relay, Height: b.Num(), ID: b.ID.String()})
}

// Watched is a connection of a relay to an upstream whose blocks and votes the oracle counts
// as Sent.
func (o *Oracle) Watched(c net.Conn, relay, upstream string) net.Conn {
	return &watched{Conn: c, sent: o.Sent(relay, upstream)}
}

type watched struct {
	net.Conn
	sent io.Writer
}

// Write implements net.Conn.
func (w *watched) Write(b []byte) (int, error) {
	n, err := w.Conn.Write(b)
	_, _ = w.sent.Write(b[:n]) // never fails
	return n, err
}
