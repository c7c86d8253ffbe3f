package relay_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/fsm"
	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/downstream"
	"github.com/thinrelay/thinrelay/relay/gate"
	"github.com/thinrelay/thinrelay/relay/simnet/memnet"
	"github.com/thinrelay/thinrelay/relay/upstream"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// stage is one relay whose upstream and replicas are scripts: the test writes
// every frame they send.
type stage struct {
	t     *testing.T
	mem   *memnet.Network
	node  *relay.Node
	group *solo
	up    net.Listener
	slot  wire.Slot // the slot under way when the test began

	mu      sync.Mutex
	records []relay.Record

	ctx      context.Context
	stop     context.CancelFunc
	stopLead context.CancelFunc
	ran, led chan error
	players  []*player
}

var stageChain = wire.ID{0xcc}

func newStage(t *testing.T, mode director.Mode, change func(*relay.Config)) *stage {
	t.Helper()
	s := &stage{t: t, mem: memnet.New(memnet.WithIPs()), ran: make(chan error, 1), led: make(chan error, 1)}
	s.slot = relay.SystemClock{}.SlotAt(time.Now())
	h := s.mem.Host("relay")
	down, err := h.Listen("relay:9876")
	if err != nil {
		t.Fatal(err)
	}
	if s.up, err = s.mem.Host("up").Listen("up:9876"); err != nil {
		t.Fatal(err)
	}
	cfg := relay.Config{
		Name: "relay", Producers: []wire.Name{mustName(t, "bpa")}, Mode: mode, Observers: []string{"fin-1"},
		Chain:      relay.NewChainID(stageChain, nil),
		Upstream:   upstream.Config{Peers: []string{"up:9876"}, Dial: h.Dial},
		Downstream: downstream.Config{Allow: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}},
		Observe: func(r relay.Record) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.records = append(s.records, r)
		},
	}
	if change != nil {
		change(&cfg)
	}
	s.node = relay.New(cfg)
	s.group = &solo{node: s.node}
	s.ctx, s.stop = context.WithCancel(t.Context())
	go func() { s.ran <- s.node.Run(s.ctx, down) }()
	s.lead()
	return s
}

func (s *stage) lead() {
	ctx, cancel := context.WithCancel(s.ctx)
	s.stopLead = cancel
	go func() { s.led <- s.group.lead(ctx) }()
}

func (s *stage) close() {
	s.stopLead()
	<-s.led
	s.stop()
	<-s.ran
	s.up.Close()
	for _, p := range s.players {
		p.close()
	}
}

// refused returns the reasons for which a block was refused.
func (s *stage) refused(id wire.ID) (reasons []gate.Reason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.records {
		if r.Kind == relay.Refused && r.Block.ID == id {
			reasons = append(reasons, r.Reason)
		}
	}
	return reasons
}

func (s *stage) count(kind relay.RecordKind) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.records {
		if r.Kind == kind {
			n++
		}
	}
	return n
}

// player is one scripted peer of the relay.
type player struct {
	t    *testing.T
	name string
	nc   net.Conn
	id   wire.ID

	answers  atomic.Bool  // it answers time messages
	question atomic.Int64 // the last one's, see answer

	mu     sync.Mutex
	blocks []wire.ID
	votes  []wire.ID            // blocks voted for
	sums   map[wire.ID][32]byte // of what came last for a block
	asked  []wire.SyncRequest
	told   []wire.Notice
	wants  []wire.Request
	hellos []wire.Handshake
	err    error
	done   chan struct{}
}

// greeting is a nodeos' first handshake.
func greeting(name string, id, root, head wire.ID) wire.Handshake {
	return wire.Handshake{
		NetworkVersion: wire.Version9, ChainID: stageChain, NodeID: id, Time: time.Now().UnixNano(), Generation: 1,
		P2PAddress: name + ":9876 - 0000000", OS: "linux", Agent: name,
		RootNum: root.Num(), RootID: root, HeadNum: head.Num(), HeadID: head,
	}
}

// accept plays the upstream: it takes the relay's next connection.
func (s *stage) accept(root, head wire.ID) *player {
	s.t.Helper()
	nc, err := s.up.Accept()
	if err != nil {
		s.t.Fatal(err)
	}
	return s.play("up", nc, root, head)
}

// dial plays a replica.
func (s *stage) dial(name string, root, head wire.ID) *player {
	s.t.Helper()
	nc, err := s.mem.Host(name).Dial(s.ctx, "relay:9876")
	if err != nil {
		s.t.Fatal(err)
	}
	return s.play(name, nc, root, head)
}

// meet plays a peer that says nothing by itself.
func (s *stage) meet(name string, nc net.Conn) *player {
	p := &player{t: s.t, name: name, nc: nc, id: sha256.Sum256([]byte(name)), done: make(chan struct{})}
	s.players = append(s.players, p)
	go p.read()
	return p
}

// grow has the upstream tell n blocks of the network on top of prev, of at least
// size bytes, one a slot, and returns the last.
func (s *stage) grow(up *player, prev script, n, size int) script {
	for range n {
		time.Sleep(wire.SlotInterval) // fake time
		prev = child(prev.id, prev.slot+1, "bpb", 0, size)
		up.write(prev.frame)
	}
	settle()
	return prev
}

func (s *stage) play(name string, nc net.Conn, root, head wire.ID) *player {
	p := s.meet(name, nc)
	h := greeting(name, p.id, root, head)
	p.send(&h)
	return p
}

// read keeps what the relay sends, and answers nothing but time messages, when told to.
func (p *player) read() {
	defer close(p.done)
	r := wire.NewReader(p.nc)
	for {
		f, err := r.Next()
		if err != nil {
			p.mu.Lock()
			p.err = err
			p.mu.Unlock()
			return
		}
		p.mu.Lock()
		switch f.Type() {
		case wire.TypeBlock:
			if b, err := wire.ParseBlock(f.Body()); err == nil {
				p.blocks = append(p.blocks, b.ID)
				if p.sums == nil {
					p.sums = make(map[wire.ID][32]byte)
				}
				p.sums[b.ID] = sha256.Sum256(f.Bytes())
			}
		case wire.TypeVote:
			if v, err := wire.ParseVote(f.Body()); err == nil {
				p.votes = append(p.votes, v.Block)
			}
		case wire.TypeHandshake:
			if h, err := wire.ParseHandshake(f.Body()); err == nil {
				p.hellos = append(p.hellos, h)
			}
		case wire.TypeSyncRequest:
			if q, err := wire.ParseSyncRequest(f.Body()); err == nil {
				p.asked = append(p.asked, q)
			}
		case wire.TypeNotice:
			if n, err := wire.ParseNotice(f.Body()); err == nil {
				p.told = append(p.told, n)
			}
		case wire.TypeRequest:
			if q, err := wire.ParseRequest(f.Body()); err == nil {
				p.wants = append(p.wants, q)
			}
		case wire.TypeTime:
			if q, err := wire.ParseTime(f.Body()); err == nil && q.Org == 0 {
				if p.question.Store(q.Xmt); p.answers.Load() {
					p.answer()
				}
			}
		default:
		}
		p.mu.Unlock()
		f.Release()
	}
}

func (p *player) close() {
	p.nc.Close()
	<-p.done
}

func (p *player) write(frame []byte) { p.nc.Write(frame) }

func (p *player) send(m wire.Message) {
	f := wire.Encode(m)
	defer f.Release()
	p.write(f.Bytes())
}

// feed sends a message of the feed between relays.
func (p *player) feed(t wire.Type, body []byte) {
	f := wire.RawFrame(t, body)
	defer f.Release()
	p.write(f.Bytes())
}

// vote sends a vote of a finalizer.
func (p *player) vote(finalizer byte, block wire.ID) {
	p.send(&wire.Vote{Block: block, Strong: true, Key: [96]byte{finalizer}})
}

func (p *player) has(id wire.ID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Contains(p.blocks, id)
}

// got returns the blocks that came, in order.
func (p *player) got() []wire.ID {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.blocks)
}

// requests returns the ranges that it was asked for, in order.
func (p *player) requests() []wire.SyncRequest {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

// took reports whether what came last for the block is these bytes.
func (p *player) took(b script) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sums[b.id] == sha256.Sum256(b.frame)
}

func (p *player) votesFor(id wire.ID) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, v := range p.votes {
		if v == id {
			n++
		}
	}
	return n
}

// gone reports why the relay ended the connection; nil while it has not.
func (p *player) gone() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// script is a block made up by a test.
type script struct {
	id    wire.ID
	slot  wire.Slot
	frame []byte
}

// genesis is a block id of the given height that nobody has the block of.
func genesis(num uint32) (id wire.ID) {
	binary.BigEndian.PutUint32(id[:], num)
	id[31] = 1
	return id
}

// child makes a block on parent; salt tells blocks with the same parent apart.
func child(parent wire.ID, slot wire.Slot, producer string, salt byte, size int) script {
	const header = 116
	frame := make([]byte, max(size, 5+header+80))
	binary.LittleEndian.PutUint32(frame, uint32(len(frame)-4))
	frame[4] = byte(wire.TypeBlock)
	name, err := wire.ParseName(producer)
	if err != nil {
		panic(fmt.Sprintf("producer %q: %v", producer, err))
	}
	body := frame[5:]
	binary.LittleEndian.PutUint32(body, uint32(slot))
	binary.LittleEndian.PutUint64(body[4:], uint64(name))
	copy(body[14:], parent[:])
	body[46] = salt
	id := wire.ID(sha256.Sum256(body[:header]))
	binary.BigEndian.PutUint32(id[:], parent.Num()+1)
	return script{id, slot, frame}
}

// dialUnless has a relay reach no upstream as long as cut is set.
func dialUnless(c *relay.Config, cut *atomic.Bool) {
	dial := c.Upstream.Dial
	c.Upstream.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
		if cut.Load() {
			return nil, net.ErrClosed
		}
		return dial(ctx, addr)
	}
}

// settle lets everything on its way arrive.
func settle() { time.Sleep(60 * time.Millisecond) } // fake time

// inherit puts the group into a state left by earlier leaders.
func (s *stage) inherit(m fsm.Mark) {
	s.group.mu.Lock()
	defer s.group.mu.Unlock()
	s.group.term++
	s.group.state = fsm.State{Mark: m, Term: s.group.term}
}
