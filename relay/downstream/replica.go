package downstream

import (
	"context"
	"math"
	"net/netip"
	"strings"
	"sync"
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

	mu   sync.Mutex
	said wire.Handshake // our last one
}

func newReplica(ctx context.Context, config *Config, c *conn.Conn, addr netip.AddrPort, serial uint64, h wire.Handshake) *Replica {
	r := &Replica{
		conn: c, addr: addr, serial: serial, handshake: h, agent: cleanAgent(h.Agent), config: config,
		since: time.Now(), gone: make(chan struct{}), said: config.echo(&h),
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

// Announced is the root that the replica was last told of: what it takes us to have for good.
func (r *Replica) Announced() wire.ID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.said.RootID
}

// Announce sends a further handshake, with this root and head. Of a later one a nodeos takes root and head, and compares
// (net_plugin.cpp:3288-3294, 3419-3421): they must not be ahead of the replica's own, nor its root ahead of this head.
func (r *Replica) Announce(root, head wire.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.said
	if h.Generation == math.MaxInt16 {
		h.Generation = 1 // continues with 2, as nodeos does (net_plugin.cpp:1557-1559)
	}
	h.Generation++
	h.Time = time.Now().UnixNano()
	h.RootNum, h.RootID, h.HeadNum, h.HeadID = root.Num(), root, head.Num(), head
	f, err := r.config.sign(&h)
	if err != nil {
		return // the first one went well
	}
	defer f.Release()
	if r.conn.Send(conn.Control, f) {
		r.said = h
	}
}

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
