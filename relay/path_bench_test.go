package relay_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/downstream"
	"github.com/thinrelay/thinrelay/relay/upstream"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// BenchmarkPath measures the whole way of a block of ours over loopback TCP: a
// replica writes it, the node reads it, asks the gate, proposes the mark, and
// writes it to the upstream and to the other replicas. One operation is one
// block at all of them. Allocations are those of the whole process, the peers
// included, which are written to make none.
func BenchmarkPath(b *testing.B) {
	for _, size := range []int{1 << 10, 100 << 10, 1 << 20} {
		for _, replicas := range []int{1, 10, 50} {
			b.Run(fmt.Sprintf("block=%dKB/replicas=%d", size>>10, replicas), func(b *testing.B) {
				benchPath(b, size, replicas)
			})
		}
	}
}

func benchPath(b *testing.B, size, replicas int) {
	ctx, cancel := context.WithCancel(context.Background())
	up, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	down, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	node := relay.New(relay.Config{
		Name: "bench", Producers: []wire.Name{mustName(b, "bpa")}, Mode: director.Passive,
		Upstream:   upstream.Config{Peers: []string{up.Addr().String()}},
		Downstream: downstream.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		RingBlocks: 64, RingBytes: 64 << 20,
	})
	group := &solo{node: node}
	ran, led := make(chan error, 1), make(chan error, 1)
	go func() { ran <- node.Run(ctx, down) }()
	go func() { led <- group.lead(ctx) }()
	defer func() { cancel(); <-led; <-ran; up.Close() }()

	chain := newBenchChain(b, size)
	arrived := make(chan struct{}, replicas+1)
	upConn, err := up.Accept()
	if err != nil {
		b.Fatal(err)
	}
	defer upConn.Close()
	peer := newBenchPeer(b, upConn, arrived)
	peer.upstream = true
	peer.expectHandshake(b)
	peer.greet(b, chain)
	speaker := dialBench(b, down.Addr().String(), chain, nil)
	waitFor(b, node, func(s relay.Status) bool { return len(s.Replicas) == 1 && s.Replicas[0].Active }) // the first one is the active one
	for range replicas - 1 {
		dialBench(b, down.Addr().String(), chain, arrived)
	}
	// The upstream shows a block of the network's, on which ours can build.
	chain.next("bpb")
	peer.write(b, chain.frame)
	speaker.await(b)
	waitFor(b, node, func(s relay.Status) bool { return len(s.Replicas) == replicas && s.HasTip && s.Tip.Num() == 101 })
	b.SetBytes(int64(size))
	b.ReportAllocs()
	warm := 200
	for i := 0; i < b.N+warm; i++ {
		if i == warm {
			b.ResetTimer()
		}
		chain.next("bpa")
		speaker.write(b, chain.frame)
		for range replicas {
			<-arrived
		}
	}
	b.StopTimer()
}

// waitFor waits until the node's status is as asked for.
func waitFor(b *testing.B, node *relay.Node, ready func(relay.Status) bool) {
	b.Helper()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for range 3000 {
		<-poll.C
		if s, _ := node.Status(context.Background()); ready(s) {
			return
		}
	}
	b.Fatal("the node did not get ready")
}

func mustName(tb testing.TB, s string) wire.Name {
	tb.Helper()
	n, err := wire.ParseName(s)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// benchChain makes blocks that link, in one buffer.
type benchChain struct {
	frame []byte
	head  wire.ID
	slot  wire.Slot
	id    wire.ID
}

const benchHeader = 116

func newBenchChain(tb testing.TB, size int) *benchChain {
	c := &benchChain{frame: make([]byte, size), slot: wire.SlotAt(time.Now()), id: wire.ID{1}}
	binary.BigEndian.PutUint32(c.head[:], 100)
	binary.LittleEndian.PutUint32(c.frame, uint32(size-4))
	c.frame[4] = byte(wire.TypeBlock)
	return c
}

// next turns the buffer into a child of the last block.
func (c *benchChain) next(producer string) {
	c.slot++
	name, _ := wire.ParseName(producer)
	body := c.frame[5:]
	binary.LittleEndian.PutUint32(body, uint32(c.slot))
	binary.LittleEndian.PutUint64(body[4:], uint64(name))
	copy(body[14:], c.head[:])
	num := c.head.Num() + 1
	c.head = sha256.Sum256(body[:benchHeader])
	binary.BigEndian.PutUint32(c.head[:], num)
}

// benchPeer is a nodeos that does no more than the benchmark needs.
type benchPeer struct {
	c        net.Conn
	r        *bufio.Reader
	blocks   atomic.Int64
	arrived  chan struct{}
	first    chan struct{}
	upstream bool // it sent the network's block, and does not get it
}

func newBenchPeer(b *testing.B, c net.Conn, arrived chan struct{}) *benchPeer {
	p := &benchPeer{c: c, r: bufio.NewReaderSize(c, 1<<16), arrived: arrived, first: make(chan struct{}, 1)}
	return p
}

func (p *benchPeer) expectHandshake(b *testing.B) {
	b.Helper()
	for {
		f, err := wire.NewReader(p.r).Next()
		if err != nil {
			b.Fatal(err)
		}
		if f.Type() == wire.TypeHandshake {
			return
		}
	}
}

func (p *benchPeer) greet(b *testing.B, c *benchChain) {
	h := wire.Handshake{
		NetworkVersion: wire.Version9, ChainID: c.id, P2PAddress: "127.0.0.1:9876 - 0000000", OS: "linux", Agent: "bench",
		Generation: 1, HeadNum: c.head.Num(), HeadID: c.head, RootNum: c.head.Num(), RootID: c.head, Time: time.Now().UnixNano(),
	}
	copy(h.NodeID[:], p.c.LocalAddr().String()+p.c.RemoteAddr().String())
	p.write(b, wire.Encode(&h).Bytes())
	go p.count()
}

// count reads frames and reports each block.
func (p *benchPeer) count() {
	head := make([]byte, 5)
	for {
		if _, err := io.ReadFull(p.r, head); err != nil {
			return
		}
		n := int(binary.LittleEndian.Uint32(head)) - 1
		if _, err := p.r.Discard(n); err != nil {
			return
		}
		if wire.Type(head[4]) != wire.TypeBlock {
			continue
		}
		if p.blocks.Add(1) == 1 && p.arrived == nil {
			p.first <- struct{}{}
		}
		// The network's own block reaches every replica before the measured
		// ones and is not counted.
		if p.arrived != nil && (p.blocks.Load() > 1 || p.upstream) {
			p.arrived <- struct{}{}
		}
	}
}

func (p *benchPeer) await(b *testing.B) {
	b.Helper()
	<-p.first
}

func (p *benchPeer) write(b *testing.B, frame []byte) {
	if _, err := p.c.Write(frame); err != nil {
		b.Fatal(err)
	}
}

func dialBench(b *testing.B, addr string, c *benchChain, arrived chan struct{}) *benchPeer {
	b.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { nc.Close() })
	p := newBenchPeer(b, nc, arrived)
	p.greet(b, c)
	return p
}
