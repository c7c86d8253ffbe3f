package upstream_test

import (
	"bytes"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/upstream"
	"github.com/thinrelay/thinrelay/relay/wire"
	"github.com/thinrelay/thinrelay/relay/wire/captures"
)

// exact is a sink that keeps the bytes of every frame.
type exact struct {
	sink
	mu     sync.Mutex
	frames [][]byte
}

func (e *exact) UpstreamFrame(p *upstream.Peer, f *wire.Frame) {
	e.mu.Lock()
	e.frames = append(e.frames, bytes.Clone(f.Bytes()))
	e.mu.Unlock()
	e.sink.UpstreamFrame(p, f)
}

// Every recorded stream of a nodeos that was dialled is played at its own pace: each frame but time and go_away reaches
// the sink byte for byte and in order, and the echo repeats the recorded handshake.
func TestRecordedNodes(t *testing.T) {
	for _, name := range captures.Names() {
		s, err := captures.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		if s.Opener || strings.HasSuffix(name, "to-node") || len(s.Frames) < 3 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			id := captures.SavannaChainID
			if strings.HasPrefix(name, "legacy") {
				id = captures.LegacyChainID
			}
			chainID, err := wire.ParseID(id)
			if err != nil {
				t.Fatal(err)
			}
			var want [][]byte
			var first *wire.Handshake
			bye := false
			for _, f := range s.Frames {
				frame, err := wire.NewReader(bytes.NewReader(f.Bytes)).Next()
				if err != nil {
					continue // the last frame of a node that was killed
				}
				switch m, _ := wire.Decode(frame); m := m.(type) {
				case *wire.Time:
					continue
				case *wire.GoAway:
					bye = true
					continue
				case *wire.Handshake:
					if first == nil {
						first = m
						continue
					}
				}
				want = append(want, f.Bytes)
			}
			if bye || first == nil {
				t.Skip("no complete handshake in it")
			}
			play(t, s, chainID, first, want)
		})
	}
}

func play(t *testing.T, s *captures.Stream, chainID wire.ID, first *wire.Handshake, want [][]byte) {
	bubble(t, func(t *testing.T, w *world) {
		w.config.ChainID = func() (wire.ID, bool) { return chainID, true }
		var mu sync.Mutex
		var said []*wire.Handshake
		w.listen("node", func(l net.Listener) {
			accepter(l, func(c net.Conn) {
				r := wire.NewReader(c)
				playing := false
				for {
					f, err := r.Next()
					if err != nil {
						return
					}
					m, err := wire.Decode(f)
					if h, ok := m.(*wire.Handshake); ok && err == nil {
						mu.Lock()
						said = append(said, h)
						mu.Unlock()
						if !playing {
							playing = true
							go pace(c, s)
						}
					}
				}
			})
		})
		e := &exact{}
		w.dialer = upstream.New(w.config)
		run(t, w, e)
		time.Sleep(s.Frames[len(s.Frames)-1].At - s.Frames[0].At + time.Second)
		synctest.Wait()

		mu.Lock()
		defer mu.Unlock()
		if len(said) < 2 || said[1].Generation != 2 || said[1].HeadID != first.HeadID || said[1].RootID != first.RootID {
			t.Errorf("%d handshakes said, want generation 2 with head %d and root %d", len(said), first.HeadNum, first.RootNum)
		}
		for i := range e.frames {
			if i < len(want) && !bytes.Equal(e.frames[i], want[i]) {
				t.Fatalf("frame %d differs from the recording", i)
			}
		}
		if got, want := len(e.frames), len(want); got != want {
			t.Errorf("%d frames reached the sink, want %d", got, want)
		}
		if p := e.peer(0); p.Agent() != "boot" && p.Agent() != strings.Split(strings.SplitN(s.Name, "-", 2)[1], "-to-")[0] {
			t.Errorf("agent %q of %s", p.Agent(), s.Name)
		}
	})
}

// pace writes the stream with the recorded pauses.
func pace(c net.Conn, s *captures.Stream) {
	start := s.Frames[0].At
	began := time.Now()
	for _, f := range s.Frames {
		time.Sleep(f.At - start - time.Since(began))
		if _, err := c.Write(f.Bytes); err != nil {
			return
		}
	}
}

// run is world.run with another sink.
func run(t *testing.T, w *world, s upstream.Sink) {
	ctx, cancel := canceller(t)
	w.cancel, w.ended = cancel, make(chan struct{})
	go func() {
		defer close(w.ended)
		if err := w.dialer.Run(ctx, s); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	synctest.Wait()
}
