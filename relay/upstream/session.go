package upstream

import (
	"errors"
	"fmt"
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

const (
	// What may come before the peer's handshake: a notice, and in a race what it broadcasts just then.
	heldFrames = 64
	heldBytes  = 4 << 20

	// A nodeos sends a handshake for each rejected block, at most one in 50 ms with the same head (net_plugin.cpp:4228-4231),
	// one more when that changes, and a notice for some of our echoes: 250 in all. More than twice that is no nodeos.
	chatter       = 500
	chatterWindow = 10 * time.Second

	// answerPause is the least time between two answers to notices.
	answerPause = 500 * time.Millisecond
)

// session is the protocol on one live connection. It belongs to the connection's reader goroutine.
type session struct {
	target *target
	voice  *voice
	sink   Sink
	ready  func(*Peer) // called once, before UpstreamUp

	asking bool  // the chain id is unknown, and was asked for
	peer   *Peer // nil until the peer's handshake
	start  uint32

	held  []*wire.Frame // came before the handshake
	bytes int

	window   time.Time
	heard    int
	answered time.Time
}

// handle takes one frame and its reference.
func (s *session) handle(f *wire.Frame) error {
	if s.peer == nil {
		return s.early(f)
	}
	var err error
	switch t := f.Type(); t {
	case wire.TypeGoAway:
		err = goAway(f.Body())
	case wire.TypeHandshake:
		err = s.handshake(f.Body())
	case wire.TypeNotice:
		err = s.notice(f.Body())
	case wire.TypeBlock:
		num := blockNum(f.Body())
		s.peer.rise(num)
		if s.peer.tap.take(f, num) {
			f.Release()
			return nil
		}
	case wire.TypeVote, wire.TypeBlockNack:
		if wire.OfferVersion(s.peer.version) != wire.Version9 { // EOS 2.1: something else by that number
			f.Release()
			return nil
		}
	}
	if err != nil {
		f.Release()
		return err
	}
	s.sink.UpstreamFrame(s.peer, f)
	return nil
}

// early treats what comes before and with the peer's handshake.
func (s *session) early(f *wire.Frame) error {
	switch t := f.Type(); t {
	case wire.TypeHandshake:
		defer f.Release()
		return s.greet(f.Body())
	case wire.TypeGoAway:
		defer f.Release()
		err := goAway(f.Body())
		if s.asking && errors.Is(err, GoAway{Reason: wire.GoAwayWrongChain}) {
			err = fmt.Errorf("%w: %w", ErrChainUnknown, err)
		}
		return err
	case wire.TypeNotice:
		n, err := readNotice(f.Body())
		if err != nil {
			f.Release()
			return err
		}
		if n.start > 0 {
			s.start = n.start
		}
	default:
		if t > wire.TypeTransactionNotice || t == wire.TypeSyncRequest {
			f.Release()
			return fmt.Errorf("%w: %s", ErrEarlyFrame, t)
		}
	}
	s.held = append(s.held, f)
	s.bytes += f.Len()
	if len(s.held) > heldFrames || s.bytes > heldBytes {
		return fmt.Errorf("%w: %d frames, %d bytes", ErrEarlyFrame, len(s.held), s.bytes)
	}
	return nil
}

// greet takes the peer's first handshake: the echo first, so that it precedes whatever the sink sends.
func (s *session) greet(body []byte) error {
	g, err := s.voice.greet(body)
	if err != nil {
		return err
	}
	if err := s.voice.answer(g); err != nil {
		return err
	}
	s.peer = newPeer(s.target, s.voice, g, s.start)
	s.ready(s.peer)
	s.sink.UpstreamUp(s.peer)
	held := s.held
	s.held = nil
	for i, f := range held {
		if err := s.replay(f); err != nil {
			s.held = held[i+1:]
			return err
		}
	}
	return nil
}

// replay hands on a frame from before the handshake. A notice among them needs no answer: the echo was one.
func (s *session) replay(f *wire.Frame) error {
	if f.Type() != wire.TypeNotice {
		return s.handle(f)
	}
	s.sink.UpstreamFrame(s.peer, f)
	return nil
}

// end gives back what was held.
func (s *session) end() {
	for _, f := range s.held {
		f.Release()
	}
	s.held = nil
}

// handshake treats a later handshake: after a sync, a rejected block, or a pause without blocks.
func (s *session) handshake(body []byte) error {
	if err := s.chatter(); err != nil {
		return err
	}
	h, err := wire.ParseHandshake(body)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMessage, err)
	}
	if err := h.Valid(); err != nil {
		return fmt.Errorf("%w: %w", ErrHandshake, err)
	}
	told, err := viewOf(&h)
	if err != nil {
		return err
	}
	s.peer.hear(told)
	if said, _ := s.voice.last(); echoNeeded(said, told) {
		return s.voice.say(told)
	}
	return nil
}

// notice treats a notice. One with last_irr_catch_up means that the peer takes us for far behind and has stopped sending
// live traffic: the echo and an empty request both undo that (net_plugin.cpp:2217-2319, 3637-3640).
func (s *session) notice(body []byte) error {
	if err := s.chatter(); err != nil {
		return err
	}
	n, err := readNotice(body)
	if err != nil {
		return err
	}
	told := s.peer.heed(n)
	if !n.behind || time.Since(s.answered) < answerPause {
		return nil
	}
	s.answered = time.Now()
	if err := s.voice.say(told); err != nil {
		return err
	}
	return s.voice.send(&wire.Request{})
}

// chatter counts handshakes and notices.
func (s *session) chatter() error {
	now := time.Now()
	if now.Sub(s.window) > chatterWindow {
		s.window, s.heard = now, 0
	}
	s.heard++
	if s.heard > chatter {
		return fmt.Errorf("%w: %d in %s", ErrFlood, s.heard, chatterWindow)
	}
	return nil
}

// goAway is the error that a go_away message stands for.
func goAway(body []byte) error {
	m, err := wire.ParseGoAway(body)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMessage, err)
	}
	if m.Reason == wire.GoAwaySelf {
		return fmt.Errorf("%w: %w", ErrOwnHandshake, GoAway{Reason: m.Reason})
	}
	return GoAway{Reason: m.Reason}
}
