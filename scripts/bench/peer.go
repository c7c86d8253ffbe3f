//go:build benchpeers

package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

const (
	// keepAlive is how often a peer that only receives says something, so that nobody takes it for dead.
	keepAlive = 2 * time.Second
	// greeting is how long a handshake may take.
	greeting = 5 * time.Second
)

// peer is one end of a connection: a nodeos that does no more than the measurement needs.
type peer struct {
	c     net.Conn
	r     *bufio.Reader
	bytes atomic.Int64 // of blocks that arrived whole
	last  uint32       // height of the last one

	thread *threadReader // nil: it is read by package net
}

func newPeer(c net.Conn) *peer { return &peer{c: c, r: bufio.NewReaderSize(c, 256<<10)} }

// hello sends the handshake of a node that has the chain's first block only.
func (p *peer) hello(agent string) error {
	h := wire.Handshake{
		NetworkVersion: wire.Version9, ChainID: chainID(), P2PAddress: "127.0.0.1:9876 - 0000000", OS: "linux", Agent: agent,
		Generation: 1, Time: time.Now().UnixNano(), HeadNum: genesis, RootNum: genesis,
	}
	binary.BigEndian.PutUint32(h.HeadID[:], genesis)
	h.RootID = h.HeadID
	if _, err := rand.Read(h.NodeID[:]); err != nil {
		return err
	}
	f := wire.Encode(&h)
	defer f.Release()
	_, err := p.c.Write(f.Bytes())
	return err
}

// awaitHello reads until the other end's handshake.
func (p *peer) awaitHello() error {
	if err := p.c.SetReadDeadline(time.Now().Add(greeting)); err != nil {
		return err
	}
	for {
		t, _, err := p.frame()
		if err != nil {
			return fmt.Errorf("await handshake: %w", err)
		}
		if t == wire.TypeHandshake {
			return p.c.SetReadDeadline(time.Time{})
		}
	}
}

// frame reads one frame to its end, and returns its type and, of a block, the height.
func (p *peer) frame() (t wire.Type, num uint32, err error) {
	head, err := p.r.Peek(5)
	if err != nil {
		return 0, 0, err
	}
	n := 4 + int(binary.LittleEndian.Uint32(head))
	t = wire.Type(head[4])
	if t == wire.TypeBlock {
		if head, err = p.r.Peek(headLen); err != nil {
			return 0, 0, err
		}
		num = height(head[5:])
	}
	if _, err = p.r.Discard(n); err != nil {
		return 0, 0, err
	}
	if t == wire.TypeBlock {
		p.bytes.Add(int64(n))
	}
	return t, num, nil
}

// receive hands each block to arrived until the connection ends, which is an error unless this side ended it.
func (p *peer) receive(arrived func(num uint32)) error {
	for {
		t, num, err := p.frame()
		if err != nil {
			return err
		}
		if t != wire.TypeBlock {
			continue
		}
		if num <= p.last {
			return fmt.Errorf("block %d came after block %d", num, p.last)
		}
		p.last = num
		arrived(num)
	}
}

// speak keeps the connection alive until done.
func (p *peer) speak(done <-chan struct{}) {
	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			f := wire.Encode(&wire.Time{Xmt: time.Now().UnixNano()})
			_, err := p.c.Write(f.Bytes())
			f.Release()
			if err != nil {
				return // the reader says so
			}
		case <-done:
			return
		}
	}
}

var _ io.Closer = (*peer)(nil)

// apart has the peer read on a thread of its own, see [threadReader].
func (p *peer) apart() error {
	t, err := newThreadReader(p.c)
	if err != nil {
		return err
	}
	ahead, err := p.r.Peek(p.r.Buffered())
	if err != nil {
		return errors.Join(err, t.Close())
	}
	p.thread, p.r = t, bufio.NewReaderSize(io.MultiReader(bytes.NewReader(slices.Clone(ahead)), t), 256<<10)
	return nil
}

// Close ends the connection.
func (p *peer) Close() error {
	if p.thread != nil {
		p.thread.end()
	}
	return p.c.Close()
}
