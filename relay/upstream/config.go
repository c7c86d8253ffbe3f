package upstream

import (
	"context"
	"net"
	"strings"
	"time"

	"github.com/eoscanada/eos-go/ecc"
	"github.com/hashicorp/go-hclog"

	"github.com/thinrelay/thinrelay/relay/conn"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// MaxPeers is how many peers may be configured, so that sets of them fit a word.
const MaxPeers = 64

// Dial opens a connection to host:port.
type Dial func(ctx context.Context, addr string) (net.Conn, error)

// Config says whom to dial, as whom, and how patiently. Zero fields take the values named here.
type Config struct {
	// Peers are the addresses to dial, host:port, at most MaxPeers of them.
	Peers []string

	// PeerKey signs our handshakes, for peers with allowed-connection=specified. Nil: unsigned.
	PeerKey *ecc.PrivateKey

	// ChainID is our chain; false while it is not known. Nil: not known.
	ChainID func() (wire.ID, bool)

	// Learned is told the chain id of a peer while ChainID knows none. An error refuses the peer. Nil: accept.
	Learned func(wire.ID) error

	// Agent is the agent name in our handshakes, by default NodeName.
	Agent string

	// NodeName is the host part of our p2p_address, by default "thinrelay".
	NodeName string

	// Dial opens connections, by default TCP.
	Dial Dial

	// Conn is the template for connections. Its OnDrained is replaced by Drained.
	Conn conn.Config

	// Drained is called when a live connection that refused a frame has written its queue; see conn.Config.OnDrained.
	Drained func(*Peer)

	// Hello is what the first handshake of a live connection claims: the last root and head we know, zero for
	// nothing. Nil: nothing.
	Hello func() (root, head wire.ID)

	// DialTimeout bounds a TCP connect, 5 s.
	DialTimeout time.Duration

	// HandshakeTimeout bounds the wait for the peer's handshake on a live connection, 5 s.
	HandshakeTimeout time.Duration

	// StallTimeout is how long a source of a Fetch may make no progress before the next one is asked, 2 s. It bounds
	// dial and handshake of a sync connection too.
	StallTimeout time.Duration

	// SyncIdle is how long an unused sync connection is kept for the next Fetch, 10 s.
	SyncIdle time.Duration

	// SyncChunk is the number of blocks of one sync_request, 1000 as in nodeos (sync-fetch-span).
	SyncChunk uint32

	// LiveChunk is the most on a live connection, where blocks wait in memory instead of in TCP, and hold up what is live: 50.
	LiveChunk uint32

	// MaxFetches bounds the fetches running and waiting, 64.
	MaxFetches int

	// Logger receives a line per event that an operator can act on.
	Logger hclog.Logger
}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	if c.ChainID == nil {
		c.ChainID = func() (wire.ID, bool) { return wire.ID{}, false }
	}
	if c.Learned == nil {
		c.Learned = func(wire.ID) error { return nil }
	}
	if c.Hello == nil {
		c.Hello = func() (root, head wire.ID) { return }
	}
	if c.Dial == nil {
		c.Dial = dialTCP
	}
	c.NodeName = hostname(c.NodeName)
	if c.Agent == "" {
		c.Agent = c.NodeName
	}
	c.Agent = c.Agent[:min(len(c.Agent), maxAgent)]
	for _, f := range []struct {
		v *time.Duration
		d time.Duration
	}{
		{&c.DialTimeout, 5 * time.Second},
		{&c.HandshakeTimeout, 5 * time.Second},
		{&c.StallTimeout, 2 * time.Second},
		{&c.SyncIdle, 10 * time.Second},
	} {
		if *f.v <= 0 {
			*f.v = f.d
		}
	}
	if c.SyncChunk == 0 {
		c.SyncChunk = 1000
	}
	if c.LiveChunk == 0 {
		c.LiveChunk = 50
	}
	if c.MaxFetches <= 0 {
		c.MaxFetches = 64
	}
	return c
}

// maxAgent keeps the agent name under the 384 bytes nodeos accepts (net_utils.hpp:19-20).
const maxAgent = 255

// hostname makes a name fit the host part of a p2p_address: nodeos looks for colons in it.
func hostname(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '.', r == '_':
			return r
		}
		return '-'
	}, name)
	if name == "" {
		name = "thinrelay"
	}
	return name[:min(len(name), maxAgent)]
}

func dialTCP(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", addr)
}
