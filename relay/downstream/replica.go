package downstream

import (
	"context"
	"net/netip"
	"strings"
	"time"
	"unicode"

	"github.com/thinrelay/thinrelay/relay/conn"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// maxAgent is how much of an agent name is kept, in runes.
const maxAgent = 64

// Replica is one accepted connection of a nodeos. It is made by Serve and lives from ReplicaUp to ReplicaDown; two
// connections of one nodeos are two Replicas. Its methods are safe for concurrent use.
type Replica struct {
	conn      *conn.Conn
	addr      netip.AddrPort
	serial    uint64
	handshake wire.Handshake
	agent     string
	config    *Config
	since     time.Time

	live context.Context // ends with the connection
	end  context.CancelCauseFunc
	gone chan struct{} // closed after ReplicaDown has returned
	sync syncs
}

func newReplica(ctx context.Context, config *Config, c *conn.Conn, addr netip.AddrPort, serial uint64, h wire.Handshake) *Replica {
	r := &Replica{
		conn: c, addr: addr, serial: serial, handshake: h, agent: cleanAgent(h.Agent), config: config,
		since: time.Now(), gone: make(chan struct{}),
	}
	r.live, r.end = context.WithCancelCause(ctx)
	if config.Drained != nil {
		c.SetOnDrained(func() { config.Drained(r) })
	}
	return r
}

// NodeID identifies the nodeos process: it is random per start (net_plugin.cpp: my_impl->node_id).
func (r *Replica) NodeID() wire.ID { return r.handshake.NodeID }

// Agent is the replica's agent-name, without the quotes some versions put around it and with only printable characters.
// It is what the peer says of itself.
func (r *Replica) Agent() string { return r.agent }

// Version is the protocol version the replica announced; see wire.DecodeVersion.
func (r *Replica) Version() int { return r.handshake.Version() }

// Handshake is the replica's first handshake. Later ones come as frames.
func (r *Replica) Handshake() wire.Handshake { return r.handshake }

// Conn is the connection, for sending. Closing it leads to ReplicaDown.
func (r *Replica) Conn() *conn.Conn { return r.conn }

// Addr is where the replica dialled from.
func (r *Replica) Addr() netip.AddrPort { return r.addr }

// Serial numbers the connections of one Serve in the order they were accepted, from 1.
func (r *Replica) Serial() uint64 { return r.serial }

// Since is when the handshake was accepted.
func (r *Replica) Since() time.Time { return r.since }

// cleanAgent makes a peer's agent name fit for logs and for comparison with the configuration.
func cleanAgent(s string) string {
	s = strings.ToValidUTF8(s, "?")
	s = strings.TrimSpace(s)
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		s = strings.TrimSpace(s[1 : len(s)-1])
	}
	var b strings.Builder
	n := 0
	for _, c := range s {
		if n++; n > maxAgent {
			break
		}
		if !unicode.IsPrint(c) {
			c = '?'
		}
		b.WriteRune(c)
	}
	if b.Len() == 0 {
		return "unnamed"
	}
	return b.String()
}
