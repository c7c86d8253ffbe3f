//go:build benchpeers

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// startUp is how long a row may take until it forwards.
	startUp = 15 * time.Second
	// perAddress is how many replicas dial from one address: a relay limits them.
	perAddress = 32
)

// rig is one row at work: the upstream, the process between, and replicas, connected through.
type rig struct {
	row      *row
	dir      string
	ln       net.Listener
	proc     *process // nil for direct TCP
	accepted chan *peer
	ups      []*peer // as many as replicas, or one
	replicas []*peer

	failed chan error
	done   chan struct{}
	wg     sync.WaitGroup
}

// newRig starts the row on some processors (none: wherever) and connects that many replicas.
func newRig(ctx context.Context, r *row, replicas int, on cpus) (_ *rig, err error) {
	g := &rig{row: r, accepted: make(chan *peer, maxReplicas), failed: make(chan error, 1), done: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.complaints(), g.close())
		}
	}()
	if g.dir, err = os.MkdirTemp("", "bench-"); err != nil {
		return g, err
	}
	if g.ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return g, err
	}
	g.wg.Go(g.accept)
	front := g.ln.Addr().String()
	if r.command != nil {
		if front, err = g.launch(on); err != nil {
			return g, err
		}
	}
	if r.shared {
		if err := g.takeUpstream(ctx); err != nil {
			return g, err
		}
	}
	for i := range replicas {
		p, err := g.dial(ctx, front, i)
		if err != nil {
			return g, err
		}
		g.replicas = append(g.replicas, p)
		if !r.shared {
			if err := g.takeUpstream(ctx); err != nil {
				return g, err
			}
		}
	}
	return g, nil
}

// launch starts the process and returns the address that replicas dial.
func (g *rig) launch(on cpus) (string, error) {
	ports, err := freeAddresses(4)
	if err != nil {
		return "", err
	}
	cmd, err := g.row.command(places{
		Dir: g.dir, Front: ports[0], Upstream: g.ln.Addr().String(),
		Spare0: ports[1], Spare1: ports[2], Spare2: ports[3],
	})
	if err != nil {
		return "", err
	}
	g.proc, err = startProcess(cmd, g.dir, on)
	return ports[0], err
}

// freeAddresses returns loopback addresses that nobody listens on.
func freeAddresses(n int) ([]string, error) {
	var out []string
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer ln.Close()
		out = append(out, ln.Addr().String())
	}
	return out, nil
}

// accept is the upstream's listener. A connection counts once it has shown a handshake: relays also probe.
func (g *rig) accept() {
	for {
		c, err := g.ln.Accept()
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
			case g.accepted <- p:
			case <-g.done:
				p.Close()
			}
		})
	}
}

func (g *rig) takeUpstream(ctx context.Context) error {
	late := time.NewTimer(startUp)
	defer late.Stop()
	select {
	case p := <-g.accepted:
		g.ups = append(g.ups, p)
		return nil
	case <-g.exited():
		return errors.New("the process ended")
	case <-late.C:
		return errors.New("nothing reached the upstream in time")
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// exited is closed when the row's process has ended.
func (g *rig) exited() <-chan struct{} {
	if g.proc == nil {
		return nil
	}
	return g.proc.exited
}

// dial connects replica i, waiting for the row to listen.
func (g *rig) dial(ctx context.Context, front string, i int) (*peer, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(1+i/perAddress))}}
	late := time.Now().Add(startUp)
	for {
		c, err := d.DialContext(ctx, "tcp", front)
		if errors.Is(err, syscall.ECONNREFUSED) && time.Now().Before(late) {
			select {
			case <-time.After(5 * time.Millisecond):
				continue
			case <-g.exited():
				return nil, errors.New("the process ended")
			}
		}
		if err != nil {
			return nil, err
		}
		p := newPeer(c)
		if err := errors.Join(p.hello(fmt.Sprintf("replica-%d", i)), p.awaitHello()); err != nil {
			p.Close()
			return nil, fmt.Errorf("replica %d: %w", i, err)
		}
		return p, nil
	}
}

// receive lets p hand its blocks to the feed until the rig is closed. The peer speaks now and then if it only listens.
func (g *rig) receive(p *peer, f *feed, listens bool) {
	receive := p.receive
	if p.thread != nil {
		receive = p.receiveApart
	}
	g.wg.Go(func() {
		err := receive(f.arrived)
		select {
		case <-g.done:
		default:
			g.fail(err)
		}
	})
	if listens {
		g.wg.Go(func() { p.speak(g.done) })
	}
}

func (g *rig) fail(err error) {
	select {
	case g.failed <- err:
	default:
	}
}

// watch makes the rig fail when what is measured takes too long. The caller stops it.
func (g *rig) watch(d time.Duration) *time.Timer {
	return time.AfterFunc(d+20*time.Second, func() { g.fail(errors.New("blocks did not arrive in time")) })
}

// complaints is the end of what the process has logged.
func (g *rig) complaints() error {
	if g.proc == nil {
		return nil
	}
	text, err := os.ReadFile(g.proc.log)
	if err != nil || len(text) == 0 {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return fmt.Errorf("its last words: %s", strings.Join(lines[max(0, len(lines)-8):], "\n\t"))
}

// close ends everything.
func (g *rig) close() error {
	close(g.done)
	for _, p := range append(g.ups, g.replicas...) {
		p.Close()
	}
	if g.ln != nil {
		g.ln.Close()
	}
	var err error
	if g.proc != nil {
		err = g.proc.stop()
	}
	g.wg.Wait()
	for len(g.accepted) > 0 {
		(<-g.accepted).Close()
	}
	if g.dir != "" {
		err = errors.Join(err, os.RemoveAll(g.dir))
	}
	return err
}
