package upstream

import (
	"context"
	"time"

	"github.com/thinrelay/thinrelay/relay/conn"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// settle is how long Inspect waits for a notice after the handshake; nodeos sends it before (p2p notes, 14.6).
const settle = 500 * time.Millisecond

// Probe reports whether a TCP connection to addr can be opened. Nothing is sent. For peers that accept one connection
// per host it must come from another host than the one that is connected. dial nil: TCP.
func Probe(ctx context.Context, dial Dial, addr string) bool {
	if dial == nil {
		dial = dialTCP
	}
	c, err := dial(ctx, addr)
	if err != nil {
		return false
	}
	_ = c.Close() // it was reachable
	return true
}

// Report is what a peer says of itself to a stranger.
type Report struct {
	Addr         string
	ChainID      wire.ID
	NodeID       wire.ID
	Version      int
	Agent        string
	OS           string
	P2PAddress   string
	Head         wire.ID
	Root         wire.ID
	Start        uint32        // first block it can serve, 0: not told
	Transactions bool          // it takes transactions
	ClockOffset  time.Duration // the peer's clock minus ours, too small by the time its handshake travelled
	Took         time.Duration // from the dial to its handshake
	Second       error         // nil: it accepts a second connection from here; else why not
}

// Inspect makes a connection to addr as a stranger that knows no block, reads what the peer tells, and tries a second
// connection beside it. From a host that is connected to the peer already, the first one may be refused. Of the config it uses identity, dialling and time limits. The error is why there was no handshake;
// Hint explains it.
func Inspect(ctx context.Context, config Config, addr string) (Report, error) {
	config = config.withDefaults()
	r := Report{Addr: addr}
	start := time.Now()
	first, err := meet(ctx, &config, addr)
	if err != nil {
		return r, err
	}
	defer first.leave()
	h := first.greeting.handshake
	now := time.Now()
	r.Took = now.Sub(start)
	r.ChainID, r.NodeID, r.Version = h.ChainID, h.NodeID, first.greeting.version
	r.Agent, r.OS, r.P2PAddress = printable(h.Agent), printable(h.OS), printable(h.P2PAddress)
	r.Head, r.Root = first.greeting.told.head, first.greeting.told.root
	r.Transactions = takesTransactions(h.P2PAddress)
	if at := wire.Nanoseconds(h.Time); at > 0 {
		r.ClockOffset = time.Unix(0, at).Sub(now)
	}
	select {
	case r.Start = <-first.start:
	case <-time.After(settle):
	case <-ctx.Done():
	}
	second, err := meet(ctx, &config, addr)
	if err != nil {
		r.Second = err
		return r, nil
	}
	second.leave()
	return r, nil
}

// Hint says what an operator may do about an error of a connection; empty when there is nothing to say.
func Hint(err error) string {
	if err == nil {
		return ""
	}
	return causeOf(err).hint
}

// acquaintance is a connection that serves only to read the peer's first words.
type acquaintance struct {
	conn     *conn.Conn
	voice    *voice
	greeting greeting
	met      chan struct{} // closed after greeting is set
	start    chan uint32   // receives the first block number of the first notice that has one
	ended    chan struct{}
}

// meet connects and waits for the peer's handshake.
func meet(ctx context.Context, config *Config, addr string) (*acquaintance, error) {
	c, err := config.connect(ctx, addr, config.Conn, config.DialTimeout)
	if err != nil {
		return nil, err
	}
	a := &acquaintance{
		conn: c, voice: newVoice(config, c),
		met: make(chan struct{}), start: make(chan uint32, 1), ended: make(chan struct{}),
	}
	timer := time.AfterFunc(config.HandshakeTimeout, func() { c.Close(ErrHandshakeTimeout) })
	defer timer.Stop()
	asking, err := a.voice.open(view{})
	if err != nil {
		c.Close(err)
	}
	if asking {
		insist := time.AfterFunc(config.HandshakeTimeout/2, func() { _ = a.voice.insist(view{}) })
		defer insist.Stop()
	}
	var cause error
	go func() {
		defer close(a.ended)
		cause = c.Serve(ctx, a.handle)
	}()
	select {
	case <-a.met:
		return a, nil
	case <-a.ended:
		return nil, closedEarly(c, cause)
	}
}

func (a *acquaintance) handle(f *wire.Frame) error {
	defer f.Release()
	switch f.Type() {
	case wire.TypeGoAway:
		return goAway(f.Body())
	case wire.TypeNotice:
		n, err := readNotice(f.Body())
		if err != nil {
			return err
		}
		if n.start > 0 {
			select {
			case a.start <- n.start:
			default:
			}
		}
	case wire.TypeHandshake:
		select {
		case <-a.met:
			return nil
		default:
		}
		g, err := a.voice.greet(f.Body())
		if err != nil {
			return err
		}
		a.greeting = g
		close(a.met)
		if said, spoke := a.voice.last(); !spoke || said != (view{}) {
			return a.voice.say(view{}) // it told us its chain first
		}
	}
	return nil
}

// leave closes the connection and waits for its goroutines.
func (a *acquaintance) leave() {
	a.conn.Close(nil)
	<-a.ended
}
