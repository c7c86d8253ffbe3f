package simnet_test

import (
	"net"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/relay/simnet"
	"github.com/thinrelay/thinrelay/relay/simnet/memnet"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// dummy is a peer made by hand: it opens a connection, echoes the handshake, and
// keeps what comes.
type dummy struct {
	t    *testing.T
	w    *simnet.Network
	conn net.Conn
	in   chan *wire.Frame
	id   wire.ID
	gen  int16
}

// dialDummy opens a connection and shakes hands, announcing what the peer has,
// and a protocol version.
func dialDummy(t *testing.T, w *simnet.Network, mem *memnet.Network, host string, version uint16) *dummy {
	t.Helper()
	conn, err := mem.Host(host).Dial(t.Context(), "up-1:9876")
	if err != nil {
		t.Fatal(err)
	}
	d := newDummy(t, w, conn, host)
	if version == 0 {
		return d
	}
	d.send(&wire.Time{Xmt: time.Now().UnixNano()})
	d.hello(version, wire.ID{}, wire.ID{})
	d.echo(version)
	return d
}

// acceptDummy takes the connection of a node that dials, and echoes its handshake.
func acceptDummy(t *testing.T, w *simnet.Network, l net.Listener) *dummy {
	t.Helper()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	d := newDummy(t, w, conn, "relay")
	d.echo(wire.Version9)
	return d
}

func newDummy(t *testing.T, w *simnet.Network, conn net.Conn, host string) *dummy {
	d := &dummy{t: t, w: w, conn: conn, in: make(chan *wire.Frame, 4096)}
	copy(d.id[:], host)
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		defer close(d.in)
		r := wire.NewReader(conn)
		for {
			f, err := r.Next()
			if err != nil {
				return
			}
			d.in <- f
		}
	}()
	return d
}

// echo answers the next handshake with what it says.
func (d *dummy) echo(version uint16) {
	d.t.Helper()
	hello := d.next(wire.TypeHandshake)
	if hello == nil {
		d.t.Fatal("no handshake")
	}
	m, err := wire.ParseHandshake(hello.Body())
	if err != nil {
		d.t.Fatal(err)
	}
	d.hello(version, m.RootID, m.HeadID)
}

func (d *dummy) hello(version uint16, root, head wire.ID) {
	d.gen++
	d.send(&wire.Handshake{
		NetworkVersion: version, ChainID: d.w.Chain.ID, NodeID: d.id, Time: time.Now().UnixNano(),
		P2PAddress: "dummy:9876 - 1234567", RootNum: root.Num(), RootID: root, HeadNum: head.Num(), HeadID: head,
		OS: "linux", Agent: "dummy", Generation: d.gen,
	})
}

func (d *dummy) send(m wire.Message) { d.write(wire.Append(nil, m)) }

func (d *dummy) write(frame []byte) {
	_, _ = d.conn.Write(frame) // a closed connection shows in what comes
}

// next is the next frame of a type; nil when the connection has ended or nothing
// comes for a minute.
func (d *dummy) next(want wire.Type) *wire.Frame {
	limit := time.After(time.Minute)
	for {
		select {
		case f, ok := <-d.in:
			if !ok || f.Type() == want {
				return f
			}
		case <-limit:
			return nil
		}
	}
}

// ended waits for the connection's end and says how long that took, a minute at
// most. On the way it counts the frames of a type.
func (d *dummy) ended(count wire.Type) (after time.Duration, frames int) {
	begin := time.Now()
	limit := time.After(time.Minute)
	for {
		select {
		case f, ok := <-d.in:
			if !ok {
				return time.Since(begin), frames
			}
			if f.Type() == count {
				frames++
			}
		case <-limit:
			return time.Minute, frames
		}
	}
}
