package upstream

import (
	"crypto/rand"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/thinrelay/thinrelay/relay/conn"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// voice is what the relay says of itself on one connection: who it is, and the run of its handshakes. Node id and
// p2p_address are new for each connection, because nodeos refuses a second connection with a known node id, and EOSIO
// 2.0 one with a known address (net_plugin.cpp:3334-3357).
type voice struct {
	config  *Config
	conn    *conn.Conn
	node    wire.ID
	address string

	mu         sync.Mutex // orders generations with their place in the queue
	chain      wire.ID
	version    uint16
	generation int16
	said       view
}

func newVoice(config *Config, c *conn.Conn) *voice {
	v := &voice{config: config, conn: c, version: wire.Version9}
	_, _ = rand.Read(v.node[:]) // never fails, since Go 1.24
	v.address = fmt.Sprintf("%s:9876 - %.7s", config.NodeName, v.node)
	return v
}

// open speaks first, as the side that dialled: time, then the handshake of generation 1. While the chain id is unknown
// a handshake would be answered with wrong_chain; a time message that looks like an answer is put in its place, on which
// a listening nodeos that has no handshake yet sends its own (net_plugin.cpp:3519-3523). It reports whether it did so.
func (v *voice) open(hello view) (asking bool, err error) {
	v.conn.Start()
	chain, known := v.config.ChainID()
	if known {
		v.mu.Lock()
		v.chain = chain
		v.mu.Unlock()
		return false, v.say(hello)
	}
	now := time.Now().UnixNano()
	return true, v.send(&wire.Time{Org: now, Rec: now, Xmt: now + 1})
}

// insist says the first handshake, with a chain id of zero, if nothing was said yet: for a peer that does not answer the
// question of open. A nodeos answers this with go_away wrong_chain.
func (v *voice) insist(hello view) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.generation > 0 {
		return nil
	}
	return v.next(hello)
}

// learn sets the chain id that the peer told.
func (v *voice) learn(chain wire.ID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.chain = chain
}

// say sends the next handshake, with this view of the chain.
func (v *voice) say(w view) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.next(w)
}

// restart announces another protocol version, which counts only in a handshake of generation 1.
func (v *voice) restart(version uint16, w view) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.version, v.generation = version, 0
	return v.next(w)
}

// last is the view in our last handshake; false if there was none.
func (v *voice) last() (view, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.said, v.generation > 0
}

// next builds and queues a handshake. The lock is held.
func (v *voice) next(w view) error {
	if v.generation == math.MaxInt16 {
		v.generation = 1 // continues with 2, as nodeos does (net_plugin.cpp:1557-1559)
	}
	h := &wire.Handshake{
		NetworkVersion: v.version,
		ChainID:        v.chain,
		NodeID:         v.node,
		Time:           time.Now().UnixNano(),
		P2PAddress:     v.address,
		RootNum:        w.root.Num(),
		RootID:         w.root,
		HeadNum:        w.head.Num(),
		HeadID:         w.head,
		OS:             "linux",
		Agent:          v.config.Agent,
		Generation:     v.generation + 1,
	}
	if key := v.config.PeerKey; key != nil {
		if err := wire.SignHandshake(h, key); err != nil {
			return err
		}
	}
	if err := v.send(h); err != nil {
		return err
	}
	v.generation, v.said = h.Generation, w
	return nil
}

// send queues a message; a full queue is an error, because what goes through here cannot be left out.
func (v *voice) send(m wire.Message) error {
	f := wire.Encode(m)
	defer f.Release()
	if !v.conn.Send(conn.Control, f) {
		if cause := v.conn.Cause(); cause != nil {
			return cause
		}
		return ErrSlow
	}
	return nil
}
