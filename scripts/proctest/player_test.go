package proctest_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
	"github.com/thinrelay/thinrelay/relay/wire/captures"
)

// A player stands for one recorded nodeos: it sends what that sent, when it
// sent it, and keeps what the relay sends. It understands nothing.
type player struct {
	name   string
	frames []captures.Frame
	end    time.Duration // when its connection ended, in the recording
	conn   net.Conn

	mu  sync.Mutex
	got []received
}

// received is a frame from the relay.
type received struct {
	at    time.Time
	bytes []byte
}

func (r received) kind() wire.Type { return wire.Type(r.bytes[4]) }

// newPlayer loads a recorded node's side of its connection.
func newPlayer(t *testing.T, folder, node string) *player {
	t.Helper()
	s, err := captures.Load(folder + "/" + node + "-1.from-node")
	if err != nil {
		t.Fatal(err)
	}
	return &player{name: node, frames: s.Frames, end: s.Events[len(s.Events)-1].At}
}

// play sends the frames in the recording's time, which is at(t) of the clock,
// and closes when the recorded node did; it ends at the given time at the latest.
func (p *player) play(at func(time.Duration) time.Time, stop time.Duration) error {
	for _, f := range p.frames {
		if f.At > stop {
			break
		}
		pass(time.Until(at(f.At)))
		if _, err := p.conn.Write(f.Bytes); err != nil {
			return err
		}
	}
	if p.end > stop {
		return nil
	}
	pass(time.Until(at(p.end)))
	return p.conn.Close()
}

// listen keeps frames until the connection ends.
func (p *player) listen() {
	for {
		f, err := readFrame(p.conn)
		if err != nil {
			return
		}
		p.mu.Lock()
		p.got = append(p.got, received{time.Now(), f})
		p.mu.Unlock()
	}
}

var errFrame = errors.New("not a frame that nodeos would take")

// readFrame reads one frame, length included.
func readFrame(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n == 0 || n > wire.MaxPayload {
		return nil, errFrame
	}
	f := append(head[:], make([]byte, n)...)
	_, err := io.ReadFull(r, f[4:])
	return f, err
}

// all is what has come of a kind.
func (p *player) all(kind wire.Type) (out []received) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.got {
		if r.kind() == kind {
			out = append(out, r)
		}
	}
	return out
}

// sent is what the recorded node sent of a kind, up to a time.
func (p *player) sent(kind wire.Type, stop time.Duration) (out []captures.Frame) {
	for _, f := range p.frames {
		if f.At <= min(stop, p.end) && len(f.Bytes) > 4 && wire.Type(f.Bytes[4]) == kind {
			out = append(out, f)
		}
	}
	return out
}

// insert adds frames at their times.
func (p *player) insert(frames []captures.Frame) {
	p.frames = append(slices.Clone(p.frames), frames...)
	slices.SortStableFunc(p.frames, func(a, b captures.Frame) int { return int(a.At - b.At) })
}

// without drops the frames of a kind before a time.
func (p *player) without(kind wire.Type, before time.Duration) {
	p.frames = slices.DeleteFunc(slices.Clone(p.frames), func(f captures.Frame) bool {
		return f.At < before && len(f.Bytes) > 4 && wire.Type(f.Bytes[4]) == kind
	})
}

// blockOf is the header of a block frame.
func blockOf(t *testing.T, frame []byte) wire.Block {
	t.Helper()
	b, err := wire.ParseBlock(frame[5:])
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// answered counts the probes of a recorded node, up to a time, that the relay
// has answered.
func (p *player) answered(t *testing.T, stop time.Duration) (probes, answers int) {
	t.Helper()
	got := p.all(wire.TypeTime)
	for _, f := range p.sent(wire.TypeTime, stop) {
		probe, err := wire.ParseTime(f.Bytes[5:])
		if err != nil {
			t.Fatal(err)
		}
		if probe.Org != 0 {
			continue // an answer itself
		}
		probes++
		if slices.ContainsFunc(got, func(r received) bool {
			a, err := wire.ParseTime(r.bytes[5:])
			return err == nil && a.Org == probe.Xmt && a.Rec != 0 && a.Xmt >= a.Rec
		}) {
			answers++
		}
	}
	return probes, answers
}

// times is how often each of the frames has come.
func times(frames []captures.Frame, got []received) (missing, repeated int) {
	for _, f := range frames {
		n := 0
		for _, r := range got {
			if bytes.Equal(r.bytes, f.Bytes) {
				n++
			}
		}
		switch {
		case n == 0:
			missing++
		case n > 1:
			repeated++
		}
	}
	return missing, repeated
}
