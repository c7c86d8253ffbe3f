package relay_test

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/simnet"
	"github.com/thinrelay/thinrelay/relay/wire"
)

var updateDocs = flag.Bool("update", false, "write the table of TestConformance into docs/conformance.md")

const (
	conformancePage  = "../docs/conformance.md"
	conformanceBegin = "<!-- begin: go test ./relay -run TestConformance -update -->\n"
	conformanceEnd   = "<!-- end -->\n"
)

// conformanceReleases are the columns: a network of each release, on the chains where
// it lives, behind a relay that has replicas of it.
var conformanceReleases = []struct {
	name    string
	release simnet.Release
	version int // what it announces
	legacy  bool
}{
	{"EOSIO 2.0", simnet.EOSIO20, 1, true},
	{"EOSIO 2.1", simnet.EOSIO21, 5, true},
	{"Leap 4", simnet.Leap4, 7, true},
	{"Leap 5", simnet.Leap5, 7, true},
	{"Spring 1.0", simnet.Spring10, 9, false},
	{"Spring 1.1", simnet.Spring11, 10, false},
	{"Spring 1.2", simnet.Spring12, 11, false},
}

// brought is the protocol version that brought a message as the relay knows it.
func brought(t wire.Type) int {
	switch t {
	case wire.TypeVote:
		return wire.ProtoVotes
	case wire.TypeBlockNack, wire.TypeBlockNotice:
		return wire.ProtoBlockNack
	case wire.TypeGossipPeers:
		return wire.ProtoGossip
	case wire.TypeTransactionNotice:
		return wire.ProtoGossip + 1 // no release yet
	default:
		return 0
	}
}

// Each message of each release passes between the relay and nodes of that
// release, in a session of two replicas, one that is far behind, and two
// upstreams; or it is written to the relay by a script that announces the
// release's version. What passed is the table of docs/conformance.md.
func TestConformance(t *testing.T) {
	columns := make([][]string, len(conformanceReleases))
	for i, rel := range conformanceReleases {
		t.Run(rel.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { columns[i] = conform(t, rel.release, rel.version, rel.legacy) })
		})
	}
	if t.Failed() {
		return
	}
	var b strings.Builder
	b.WriteString("| | message |")
	for _, rel := range conformanceReleases {
		fmt.Fprintf(&b, " %s (v%d) |", rel.name, rel.version)
	}
	b.WriteString("\n|--|--|" + strings.Repeat("--|", len(columns)) + "\n")
	for typ := wire.TypeHandshake; typ <= wire.TypeTransactionNotice; typ++ {
		fmt.Fprintf(&b, "| %d | %s |", typ, typ)
		for _, column := range columns {
			fmt.Fprintf(&b, " %s |", column[typ])
		}
		b.WriteString("\n")
	}
	page, err := os.ReadFile(conformancePage)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(page), conformanceBegin)
	had, after, ok2 := strings.Cut(rest, conformanceEnd)
	if !ok || !ok2 {
		t.Fatalf("%s: no table between %q and %q", conformancePage, conformanceBegin, conformanceEnd)
	}
	if had == b.String() {
		return
	}
	if !*updateDocs {
		t.Fatalf("%s shows\n%swhat passed is\n%sgo test ./relay -run TestConformance -update writes it", conformancePage, had, b.String())
	}
	if err := os.WriteFile(conformancePage, []byte(before+conformanceBegin+b.String()+conformanceEnd+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// conform returns the cells of one release, by message.
func conform(t *testing.T, release simnet.Release, version int, legacy bool) []string {
	tap := newTap()
	f := newFleet(t, fleetConfig{
		relays: 1, mode: director.Votes, load: 3, history: 1500, dials: [][]int{{0}, {0}}, noFinalizer: legacy, maxPerHost: -1,
		replica: func(_ int, c *simnet.ReplicaConfig) { c.Release = release },
		change: func(c *simnet.Config) {
			c.Legacy, c.LegacyLag, c.Release, c.BlockNacks = legacy, 40, release, true
			host := c.Host
			c.Host = func(name string) simnet.Transport { return tapped{host(name), tap} }
		},
	})
	defer f.close()
	late, err := f.net.Replica(simnet.ReplicaConfig{Name: "nodeos-z", Relays: f.addrs([]int{0}), Release: release})
	if err != nil {
		t.Fatal(err)
	}
	rounds(2)
	f.net.Oracle.Begin(f.now())
	if err := late.StartBehind(100); err != nil {
		t.Fatal(err)
	}
	rounds(3)
	if _, ok := caughtUp(f.net, late, time.Minute); !ok {
		t.Error("the replica that is far behind has not caught up")
	}
	f.net.KillUpstream(1)
	time.Sleep(5 * time.Second)
	if err := f.net.StartUpstream(1); err != nil {
		t.Fatal(err)
	}
	rounds(2)
	if got := f.net.Report(); got.Double != 0 || got.Unlinked != 0 || got.SlotsOurs < 36 || got.OnChain < got.SlotsOurs-12 {
		t.Errorf("report=%+v, want our slots filled", brief(got))
	}

	cells := make([]string, wire.TypeTransactionNotice+1)
	a := &attack{fleet: f, host: f.mem.Host("script"), rng: rand.New(rand.NewPCG(1, 2))}
	for typ := range cells {
		typ := wire.Type(typ)
		if version < brought(typ) {
			cells[typ] = "–"
			continue
		}
		cells[typ] = tap.cell(typ)
		if cells[typ] != "" {
			cells[typ] += " "
		}
		cells[typ] += a.inject(version, typ, tap.last(typ))
	}
	return cells
}

// inject writes a message to the relay as a node of a version does, and says what
// became of the connection: "kept" or "closed".
func (a *attack) inject(version int, typ wire.Type, frame []byte) string {
	p := a.enter(func(h *wire.Handshake) { h.NetworkVersion = wire.VersionBase + uint16(version) })
	defer p.close()
	time.Sleep(time.Second)
	if err := p.gone(); err != nil {
		a.t.Errorf("%s: the relay closed before it: %v", typ, err)
	}
	if frame == nil { // no node here sends it
		var body []byte
		switch typ {
		case wire.TypeChainSize:
			body = wire.Append(nil, &wire.ChainSize{})[5:]
		case wire.TypeGoAway:
			body = wire.Append(nil, &wire.GoAway{Reason: wire.GoAwayBenign})[5:]
		case wire.TypeRequest:
			body = wire.Append(nil, &wire.Request{ReqBlocks: wire.IDList{Mode: wire.ModeCatchUp}})[5:]
		case wire.TypeNotice:
			body = wire.Append(nil, &wire.Notice{})[5:]
		default: // the relay reads none of the others
			body = make([]byte, 64)
		}
		f := wire.RawFrame(typ, body)
		frame = append(frame, f.Bytes()...)
		f.Release()
	}
	p.write(frame)
	time.Sleep(2 * time.Second)
	if p.gone() != nil {
		return "closed"
	}
	return "kept"
}

// tap sees the frames between nodes and relays.
type tap struct {
	mu      sync.Mutex
	in, out map[wire.Type]bool // from a node to a relay, and back
	frames  map[wire.Type][]byte
}

func newTap() *tap {
	return &tap{in: make(map[wire.Type]bool), out: make(map[wire.Type]bool), frames: make(map[wire.Type][]byte)}
}

func (p *tap) cell(t wire.Type) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.in[t] && p.out[t]:
		return "⇄"
	case p.in[t]:
		return "→"
	case p.out[t]:
		return "←"
	}
	return ""
}

// last is the last frame of a type that a node has sent; nil if there is none.
func (p *tap) last(t wire.Type) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.frames[t]
}

func (p *tap) saw(frame []byte, fromNode bool) {
	t := wire.Type(frame[4])
	p.mu.Lock()
	defer p.mu.Unlock()
	if !fromNode {
		p.out[t] = true
		return
	}
	p.in[t] = true
	p.frames[t] = append([]byte(nil), frame...)
}

// tapped is a node's transport with a tap on it.
type tapped struct {
	simnet.Transport
	tap *tap
}

func (t tapped) Listen(address string) (net.Listener, error) {
	ln, err := t.Transport.Listen(address)
	return tappedListener{ln, t.tap}, err
}

func (t tapped) Dial(ctx context.Context, address string) (net.Conn, error) {
	nc, err := t.Transport.Dial(ctx, address)
	if err != nil {
		return nil, err
	}
	return &tappedConn{Conn: nc, tap: t.tap}, nil
}

type tappedListener struct {
	net.Listener
	tap *tap
}

func (l tappedListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &tappedConn{Conn: nc, tap: l.tap}, nil
}

// tappedConn is a node's end of a connection. One goroutine reads, one writes.
type tappedConn struct {
	net.Conn
	tap           *tap
	read, written []byte
}

func (c *tappedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.read = c.frames(append(c.read, b[:n]...), false)
	return n, err
}

func (c *tappedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.written = c.frames(append(c.written, b[:n]...), true)
	return n, err
}

// frames tells the tap of the whole frames in b, and returns the rest.
func (c *tappedConn) frames(b []byte, fromNode bool) []byte {
	for len(b) > 4 {
		end := 4 + int(binary.LittleEndian.Uint32(b))
		if len(b) < end {
			break
		}
		c.tap.saw(b[:end], fromNode)
		b = b[end:]
	}
	return b
}
