//go:build benchpeers

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"runtime/pprof"
	"sync"
	"syscall"

	"github.com/thinrelay/thinrelay/fsm"
	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/director"
	"github.com/thinrelay/thinrelay/relay/downstream"
	"github.com/thinrelay/thinrelay/relay/upstream"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// nodeCommand makes this program a relay's node, in a process of its own so that its cost can be told apart.
const nodeCommand = "node"

// serveNode runs a node until SIGTERM.
func serveNode(args []string) (err error) {
	f := flag.NewFlagSet(nodeCommand, flag.ContinueOnError)
	listen := f.String("listen", "", "address for replicas")
	peer := f.String("upstream", "", "address of the upstream")
	profile := f.String("profile", "", "where to write a CPU profile")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *profile != "" {
		file, err := os.Create(*profile + ".cpu")
		if err != nil {
			return err
		}
		if err := pprof.StartCPUProfile(file); err != nil {
			return err
		}
		defer func() { pprof.StopCPUProfile(); file.Close() }()
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	ln, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	name, err := wire.ParseName(ours)
	if err != nil {
		return err
	}
	node := relay.New(relay.Config{
		Name: "bench", Producers: []wire.Name{name}, Mode: director.Votes,
		Chain:      relay.NewChainID(chainID(), nil),
		Upstream:   upstream.Config{Peers: []string{*peer}},
		Downstream: downstream.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
	})
	led := make(chan error, 1)
	go func() { led <- (&solo{node: node}).lead(ctx) }()
	err = node.Run(ctx, ln)
	stop()
	if lead := <-led; err == nil && !errors.Is(lead, context.Canceled) {
		err = fmt.Errorf("lead: %w", lead)
	}
	return err
}

// solo is a group of one in memory: what is proposed is applied at once.
type solo struct {
	mu    sync.Mutex
	state fsm.State
	term  uint64
	node  *relay.Node
}

var _ relay.Proposer = (*solo)(nil)

// Propose implements relay.Proposer.
func (s *solo) Propose(_ context.Context, t fsm.Transition) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next, err := s.state.Apply(t, s.term)
	if err != nil {
		return err
	}
	s.state = next
	s.node.Applied(next)
	return nil
}

func (s *solo) lead(ctx context.Context) error {
	s.mu.Lock()
	s.term++
	term := s.term
	s.node.Applied(s.state)
	s.mu.Unlock()
	return s.node.Lead(ctx, term, s)
}
