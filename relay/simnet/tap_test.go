package simnet_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"sync"

	"github.com/thinrelay/thinrelay/relay/simnet"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// tap is a transport that writes down the messages of the connections it dials.
type tap struct {
	simnet.Transport
	mu   sync.Mutex
	seen []tapped
}

type tapped struct {
	out     bool
	payload []byte
}

func (t *tap) Dial(ctx context.Context, addr string) (net.Conn, error) {
	conn, err := t.Transport.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	return &tappedConn{Conn: conn, tap: t}, nil
}

type tappedConn struct {
	net.Conn
	tap     *tap
	in, out []byte
}

func (c *tappedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.tap.note(&c.in, b[:n], false)
	return n, err
}

func (c *tappedConn) Write(b []byte) (int, error) {
	c.tap.note(&c.out, b, true)
	return c.Conn.Write(b)
}

func (t *tap) note(buf *[]byte, b []byte, out bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	*buf = append(*buf, b...)
	for len(*buf) >= 4 {
		n := 4 + int(binary.LittleEndian.Uint32(*buf))
		if len(*buf) < n {
			return
		}
		t.seen = append(t.seen, tapped{out, append([]byte(nil), (*buf)[4:n]...)})
		*buf = (*buf)[n:]
	}
}

// script is what one side said, without votes and transactions; a run of blocks
// is one entry.
func (t *tap) script(dialer bool) (out []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range t.seen {
		if m.out != dialer {
			continue
		}
		s := describe(m.payload)
		switch wire.Type(m.payload[0]) {
		case wire.TypeVote, wire.TypeTransaction:
			continue
		case wire.TypeBlock:
			if len(out) > 0 && out[len(out)-1] == s {
				continue
			}
		default:
		}
		out = append(out, s)
	}
	return out
}

func describe(payload []byte) string {
	body := payload[1:]
	switch t := wire.Type(payload[0]); t {
	case wire.TypeHandshake:
		m, err := wire.ParseHandshake(body)
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("handshake %d", m.Generation)
	case wire.TypeTime:
		m, err := wire.ParseTime(body)
		if err != nil {
			return err.Error()
		}
		if m.Org == 0 {
			return "time"
		}
		return "time answer"
	case wire.TypeNotice:
		m, err := wire.ParseNotice(body)
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("notice %d,%d", m.KnownTrx.Mode, m.KnownBlocks.Mode)
	case wire.TypeRequest:
		m, err := wire.ParseRequest(body)
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("request %d %d ids", m.ReqBlocks.Mode, len(m.ReqBlocks.IDs))
	default:
		return t.String()
	}
}
