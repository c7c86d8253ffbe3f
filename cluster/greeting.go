package cluster

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// Raft calls an address, not a log: a member that has lost its disk and starts again at the old address would
// answer calls to its former identity, and its empty log would be counted as the one that is gone. So each connection begins with a
// greeting that says which log it is meant for, and of which cluster: version 1, then both as length byte and text. A member that
// is not meant closes the connection.
const greetingVersion = 1

// maxGreeting is the length of one text of a greeting, in bytes.
const maxGreeting = 255

// errNotMeant is returned by connections whose greeting names another member or cluster.
var errNotMeant = errors.New("the connection is meant for another member")

// appendGreeting appends a greeting.
func appendGreeting(dst []byte, id, cluster string) ([]byte, error) {
	if len(id) > maxGreeting || len(cluster) > maxGreeting {
		return nil, fmt.Errorf("greet %.40s: name too long", id)
	}
	dst = append(dst, greetingVersion, byte(len(id)))
	dst = append(dst, id...)
	dst = append(dst, byte(len(cluster)))
	return append(dst, cluster...), nil
}

// readGreeting reads a greeting and not a byte more.
func readGreeting(r io.Reader) (id, cluster string, err error) {
	var b [1 + maxGreeting]byte
	if _, err := io.ReadFull(r, b[:1]); err != nil {
		return "", "", err
	}
	if b[0] != greetingVersion {
		return "", "", fmt.Errorf("greeting of version %d: %w", b[0], errNotMeant)
	}
	var texts [2]string
	for i := range texts {
		if _, err := io.ReadFull(r, b[:1]); err != nil {
			return "", "", err
		}
		text := b[1 : 1+int(b[0])]
		if _, err := io.ReadFull(r, text); err != nil {
			return "", "", err
		}
		texts[i] = string(text)
	}
	return texts[0], texts[1], nil
}

// at returns the address of a log in the configuration: its id, "@", and where it is reached. So raft calls, by name, who
// is meant; and a member's former and present log can be in the configuration side by side, which raft allows for no two servers of one address.
func at(id, hostPort string) raft.ServerAddress { return raft.ServerAddress(id + "@" + hostPort) }

// reach splits an address into id and host and port.
func reach(a raft.ServerAddress) (id, hostPort string) {
	i := strings.LastIndexByte(string(a), '@')
	if i < 0 {
		return "", string(a)
	}
	return string(a[:i]), string(a[i+1:])
}

// layer is a stream layer under its advertised address, with greetings.
type layer struct {
	raft.StreamLayer
	advertise address
	self      func() (id, cluster string)
	announced func(id string) (hostPort string, ok bool)
	met       func(cluster string) // told of each greeting that is meant for us
	patience  func() time.Duration // how long a connection may take, by the distances known now
	log       hclog.Logger

	mu   sync.Mutex
	told map[string]time.Time // refusals logged, by what was meant
}

// Addr returns the address of this member's log.
func (l *layer) Addr() net.Addr { return l.advertise }

// Dial connects to a log, and greets. It goes where the log's member announces to be, if it does: the address in the configuration is one
// that a leader has written there, and when a majority has come back with others, none will ever lead who could correct them.
//
// The timeout of raft's transport is that of the start. A connection takes two round trips, so a newcomer much further away than all others would never be
// reached by a process from before.
func (l *layer) Dial(target raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	id, hostPort := reach(target)
	if now, ok := l.announced(id); ok {
		hostPort = now
	}
	_, cluster := l.self()
	greeting, err := appendGreeting(nil, id, cluster)
	if err != nil {
		return nil, err
	}
	c, err := l.StreamLayer.Dial(raft.ServerAddress(hostPort), max(timeout, l.patience()))
	if err != nil {
		return nil, err
	}
	// Sent with the first call, to cost no packet of its own.
	return &greeter{Conn: c, greeting: greeting}, nil
}

// Accept returns the next connection. Its greeting is checked by the first Read.
func (l *layer) Accept() (net.Conn, error) {
	c, err := l.StreamLayer.Accept()
	if err != nil {
		return nil, err
	}
	return &greeted{Conn: c, layer: l}, nil
}

// meant says whether a greeting is meant for this member.
func (l *layer) meant(id, cluster string) error {
	self, own := l.self()
	if id == self && (cluster == "" || own == "" || cluster == own) {
		l.met(cluster)
		return nil
	}
	err := fmt.Errorf("for %.64s of cluster %.64s, this is %s of %s: %w", id, cluster, self, own, errNotMeant)
	l.mu.Lock()
	defer l.mu.Unlock()
	const again, most = time.Minute, 64
	if now := time.Now(); now.Sub(l.told[id+" "+cluster]) > again {
		if l.told == nil || len(l.told) >= most {
			l.told = make(map[string]time.Time)
		}
		l.told[id+" "+cluster] = now
		l.log.Warn("call refused", "error", err)
	}
	return err
}

// greeter greets with its first write.
type greeter struct {
	net.Conn
	greeting []byte // nil when sent
}

// Write writes b, after the greeting if that was not sent yet.
func (g *greeter) Write(b []byte) (int, error) {
	if g.greeting == nil {
		return g.Conn.Write(b)
	}
	n, err := g.Conn.Write(append(g.greeting, b...))
	n = max(n-len(g.greeting), 0)
	g.greeting = nil
	return n, err
}

// greeted checks the greeting with its first read, and with each later one whether this member has joined another cluster since.
type greeted struct {
	net.Conn
	layer   *layer
	checked bool
	cluster string // of the greeting
}

// Read reads what follows the greeting. A connection that was closed on this side is merely over: raft takes every other error for a
// fault, and logs it as one, at each stop.
func (g *greeted) Read(b []byte) (int, error) {
	n, err := g.read(b)
	if errors.Is(err, net.ErrClosed) {
		err = io.EOF
	}
	return n, err
}

func (g *greeted) read(b []byte) (int, error) {
	if !g.checked {
		id, cluster, err := readGreeting(g.Conn)
		if err == nil {
			err = g.layer.meant(id, cluster)
		}
		if errors.Is(err, errNotMeant) {
			err = io.EOF // it has been logged; for raft the connection is just over
		}
		if err != nil {
			_ = g.Conn.Close()
			return 0, err
		}
		g.checked, g.cluster = true, cluster
	}
	n, err := g.Conn.Read(b)
	if _, own := g.layer.self(); g.cluster != "" && own != "" && g.cluster != own {
		_ = g.Conn.Close()
		return 0, io.EOF
	}
	return n, err
}

// greetingIDs returns what this member's greetings are checked against.
func (g *Group) greetingIDs() (id, cluster string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.identity.RaftID, g.identity.ClusterID
}

// announced returns where the member with the log of the given id says that it is reached, if it is heard.
func (g *Group) announced(id string) (hostPort string, ok bool) {
	for _, p := range g.cfg.Peers() {
		if p.RaftID == id && p.Addr != "" {
			return p.Addr, true
		}
	}
	return "", false
}

// address is an address as at makes it.
type address string

// Network returns "tcp".
func (address) Network() string { return "tcp" }

// String returns the address.
func (a address) String() string { return string(a) }
