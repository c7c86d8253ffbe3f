package simnet

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// lane is one of nodeos's three write queues, in the order it empties them
// (net_plugin.cpp:623-652).
type lane uint8

const (
	laneSync lane = iota
	laneGeneral
	laneTrx
	lanes
)

// A link carries frames to a peer.
type link interface {
	send(l lane, frame []byte)
	flush()         // forget what is queued
	end(flush bool) // close, after writing what is queued or at once
	watch(on bool)  // whether an event is wanted when the sync lane is empty
	done()          // the loop has dealt with a frame
}

const (
	maxBacklog = 80 << 20 // bytes queued before nodeos drops the connection (net_plugin.cpp:636)
	readAhead  = 256      // frames read before the loop has dealt with them
)

var errBacklog = errors.New("write queue is full")

// socket is a link over a net.Conn, with a goroutine each way.
type socket struct {
	peer    *peer
	conn    net.Conn
	gate    *gate
	box     *mailbox
	credits chan struct{}
	closed  chan struct{}
	once    sync.Once

	mu      sync.Mutex
	queue   [lanes][][]byte
	bytes   int
	ending  bool
	watched bool
	ready   chan struct{}
}

func newSocket(p *peer, conn net.Conn, box *mailbox, g *gate) *socket {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetNoDelay(true) // the default; a failure shows on the first write
	}
	return &socket{
		peer: p, conn: conn, gate: g, box: box, credits: make(chan struct{}, readAhead),
		closed: make(chan struct{}), ready: make(chan struct{}, 1),
	}
}

func (s *socket) send(l lane, frame []byte) {
	s.mu.Lock()
	s.queue[l] = append(s.queue[l], frame)
	s.bytes += len(frame)
	full := s.bytes > maxBacklog
	s.mu.Unlock()
	s.wake()
	if full {
		s.fail(errBacklog)
	}
}

func (s *socket) wake() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

func (s *socket) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue, s.bytes = [lanes][][]byte{}, 0
}

func (s *socket) watch(on bool) {
	s.mu.Lock()
	s.watched = on
	s.mu.Unlock()
	s.wake()
}

func (s *socket) done() { <-s.credits }

func (s *socket) end(flush bool) {
	if flush {
		s.mu.Lock()
		s.ending = true
		s.mu.Unlock()
		s.wake()
		return
	}
	s.shut()
}

func (s *socket) shut() {
	s.once.Do(func() {
		close(s.closed)
		_ = s.conn.Close() // nothing is left to be lost
	})
}

// fail ends the connection and tells the loop why.
func (s *socket) fail(err error) {
	s.shut()
	s.box.put(event{kind: eventEnd, peer: s.peer, err: err})
}

// read posts the peer's frames until the connection ends.
func (s *socket) read() {
	src := bufio.NewReaderSize(s.conn, 32<<10)
	for {
		if !s.gate.wait(s.closed) {
			return
		}
		payload, err := readFrame(src)
		if err != nil {
			s.fail(err)
			return
		}
		select {
		case s.credits <- struct{}{}:
		case <-s.closed:
			return
		}
		s.box.put(event{kind: eventFrame, peer: s.peer, payload: payload})
	}
}

// readFrame reads one frame as nodeos does: empty and oversized ones end the
// connection (net_plugin.cpp:2910).
func readFrame(src io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(src, head[:]); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n == 0 || n > wire.MaxPayload {
		return nil, fmt.Errorf("frame of %d bytes", n)
	}
	payload := make([]byte, n)
	if _, err := io.ReadFull(src, payload); err != nil {
		return nil, err
	}
	return payload, nil
}

// write empties the queues into the connection until it ends.
func (s *socket) write() {
	var batch net.Buffers
	for {
		var room bool
		batch, room = s.next(batch[:0])
		if len(batch) > 0 {
			if !s.gate.wait(s.closed) {
				return
			}
			out := batch
			if _, err := out.WriteTo(s.conn); err != nil {
				s.fail(err)
				return
			}
			continue
		}
		if room {
			s.box.put(event{kind: eventRoom, peer: s.peer})
		}
		s.mu.Lock()
		ending := s.ending
		s.mu.Unlock()
		if ending {
			s.fail(io.EOF)
			return
		}
		select {
		case <-s.ready:
		case <-s.closed:
			return
		}
	}
}

// next takes what is to be written next: everything of the first lane that has
// something. With nothing left it reports whether room was asked for.
func (s *socket) next(batch net.Buffers) (net.Buffers, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range s.queue {
		if len(s.queue[l]) == 0 {
			continue
		}
		for _, f := range s.queue[l] {
			batch = append(batch, f)
			s.bytes -= len(f)
		}
		clear(s.queue[l])
		s.queue[l] = s.queue[l][:0]
		return batch, false
	}
	room := s.watched
	s.watched = false
	return batch, room
}

// wireless is a link between two nodes of one process: frames go straight into
// the other's mailbox.
type wireless struct {
	self, other *peer
	to, own     *mailbox
	closed      bool // owned by the sender's loop
}

func (w *wireless) send(_ lane, frame []byte) {
	if !w.closed {
		w.to.put(event{kind: eventFrame, peer: w.other, payload: frame[4:]})
	}
}

func (w *wireless) flush() {}
func (w *wireless) done()  {}

func (w *wireless) watch(on bool) {
	if on && !w.closed {
		w.own.put(event{kind: eventRoom, peer: w.self})
	}
}

func (w *wireless) end(bool) {
	if !w.closed {
		w.closed = true
		w.to.put(event{kind: eventEnd, peer: w.other, err: io.EOF})
		w.own.put(event{kind: eventEnd, peer: w.self, err: io.EOF})
	}
}
