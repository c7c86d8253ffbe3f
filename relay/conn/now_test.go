package conn_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/relay/conn"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// small limits what a socket holds.
func small(t *testing.T, conns ...net.Conn) {
	t.Helper()
	for _, c := range conns {
		if err := errors.Join(c.(*net.TCPConn).SetWriteBuffer(64<<10), c.(*net.TCPConn).SetReadBuffer(128<<10)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSendNowInPart sends what the socket cannot take at once: the writer goes on where SendNow stopped, and what was
// queued meanwhile follows.
func TestSendNowInPart(t *testing.T) {
	ours, peer := sockets(t)
	small(t, ours, peer)
	s := serve(t.Context(), t, ours, conn.Config{})
	r := readPeer(t, peer)
	parts := 0
	for n := range uint32(20) {
		body := make([]byte, 2<<20)
		for i := range body {
			body[i] = byte(uint32(i>>8) + n)
		}
		large, next := wire.BlockFrame(body), numbered(t, wire.TypeVote, n, 100)
		before := s.Stats().BytesOut
		if !s.SendNow(conn.Blocks, large) || !s.Send(conn.Control, next) {
			t.Fatal("refused")
		}
		if s.Stats().BytesOut > before {
			parts++ // nothing was read, so this is less than the frame
		}
		for _, want := range []*wire.Frame{large, next} {
			got := r.next()
			if !bytes.Equal(got.Bytes(), want.Bytes()) {
				t.Fatalf("round %d: the %s of %d bytes is not the one sent", n, got.Type(), got.Len())
			}
			got.Release()
		}
		defer mustBeFree(t, large, next)
	}
	s.shut()
	if parts == 0 {
		t.Error("no frame was written in part: nothing was tested")
	}
	if got := s.Stats(); got.FramesOut != 40 || got.BytesOut != 20*(2<<20+5+100) {
		t.Errorf("%d frames and %d bytes counted", got.FramesOut, got.BytesOut)
	}
}

// TestSendNowBesideSend lets one sender send at once and another queue, while the clock keeps waking the writer: every
// frame arrives whole, and each sender's in order.
func TestSendNowBesideSend(t *testing.T) {
	ours, peer := sockets(t)
	small(t, ours, peer)
	s := serve(t.Context(), t, ours, conn.Config{LiveFrames: 1 << 20, LiveBytes: 1 << 30, KeepAlive: 20 * time.Microsecond})
	s.Start()
	const each = 200
	var frames [2][]*wire.Frame
	for n := range uint32(each) {
		frames[0] = append(frames[0], numbered(t, wire.TypeBlock, n, []int{64, 1 << 10, 300 << 10}[n%3]))
		frames[1] = append(frames[1], numbered(t, wire.TypeTransaction, n, 300))
	}
	var wg sync.WaitGroup
	for i, send := range []func(conn.Lane, *wire.Frame) bool{s.SendNow, s.Send} {
		wg.Go(func() {
			for _, f := range frames[i] {
				if !send(conn.Blocks, f) {
					t.Errorf("frame %d of sender %d refused", number(f), i)
				}
				if i == 1 {
					runtime.Gosched() // or it is done before the other has begun
				}
			}
		})
	}
	r := readPeer(t, peer)
	var next [2]uint32
	for got := 0; got < 2*each; {
		f := r.next()
		if f.Type() == wire.TypeTime {
			f.Release()
			continue
		}
		got++
		i := f.Type() - wire.TypeBlock
		if got, want := number(f), next[i]; got != want || f.Len() != frames[i][want].Len() {
			t.Fatalf("sender %d: got frame %d of %d bytes, want %d", i, got, f.Len(), want)
		}
		next[i]++
		f.Release()
	}
	wg.Wait()
	s.shut()
	mustBeFree(t, append(frames[0], frames[1]...)...)
}

// TestSendNowToSilence: what a socket that is full did not take is given back when the connection ends.
func TestSendNowToSilence(t *testing.T) {
	ours, peer := sockets(t)
	s := serve(t.Context(), t, ours, conn.Config{})
	defer peer.Close()
	var frames []*wire.Frame
	for n := range uint32(20) {
		f := numbered(t, wire.TypeBlock, n, 1<<20)
		frames = append(frames, f)
		s.SendNow(conn.Blocks, f)
	}
	s.shut()
	mustBeFree(t, frames...)
	if s.SendNow(conn.Blocks, numbered(t, wire.TypeBlock, 0, 100)) {
		t.Error("a closed connection took a frame")
	}
}

// TestSendNowIdle: an idle connection writes without its writer, and allocates nothing for it.
func TestSendNowIdle(t *testing.T) {
	defer wire.PoisonReleased(wire.PoisonReleased(false))
	k := newLink(t, true)
	f := numbered(t, wire.TypeBlock, 1, 1000)
	defer f.Release()
	once := func() {
		k.near.SendNow(conn.Blocks, f)
		<-k.each
	}
	once()
	if raceEnabled() {
		once()
		return
	}
	if got := testing.AllocsPerRun(200, once); got >= 1 {
		t.Errorf("%v allocations per frame, want 0", got)
	}
}

// TestSendNowInMemory: where there is no socket it is Send.
func TestSendNowInMemory(t *testing.T) {
	ours, peer := pair(t, 1<<10)
	s := serve(context.Background(), t, ours, conn.Config{})
	f := numbered(t, wire.TypeBlock, 7, 100)
	if !s.SendNow(conn.Blocks, f) {
		t.Fatal("refused")
	}
	got := readPeer(t, peer).next()
	if number(got) != 7 {
		t.Errorf("peer got %d, want 7", number(got))
	}
	got.Release()
	s.shut()
	mustBeFree(t, f)
}
