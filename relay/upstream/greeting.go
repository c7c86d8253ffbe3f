package upstream

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// greeting is the peer's first handshake, checked.
type greeting struct {
	handshake wire.Handshake
	told      view
	version   int
}

// greet checks the peer's first handshake. An unknown chain id is learned from it.
func (v *voice) greet(body []byte) (greeting, error) {
	h, err := wire.ParseHandshake(body)
	if err != nil {
		return greeting{}, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	if err := h.Valid(); err != nil {
		return greeting{}, fmt.Errorf("%w: %w", ErrHandshake, err)
	}
	told, err := viewOf(&h)
	if err != nil {
		return greeting{}, err
	}
	if h.NodeID == v.node {
		return greeting{}, ErrOwnHandshake
	}
	if chain, known := v.config.ChainID(); known {
		if h.ChainID != chain {
			return greeting{}, fmt.Errorf("%w: %s", ErrWrongChain, h.ChainID)
		}
	} else if err := v.config.Learned(h.ChainID); err != nil {
		return greeting{}, fmt.Errorf("%w: %w", ErrNotLearned, err)
	}
	v.learn(h.ChainID)
	return greeting{handshake: h, told: told, version: h.Version()}, nil
}

// answer makes the peer hear its own root and head, unless we have said just that. The EOS 2.1 family hears version 1,
// which takes a new generation 1 (net_plugin.cpp:3404-3410).
func (v *voice) answer(g greeting) error {
	if offer := wire.OfferVersion(g.version); offer != wire.Version9 {
		return v.restart(offer, g.told)
	}
	if said, spoke := v.last(); spoke && said == g.told {
		return nil
	}
	return v.say(g.told)
}

// noticed is what a notice tells of its sender's blocks.
type noticed struct {
	behind  bool    // it takes us for far behind, and sends nothing live until it hears better
	head    wire.ID // zero: not told
	rootNum uint32  // zero: not told
	start   uint32  // first block it can serve, zero: not told
}

func readNotice(body []byte) (noticed, error) {
	m, err := wire.ParseNotice(body)
	if err != nil {
		return noticed{}, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	var n noticed
	switch m.KnownBlocks.Mode {
	case wire.ModeLastIrrCatchUp:
		n.behind = true
		n.rootNum = m.KnownTrx.Pending
	case wire.ModeCatchUp:
	default:
		return n, nil
	}
	if ids := m.KnownBlocks.IDs; len(ids) > 0 {
		n.head = ids[0]
		if len(ids) > 1 {
			n.start = ids[1].Num()
		}
	}
	return n, nil
}

// printable makes a peer's text fit for logs: no quotes around it, no control characters, at most 64 bytes.
func printable(s string) string {
	s = strings.Trim(s, `"`)
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return '?'
		}
		return r
	}, s)
	const limit = 64
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "")
	}
	return s
}
