package downstream

import (
	"net/netip"
	"time"

	"github.com/eoscanada/eos-go/ecc"
	"github.com/hashicorp/go-hclog"

	"github.com/thinrelay/thinrelay/relay/conn"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// Config says who may connect and what they are told. A zero field of the limits takes its value from DefaultConfig.
type Config struct {
	// Logger gets one line for each replica that comes, goes or is refused; of refusals at most one a second per reason.
	Logger hclog.Logger

	// Allow lists the networks replicas may come from. Empty allows none: who wants everyone says 0.0.0.0/0 and ::/0.
	Allow []netip.Prefix
	// PeerKeys, when not empty, lists the keys a handshake must be signed with. The protocol has no nonce, so this tells
	// peers apart and secures nothing against those who can listen (p2p notes, 3.4).
	PeerKeys []ecc.PublicKey
	// PeerKey signs our own handshakes, for replicas that ask for it with allowed-connection. nil: unsigned.
	PeerKey *ecc.PrivateKey

	// ChainID tells the chain, or false while it is unknown: then a replica's own is echoed. nil: never known.
	ChainID func() (wire.ID, bool)
	// NodeName is the host part of the p2p_address we announce.
	NodeName string
	// Agent is the agent name we announce.
	Agent string

	// Conn is the template for connections. Its OnDrained is replaced by Drained.
	Conn conn.Config
	// Drained is called when a replica whose queue refused a frame, or was dropped, has written the rest of it. It runs on
	// the writer's goroutine and must not block. See conn.Config.OnDrained.
	Drained func(*Replica)

	// HandshakeTimeout is how long a connection may take to show a handshake.
	HandshakeTimeout time.Duration
	// MaxConns bounds all connections, MaxConnsPerAddr those of one address.
	MaxConns, MaxConnsPerAddr int
	// MaxPending bounds the connections without a handshake, MaxPendingPerAddr those of one address. Beyond it the oldest
	// is closed: a nodeos sends its handshake at once, so those who wait longest are the least likely to be one.
	MaxPending, MaxPendingPerAddr int
	// SyncPatience is how long a sync request is tried without a single block before it is given up.
	SyncPatience time.Duration
}

// DefaultConfig returns the values used for fields that are zero.
func DefaultConfig() Config {
	return Config{
		Logger:            hclog.NewNullLogger(),
		NodeName:          "relay",
		Agent:             "thinrelay",
		HandshakeTimeout:  5 * time.Second,
		MaxConns:          256,
		MaxConnsPerAddr:   64,
		MaxPending:        64,
		MaxPendingPerAddr: 16,
		SyncPatience:      30 * time.Second,
	}
}

func (c Config) withDefaults() Config {
	d := DefaultConfig()
	if c.Logger == nil {
		c.Logger = d.Logger
	}
	if c.ChainID == nil {
		c.ChainID = func() (wire.ID, bool) { return wire.ID{}, false }
	}
	if c.NodeName == "" {
		c.NodeName = d.NodeName
	}
	if c.Agent == "" {
		c.Agent = d.Agent
	}
	if c.HandshakeTimeout <= 0 {
		c.HandshakeTimeout = d.HandshakeTimeout
	}
	if c.SyncPatience <= 0 {
		c.SyncPatience = d.SyncPatience
	}
	for _, f := range []struct{ v, d *int }{
		{&c.MaxConns, &d.MaxConns},
		{&c.MaxConnsPerAddr, &d.MaxConnsPerAddr},
		{&c.MaxPending, &d.MaxPending},
		{&c.MaxPendingPerAddr, &d.MaxPendingPerAddr},
	} {
		if *f.v <= 0 {
			*f.v = *f.d
		}
	}
	if c.Conn.Logger == nil {
		c.Conn.Logger = c.Logger
	}
	c.Conn.OnDrained = nil
	return c
}

// allowed reports whether replicas may come from a.
func (c *Config) allowed(a netip.Addr) bool {
	for _, p := range c.Allow {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
