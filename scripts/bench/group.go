//go:build benchpeers

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/thinrelay/thinrelay/cluster/members"
	"github.com/thinrelay/thinrelay/cluster/transport"
)

// group is relayd processes that are one group, each with a listener that is its upstream.
type group struct {
	dir    string
	lns    []net.Listener
	procs  []*process
	ways   []*delayed
	fronts []string
	leader int // known once connected

	accepted chan caller
	peers    []*peer
	failed   chan error
	done     chan struct{}
	wg       sync.WaitGroup
}

// caller is a member's connection to its upstream: only the leader makes one.
type caller struct {
	member int
	p      *peer
}

// newGroup starts that many members with a round trip of rtt between them.
func newGroup(ctx context.Context, s *settings, n int, rtt time.Duration) (_ *group, err error) {
	g := &group{accepted: make(chan caller, 16), failed: make(chan error, 1), done: make(chan struct{})}
	defer func() {
		if err != nil {
			g.close()
		}
	}()
	relayd, err := filepath.Abs(s.relayd)
	if err != nil {
		return nil, err
	}
	if g.dir, err = os.MkdirTemp("", "bench-"); err != nil {
		return nil, err
	}
	list, err := g.places(n, rtt)
	if err != nil {
		return nil, err
	}
	template := "relayd.cfg"
	if n > 1 {
		template = "member.cfg"
		if err := g.credentials(list); err != nil {
			return nil, err
		}
	}
	for _, p := range list {
		if err := os.MkdirAll(p.Dir, 0o700); err != nil {
			return nil, err
		}
		file, err := p.write(template)
		if err != nil {
			return nil, err
		}
		proc, err := startProcess(exec.Command(relayd, "run", "--config", file), p.Dir, nil)
		if err != nil {
			return nil, err
		}
		g.procs = append(g.procs, proc)
		g.fronts = append(g.fronts, p.Front)
	}
	return g, context.Cause(ctx)
}

// places chooses an address for everything, with the distance between the members.
func (g *group) places(n int, rtt time.Duration) ([]places, error) {
	var list []places
	for i := range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		g.lns = append(g.lns, ln)
		g.wg.Go(func() { g.accept(i, ln) })
		ports, err := freeAddresses(4)
		if err != nil {
			return nil, err
		}
		name := fmt.Sprintf("bench-%d", i+1)
		way, err := newDelayed(ports[1], rtt/2)
		if err != nil {
			return nil, err
		}
		g.ways = append(g.ways, way)
		list = append(list, places{
			Name: name, Dir: filepath.Join(g.dir, name), Certs: filepath.Join(g.dir, "certs"), Front: ports[0], Upstream: ln.Addr().String(),
			Spare0: ports[1], Spare1: ports[2], Spare2: ports[3], Advertise: way.addr(),
		})
	}
	for i := range list {
		var others []string
		for j, p := range list {
			if j != i {
				others = append(others, fmt.Sprintf("%q", p.Spare1))
			}
		}
		list[i].Join = strings.Join(others, ", ")
	}
	return list, nil
}

// credentials makes the members' certificates and the gossip key.
func (g *group) credentials(list []places) error {
	dir := list[0].Certs
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	names := make([]string, len(list))
	for i, p := range list {
		names[i] = p.Name
	}
	if _, err := transport.WriteSet(dir, names...); err != nil {
		return err
	}
	return members.WriteKeyFile(filepath.Join(dir, "gossip.key"))
}

// accept takes a member's connections; probes show no handshake.
func (g *group) accept(member int, ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		g.wg.Go(func() {
			p := newPeer(c)
			if p.awaitHello() != nil || p.hello("upstream") != nil {
				p.Close()
				return
			}
			select {
			case g.accepted <- caller{member, p}:
			case <-g.done:
				p.Close()
			}
		})
	}
}

// connect waits for the leader, and dials it as a replica; anew when a young group changes its mind about who leads.
func (g *group) connect(ctx context.Context) (up, down *peer, err error) {
	late := time.NewTimer(4 * startUp)
	defer late.Stop()
	for {
		select {
		case c := <-g.accepted:
			up, g.leader = c.p, c.member
		case <-late.C:
			return nil, nil, errors.Join(errors.New("no member led in time"), err)
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		}
		g.peers = append(g.peers, up)
		if down, err = g.dial(); err == nil {
			return up, down, nil
		}
	}
}

// dial connects a replica to the leader.
func (g *group) dial() (*peer, error) {
	c, err := net.Dial("tcp", g.fronts[g.leader]) // it listens before it leads
	if err != nil {
		return nil, err
	}
	p := newPeer(c)
	g.peers = append(g.peers, p)
	return p, errors.Join(p.hello("replica"), p.awaitHello())
}

// receive hands each block of p to note. Both ends speak now and then.
func (g *group) receive(p *peer, note func(num uint32)) {
	g.wg.Go(func() {
		err := p.receive(note)
		select {
		case <-g.done:
		case g.failed <- err:
		default:
		}
	})
	g.wg.Go(func() { p.speak(g.done) })
}

// usage is what the members have used, the leader first.
type usage struct {
	at  time.Time
	cpu []time.Duration
	pss []int64
}

func (g *group) usage() usage {
	u := usage{at: time.Now()}
	for i := range g.procs {
		p := g.procs[(g.leader+i)%len(g.procs)]
		pss, _ := p.memory()
		u.cpu, u.pss = append(u.cpu, p.cpu()), append(u.pss, pss)
	}
	return u
}

// load is what a member has used from one moment to another.
type load struct {
	CPU float64 `json:"cpu_percent"` // of one processor
	PSS int64   `json:"pss_bytes"`   // at the end
}

func (u usage) since(before usage) []load {
	var out []load
	for i := range u.cpu {
		out = append(out, load{CPU: 100 * float64(u.cpu[i]-before.cpu[i]) / float64(u.at.Sub(before.at)), PSS: u.pss[i]})
	}
	return out
}

// complaints is what the leader has warned of, and why connections and leaderships ended.
func (g *group) complaints() error {
	text, err := os.ReadFile(g.procs[g.leader].log)
	if err != nil {
		return err
	}
	var last []string
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "[WARN]") || strings.Contains(line, "[ERROR]") || strings.Contains(line, "ended") || strings.Contains(line, "disconnected") {
			last = append(last, strings.TrimSpace(line))
		}
	}
	return fmt.Errorf("its leader's last words: %s", strings.Join(last[max(0, len(last)-8):], "\n\t"))
}

func (g *group) close() {
	if g == nil {
		return
	}
	close(g.done)
	for _, p := range g.peers {
		p.Close()
	}
	for _, ln := range g.lns {
		ln.Close()
	}
	for _, p := range g.procs {
		_ = p.stop()
	}
	for _, w := range g.ways {
		w.close()
	}
	g.wg.Wait()
	for len(g.accepted) > 0 {
		(<-g.accepted).p.Close()
	}
	_ = os.RemoveAll(g.dir)
}
