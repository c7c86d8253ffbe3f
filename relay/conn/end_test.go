package conn_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/conn"
	"github.com/thinrelay/thinrelay/relay/simnet/memnet"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// TestCauses ends connections in every way a peer can, and checks what Serve says and when.
func TestCauses(t *testing.T) {
	block := func(t *testing.T) []byte { return numbered(t, wire.TypeBlock, 1, 5000).Bytes() }
	for _, tc := range []struct {
		name  string
		start bool
		do    func(t *testing.T, peer *memnet.Conn)
		want  error
		text  string
		after time.Duration
	}{
		{"closed", true, func(_ *testing.T, peer *memnet.Conn) { peer.Close() }, conn.ErrPeerClosed, "", 0},
		{"reset", true, func(_ *testing.T, peer *memnet.Conn) { peer.Reset() }, conn.ErrPeerClosed, "reset", 0},
		{"closed inside a frame", false, func(t *testing.T, peer *memnet.Conn) {
			peer.Write(block(t)[:100])
			peer.Close()
		}, conn.ErrPeerClosed, "inside a frame", 0},
		{"half open", false, func(*testing.T, *memnet.Conn) {}, conn.ErrReadTimeout, "30s", 30 * time.Second},
		{"half open after a while", false, func(t *testing.T, peer *memnet.Conn) {
			pass(20 * time.Second)
			send(t, peer, &wire.Time{Org: 1})
		}, conn.ErrReadTimeout, "30s", 50 * time.Second},
		{"trickle", true, func(t *testing.T, peer *memnet.Conn) {
			b := block(t)
			for i := range 100 {
				if _, err := peer.Write(b[i : i+1]); err != nil {
					return
				}
				pass(time.Second)
			}
		}, conn.ErrReadTimeout, "no whole frame", 30 * time.Second},
		{"empty frame", true, func(_ *testing.T, peer *memnet.Conn) { peer.Write(make([]byte, 4)) }, conn.ErrProtocol, "empty", 0},
		{"huge frame", true, func(_ *testing.T, peer *memnet.Conn) {
			peer.Write([]byte{1, 0, 128, 0, 7}) // 8 MiB + 1
		}, conn.ErrProtocol, "larger", 0},
		{"bad time message", true, func(_ *testing.T, peer *memnet.Conn) {
			peer.Write([]byte{3, 0, 0, 0, 3, 1, 1})
		}, conn.ErrProtocol, "time", 0},
		{"large frame before the handshake", false, func(t *testing.T, peer *memnet.Conn) {
			peer.Write(block(t))
		}, conn.ErrOpening, "handshake", 0},
		{"many frames before the handshake", false, func(t *testing.T, peer *memnet.Conn) {
			_, _ = peer.Write(bytes.Repeat(wire.Append(nil, &wire.Time{Org: 1}), 200)) // cut off on the way
		}, conn.ErrOpening, "handshake", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, peer := pair(t, memnet.DefaultBuffer)
				s := serve(t.Context(), t, ours, conn.Config{})
				if tc.start {
					s.Start()
				}
				begin := time.Now()
				var did sync.WaitGroup
				did.Go(func() { tc.do(t, peer.(*memnet.Conn)) })
				err := <-s.cause
				if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.text) {
					t.Errorf("Serve returned %q, want %q with %q", err, tc.want, tc.text)
				}
				if got := time.Since(begin); got != tc.after {
					t.Errorf("ended after %s, want %s", got, tc.after)
				}
				if s.Cause() != err {
					t.Errorf("Cause() = %v, want what Serve returned", s.Cause())
				}
				did.Wait()
			})
		})
	}
}

func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, _ := pair(t, 4096)
		s := serve(t.Context(), t, ours, conn.Config{})
		begin := time.Now()
		var frames []*wire.Frame
		for n := range uint32(100) {
			f := numbered(t, wire.TypeBlock, n, 1000)
			frames = append(frames, f)
			s.Send(conn.Blocks, f)
		}
		s.ended(conn.ErrSlowReader)
		if got, want := time.Since(begin), 10*time.Second; got != want {
			t.Errorf("ended after %s, want %s", got, want)
		}
		mustBeFree(t, frames...)
	})
}

// TestOwnEnds: the first cause counts, whoever gives it.
func TestOwnEnds(t *testing.T) {
	why := errors.New("replaced")
	t.Run("close", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ours, _ := pair(t, 4096)
			s := serve(t.Context(), t, ours, conn.Config{})
			f := numbered(t, wire.TypeBlock, 0, 1000)
			for _, lane := range []conn.Lane{conn.Blocks, conn.Sync, conn.Bulk} {
				for range 10 {
					s.Send(lane, f) // some are being written, the rest wait
				}
				synctest.Wait()
			}
			s.Close(why)
			s.Close(errors.New("later"))
			s.ended(why)
			mustBeFree(t, f)
		})
	})
	t.Run("context", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ours, _ := pair(t, 4096)
			ctx, cancel := context.WithCancelCause(t.Context())
			s := serve(ctx, t, ours, conn.Config{})
			synctest.Wait()
			cancel(why)
			s.ended(why)
		})
	})
	t.Run("handler", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ours, peer := pair(t, 4096)
			c := conn.New(ours, conn.Config{})
			send(t, peer, &wire.SyncRequest{Start: 1, End: 2})
			if err := c.Serve(t.Context(), func(f *wire.Frame) error { f.Release(); return why }); !errors.Is(err, why) {
				t.Errorf("Serve returned %v, want the handler's error", err)
			}
		})
	})
}

// TestLastWords: a peer that sends its last blocks and is killed is read to the end, although writing to it fails first.
func TestLastWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, peer := pair(t, memnet.DefaultBuffer)
		c := conn.New(ours, conn.Config{OpeningBytes: -1})
		c.Start()
		resume := make(chan struct{})
		var got []uint32
		cause := make(chan error, 1)
		go func() {
			cause <- c.Serve(t.Context(), func(f *wire.Frame) error {
				got = append(got, number(f))
				f.Release()
				<-resume
				return nil
			})
		}()
		for n := range uint32(3) {
			f := numbered(t, wire.TypeBlock, n, 200)
			if _, err := peer.Write(f.Bytes()); err != nil {
				t.Fatal(err)
			}
			f.Release()
		}
		synctest.Wait() // the handler holds the first, the others wait
		if err := peer.Close(); err != nil {
			t.Fatal(err)
		}
		f := numbered(t, wire.TypeBlock, 9, 200)
		for range 5 { // the answer to the first write is a reset, the next fails
			c.Send(conn.Blocks, f)
			synctest.Wait()
		}
		close(resume)
		if err := <-cause; !errors.Is(err, conn.ErrPeerClosed) {
			t.Errorf("Serve returned %v, want ErrPeerClosed", err)
		}
		if len(got) != 3 {
			t.Errorf("read %v of a killed peer, want its 3 last blocks", got)
		}
		mustBeFree(t, f)
	})
}

// TestOpeningOfAFastPeer: what comes behind the handshake in one segment is not lost and not held against the peer.
func TestOpeningOfAFastPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, peer := pair(t, memnet.DefaultBuffer)
		c := conn.New(ours, conn.Config{})
		var all []byte
		h := wire.Encode(&wire.Handshake{Generation: 1, Agent: "fast"})
		all = append(all, h.Bytes()...)
		h.Release()
		for n := range uint32(20) {
			f := numbered(t, wire.TypeBlock, n, 10_000)
			all = append(all, f.Bytes()...)
			f.Release()
		}
		if _, err := peer.Write(all); err != nil {
			t.Fatal(err)
		}
		got := 0
		done := errors.New("done")
		err := c.Serve(t.Context(), func(f *wire.Frame) error {
			defer f.Release()
			if f.Type() == wire.TypeHandshake {
				c.Start()
				return nil
			}
			if got++; got == 20 {
				return done
			}
			return nil
		})
		if !errors.Is(err, done) {
			t.Errorf("Serve returned %v after %d blocks, want all 20", err, got)
		}
	})
}

// FuzzSession feeds arbitrary bytes, in pieces, to a connection that nobody protects.
func FuzzSession(f *testing.F) {
	for _, m := range []wire.Message{
		&wire.Time{Xmt: 5}, &wire.Time{Org: 5, Xmt: 6}, &wire.Handshake{Generation: 1}, &wire.SyncRequest{Start: 1, End: 9},
	} {
		f.Add(wire.Append(nil, m), uint8(3), true)
	}
	f.Add([]byte{0xff, 0xff, 0x7f, 0, 7}, uint8(1), false)
	f.Fuzz(func(t *testing.T, data []byte, pieces uint8, start bool) {
		synctest.Test(t, func(t *testing.T) {
			ours, peer := pair(t, memnet.DefaultBuffer)
			s := serve(t.Context(), t, ours, conn.Config{})
			if start {
				s.Start()
			}
			go func() {
				defer peer.Close()
				step := len(data)/(int(pieces)+1) + 1
				for rest := data; len(rest) > 0; rest = rest[min(step, len(rest)):] {
					if _, err := peer.Write(rest[:min(step, len(rest))]); err != nil {
						return
					}
				}
			}()
			drained := make(chan struct{})
			go func() {
				defer close(drained)
				for f := range s.frames {
					f.Release()
				}
			}()
			if err := <-s.cause; err == nil {
				t.Error("Serve returned nil")
			}
			close(s.frames)
			<-drained
		})
	})
}

// deadHost is a connection whose host has fallen silent, as the kernel tells it.
type deadHost struct {
	net.Conn
	errno syscall.Errno
}

func (c deadHost) Read([]byte) (int, error) {
	return 0, &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", c.errno)}
}

// A host that answers no more is silent. It has not hung up, which is held against what it was sent last.
func TestSilentHostHasNotHungUp(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.ETIMEDOUT, syscall.EHOSTUNREACH, syscall.ENETUNREACH} {
		ours, theirs := net.Pipe()
		err := conn.New(deadHost{ours, errno}, conn.Config{}).Serve(t.Context(), func(f *wire.Frame) error { f.Release(); return nil })
		if !errors.Is(err, conn.ErrReadTimeout) || errors.Is(err, conn.ErrPeerClosed) {
			t.Errorf("%v: got %v, want %v", errno, err, conn.ErrReadTimeout)
		}
		theirs.Close()
	}
}
