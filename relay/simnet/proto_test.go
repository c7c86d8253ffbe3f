package simnet_test

import (
	"encoding/binary"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/relay/simnet"
	"github.com/thinrelay/thinrelay/relay/simnet/memnet"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// proto is the least that can be called a relay: the prototype that was measured
// between real nodes. It echoes handshakes, gates blocks by linkage, and gives
// votes to one replica only if gated. It shows that the simulated network
// behaves as the real one did.
type proto struct {
	t     *testing.T
	w     *simnet.Network
	gated bool
	wg    sync.WaitGroup

	mu     sync.Mutex
	conns  []*protoConn
	known  map[wire.ID]bool
	ring   [][]byte
	votes  [][]byte
	last   uint32
	active *protoConn
}

type protoConn struct {
	conn  net.Conn
	id    wire.ID
	up    bool
	agent string
	gen   int16
	ready bool
	queue chan []byte
}

// runProto starts a relay on host "relay", with upstreams dialled from hosts of
// their own.
func runProto(t *testing.T, w *simnet.Network, mem *memnet.Network, gated bool) *proto {
	t.Helper()
	p := &proto{t: t, w: w, gated: gated, known: make(map[wire.ID]bool)}
	l, err := mem.Host("relay").Listen(":9876")
	if err != nil {
		t.Fatal(err)
	}
	p.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.add(conn, false)
		}
	})
	for i, addr := range w.Addrs() {
		conn, err := mem.Host("relay-out").Dial(t.Context(), addr)
		if err != nil {
			t.Fatal(err)
		}
		c := p.add(conn, true)
		c.id[1] = byte(i + 1)
		p.hello(c, wire.ID{}, wire.ID{})
	}
	stop := make(chan struct{})
	p.wg.Go(func() {
		for tick := time.NewTicker(3 * time.Second); ; {
			select {
			case <-tick.C:
				p.mu.Lock()
				for _, c := range p.conns {
					p.write(c, wire.Append(nil, &wire.Time{Xmt: time.Now().UnixNano()}))
				}
				p.mu.Unlock()
			case <-stop:
				tick.Stop()
				return
			}
		}
	})
	t.Cleanup(func() {
		close(stop)
		_ = l.Close()
		p.mu.Lock()
		conns := append([]*protoConn(nil), p.conns...)
		p.mu.Unlock()
		for _, c := range conns {
			_ = c.conn.Close()
		}
		p.wg.Wait()
	})
	return p
}

func (p *proto) add(conn net.Conn, up bool) *protoConn {
	c := &protoConn{conn: conn, up: up, queue: make(chan []byte, 4096)}
	copy(c.id[:], conn.RemoteAddr().String())
	p.mu.Lock()
	p.conns = append(p.conns, c)
	p.mu.Unlock()
	p.wg.Go(func() {
		for frame := range c.queue {
			_, _ = conn.Write(frame) // the reader sees the end
		}
	})
	p.wg.Go(func() {
		r := wire.NewReader(conn)
		for {
			f, err := r.Next()
			if err != nil {
				break
			}
			p.mu.Lock()
			p.frame(c, f)
			p.mu.Unlock()
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		_ = conn.Close()
		for i, other := range p.conns {
			if other == c {
				p.conns = append(p.conns[:i:i], p.conns[i+1:]...)
				close(c.queue)
				break
			}
		}
		if p.active == c {
			p.active = nil
			p.elect()
		}
	})
	return c
}

// elect picks an active replica and hands it the latest votes.
func (p *proto) elect() {
	for _, c := range p.conns {
		if !c.up && c.ready && c.agent != "fin-1" && p.active == nil {
			p.active = c
			for _, v := range p.votes {
				p.write(c, v)
			}
		}
	}
}

func (p *proto) hello(c *protoConn, root, head wire.ID) {
	c.gen++
	p.write(c, wire.Append(nil, &wire.Handshake{
		NetworkVersion: wire.Version9, ChainID: p.w.Chain.ID, NodeID: c.id, Time: time.Now().UnixNano(),
		P2PAddress: "relay:9876 - 1234567", RootNum: root.Num(), RootID: root, HeadNum: head.Num(), HeadID: head,
		OS: "linux", Agent: "relay", Generation: c.gen,
	}))
}

func (p *proto) write(c *protoConn, frame []byte) {
	select {
	case c.queue <- frame:
	default: // too slow
	}
}

func (p *proto) frame(c *protoConn, f *wire.Frame) {
	raw := append([]byte(nil), f.Bytes()...)
	switch f.Type() {
	case wire.TypeHandshake:
		m, err := wire.ParseHandshake(f.Body())
		if err != nil {
			p.t.Error(err)
			return
		}
		first := !c.ready
		c.agent, c.ready = m.Agent, true
		if first || c.up {
			if first {
				p.hello(c, m.RootID, m.HeadID)
			}
		}
		if !c.up {
			p.push(c, m.HeadID)
			p.elect()
		} else {
			p.known[m.HeadID] = true
			p.last = max(p.last, m.HeadNum)
		}
	case wire.TypeTime:
		if m, err := wire.ParseTime(f.Body()); err == nil && m.Org == 0 {
			p.write(c, wire.Append(nil, &wire.Time{Org: m.Xmt, Rec: time.Now().UnixNano(), Xmt: time.Now().UnixNano()}))
		}
	case wire.TypeBlock:
		p.block(c, f, raw)
	case wire.TypeVote:
		p.vote(c, raw)
	case wire.TypeTransaction:
		if c.up {
			for _, other := range p.conns {
				if !other.up {
					p.write(other, raw)
				}
			}
		}
	default:
	}
}

// push sends what follows a replica's head.
func (p *proto) push(c *protoConn, head wire.ID) {
	for _, raw := range p.ring {
		if binary.BigEndian.Uint32(raw[5+14:])+1 > head.Num() {
			p.write(c, raw)
		}
	}
}

func (p *proto) block(c *protoConn, f *wire.Frame, raw []byte) {
	b, err := wire.ParseBlock(f.Body())
	if err != nil || p.known[b.ID] {
		return
	}
	if !c.up && (!p.known[b.Previous] || b.Num() <= p.last || p.gated && c != p.active) {
		// refused; a replica that is not active may produce if it was started less
		// than a vote pause ago
		return
	}
	p.known[b.ID] = true
	p.last = max(p.last, b.Num())
	p.ring = append(p.ring, raw)
	if len(p.ring) > 200 {
		p.ring = p.ring[1:]
	}
	for _, other := range p.conns {
		if other != c && other.ready && (!other.up || !c.up) {
			p.write(other, raw)
		}
	}
}

func (p *proto) vote(c *protoConn, raw []byte) {
	if !c.up && !p.known[wire.ID(raw[5:37])] {
		return
	}
	p.votes = append(p.votes, raw)
	if len(p.votes) > 12 {
		p.votes = p.votes[1:]
	}
	for _, other := range p.conns {
		switch {
		case other == c || !other.ready || other.up && c.up:
		case !other.up && p.gated && other != p.active && other.agent != "fin-1":
		default:
			p.write(other, raw)
		}
	}
}
