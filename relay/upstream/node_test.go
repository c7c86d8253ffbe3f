package upstream_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

var testChain = wire.ID(sha256.Sum256([]byte("test chain")))

// chain is a run of minimal blocks that link; block n is at index n-1.
type chain struct {
	ids    []wire.ID
	frames []*wire.Frame
}

// newChain makes n blocks; another salt makes a fork from the first block on.
func newChain(n int, salt byte) *chain {
	c := &chain{}
	var previous wire.ID
	for i := range n {
		body := blockBody(previous, uint32(i), salt)
		b, err := wire.ParseBlock(body)
		if err != nil {
			panic(err)
		}
		c.ids, c.frames = append(c.ids, b.ID), append(c.frames, wire.RawFrame(wire.TypeBlock, body))
		previous = b.ID
	}
	return c
}

// blockBody is a block without transactions: header, empty signature, no receipts, no extensions.
func blockBody(previous wire.ID, slot uint32, salt byte) []byte {
	body := binary.LittleEndian.AppendUint32(nil, slot)
	body = append(body, make([]byte, 8+2)...)
	body = append(body, previous[:]...)
	body = append(body, salt)
	body = append(body, make([]byte, 31+32+4)...) // rest of transaction_mroot, action_mroot, schedule_version
	return append(body, make([]byte, 1+1+66+1+1)...)
}

func (c *chain) id(num int) wire.ID { return c.ids[num-1] }

// node is a listening nodeos, by the script of its fields.
type node struct {
	t       *testing.T
	chain   *chain
	chainID wire.ID
	version uint16
	head    int // block numbers; root is head-3
	start   uint32
	address string

	maxConns int                                              // 0: no limit; closes connections above on sight
	mute     bool                                             // never sends a handshake
	block    func(conn, num int, l *line) (*wire.Frame, bool) // nil: chain; false: stop serving
	onGreet  func(l *line)                                    // after the handshakes

	mu    sync.Mutex
	open  int
	lines []*line
}

// line is one accepted connection of a node.
type line struct {
	node  *node
	index int
	net   net.Conn

	wmu        sync.Mutex
	generation int16

	mu    sync.Mutex
	got   []wire.Message
	raw   []*wire.Frame
	at    []time.Time
	done  bool
	hello *wire.Handshake
}

func newNode(t *testing.T, blocks int) *node {
	return &node{
		t: t, chain: newChain(blocks, 0), chainID: testChain, version: wire.Version11, head: blocks, start: 1,
		address: "127.0.0.1:9876 - 1234567",
	}
}

// serve accepts until the listener is closed.
func (n *node) serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		n.mu.Lock()
		full := n.maxConns > 0 && n.open >= n.maxConns
		var ln *line
		if !full {
			ln = &line{node: n, index: len(n.lines), net: c}
			n.lines = append(n.lines, ln)
			n.open++
		}
		n.mu.Unlock()
		if full {
			c.Close()
			continue
		}
		go func() {
			ln.run()
			c.Close()
			n.mu.Lock()
			n.open--
			n.mu.Unlock()
			ln.mu.Lock()
			ln.done = true
			ln.mu.Unlock()
		}()
	}
}

func (n *node) conns() []*line {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.lines)
}

func (n *node) root() int { return max(n.head-3, 1) }

func (l *line) run() {
	r := wire.NewReader(l.net)
	for {
		f, err := r.Next()
		if err != nil {
			return
		}
		l.mu.Lock()
		l.raw = append(l.raw, f)
		l.at = append(l.at, time.Now())
		m, err := wire.Decode(f)
		if err == nil {
			l.got = append(l.got, m)
		}
		l.mu.Unlock()
		if err != nil && !errors.Is(err, wire.ErrOpaque) {
			l.node.t.Errorf("node cannot decode what the relay sent: %v", err)
			return
		}
		switch m := m.(type) {
		case *wire.Time:
			l.time(m)
		case *wire.Handshake:
			if !l.handshake(m) {
				return
			}
		case *wire.SyncRequest:
			if !l.sync(m) {
				return
			}
		}
	}
}

func (l *line) send(m wire.Message) {
	f := wire.Encode(m)
	l.write(f)
	f.Release()
}

func (l *line) write(f *wire.Frame) bool {
	l.wmu.Lock()
	defer l.wmu.Unlock()
	_, err := l.net.Write(f.Bytes())
	return err == nil
}

func (l *line) time(m *wire.Time) {
	switch {
	case m.Org == 0:
		now := time.Now().UnixNano()
		l.send(&wire.Time{Org: m.Xmt, Rec: now, Xmt: now})
	case l.hello == nil && !l.node.mute:
		l.greet()
	}
}

func (l *line) handshake(m *wire.Handshake) bool {
	n := l.node
	first := l.hello == nil
	l.hello = m
	if m.Generation != 1 {
		return true
	}
	if m.ChainID != n.chainID {
		l.send(&wire.GoAway{Reason: wire.GoAwayWrongChain})
		return false
	}
	if n.mute {
		return true
	}
	if first && int(m.HeadNum)+10 < n.root() {
		l.send(n.behindNotice())
	}
	if l.generation == 0 {
		l.greet()
	}
	return true
}

func (n *node) behindNotice() *wire.Notice {
	return &wire.Notice{
		KnownTrx:    wire.IDList{Mode: wire.ModeLastIrrCatchUp, Pending: uint32(n.root())},
		KnownBlocks: wire.IDList{Mode: wire.ModeLastIrrCatchUp, Pending: uint32(n.head), IDs: []wire.ID{n.chain.id(n.head), wire.StartID(n.start)}},
	}
}

func (l *line) greet() {
	l.generation++
	l.send(l.node.handshake(l.generation))
	if l.node.onGreet != nil {
		l.node.onGreet(l)
	}
}

func (n *node) handshake(generation int16) *wire.Handshake {
	h := &wire.Handshake{
		NetworkVersion: n.version, ChainID: n.chainID, NodeID: sha256.Sum256([]byte(n.address)), Time: time.Now().UnixNano(),
		P2PAddress: n.address, OS: "linux", Agent: "node", Generation: generation,
	}
	if n.head > 0 {
		h.RootNum, h.RootID = uint32(n.root()), n.chain.id(n.root())
		h.HeadNum, h.HeadID = uint32(n.head), n.chain.id(n.head)
	}
	return h
}

func (l *line) sync(m *wire.SyncRequest) bool {
	for num := int(m.Start); num <= int(m.End); num++ {
		if num > l.node.head {
			l.send(&wire.GoAway{Reason: wire.GoAwayBenign})
			return false
		}
		f := l.node.chain.frames[num-1]
		if l.node.block != nil {
			var ok bool
			if f, ok = l.node.block(l.index, num, l); !ok {
				return true
			}
			if f == nil {
				return false
			}
		}
		if !l.write(f) {
			return false
		}
	}
	return true
}

// messages are what the relay said on the line, without its time messages.
func (l *line) messages() []wire.Message {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []wire.Message
	for _, m := range l.got {
		if m.Type() != wire.TypeTime {
			all = append(all, m)
		}
	}
	return all
}

func (l *line) handshakes() []*wire.Handshake {
	var all []*wire.Handshake
	for _, m := range l.messages() {
		if h, ok := m.(*wire.Handshake); ok {
			all = append(all, h)
		}
	}
	return all
}

func (l *line) syncs() []wire.SyncRequest {
	var all []wire.SyncRequest
	for _, m := range l.messages() {
		if r, ok := m.(*wire.SyncRequest); ok {
			all = append(all, *r)
		}
	}
	return all
}

// types are the types of everything the relay sent on the line.
func (l *line) types() []wire.Type {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []wire.Type
	for _, f := range l.raw {
		all = append(all, f.Type())
	}
	return all
}

// accepter is a listener given over to a function, for peers that are no node at all.
func accepter(l net.Listener, f func(net.Conn)) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go f(c)
	}
}

// drain reads until the connection ends.
func drain(c net.Conn) {
	buf := make([]byte, 4096)
	for {
		if _, err := c.Read(buf); err != nil {
			return
		}
	}
}

func canceller(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithCancel(t.Context())
}

// bytes are everything the relay sent on the line.
func (l *line) bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []byte
	for _, f := range l.raw {
		all = append(all, f.Bytes()...)
	}
	return all
}

func (l *line) ended() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.done
}
