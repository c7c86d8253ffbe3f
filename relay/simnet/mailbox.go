package simnet

import "sync"

// An event is something a node's loop has to deal with: a frame or the end of a
// peer's connection, room in a peer's queue, or a call.
type event struct {
	kind    eventKind
	peer    *peer
	payload []byte
	err     error
	call    func()
}

type eventKind uint8

const (
	eventCall eventKind = iota
	eventFrame
	eventRoom
	eventEnd
)

// A mailbox is a node's queue of events. It has no bound of its own: sockets are
// held back by credits (see socket), and nodes of one process must never
// block on each other.
type mailbox struct {
	mu     sync.Mutex
	queue  []event
	spare  []event
	closed bool
	ready  chan struct{} // capacity 1
}

func newMailbox() *mailbox { return &mailbox{ready: make(chan struct{}, 1)} }

// put queues an event; after close it is dropped and put returns false.
func (m *mailbox) put(e event) bool {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return false
	}
	m.queue = append(m.queue, e)
	m.mu.Unlock()
	select {
	case m.ready <- struct{}{}:
	default:
	}
	return true
}

// take empties the mailbox. The result is valid until the next take.
func (m *mailbox) take() []event {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := m.queue
	clear(m.spare)
	m.queue, m.spare = m.spare[:0], out
	return out
}

func (m *mailbox) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed, m.queue = true, nil
}

// A gate lets goroutines pass while it is open: a process that is stopped by a
// signal keeps its sockets, but nothing in it moves.
type gate struct {
	mu   sync.Mutex
	shut chan struct{} // nil: open; closed when it opens again
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut == nil {
		g.shut = make(chan struct{})
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut != nil {
		close(g.shut)
		g.shut = nil
	}
}

// wait returns when the gate is open, or with false when done is closed.
func (g *gate) wait(done <-chan struct{}) bool {
	for {
		g.mu.Lock()
		shut := g.shut
		g.mu.Unlock()
		if shut == nil {
			return true
		}
		select {
		case <-shut:
		case <-done:
			return false
		}
	}
}
