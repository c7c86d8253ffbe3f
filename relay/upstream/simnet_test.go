package upstream_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/simnet"
	"github.com/thinrelay/thinrelay/relay/simnet/memnet"
	"github.com/thinrelay/thinrelay/relay/upstream"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// Simulated nodeos of several releases send live blocks and votes for as long as we listen, while old blocks are fetched
// from the same peers, over a second connection or the live one.
func TestSimulatedNodes(t *testing.T) {
	for _, test := range []struct {
		release simnet.Release
		legacy  bool
		perHost int
	}{
		{simnet.Spring12, false, 4},
		{simnet.Spring12, false, 1},
		{simnet.Spring10, false, 1},
		{simnet.Leap5, true, 4},
		{simnet.Leap5, true, 1},
		{simnet.EOSIO21, true, 1},
		{simnet.EOSIO20, true, 4},
		{simnet.EOSIO20, true, 1},
	} {
		t.Run(fmt.Sprintf("%v per host %d", test.release, test.perHost), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mem := memnet.New(memnet.WithIPs())
				mem.SetDefaultDelay(20 * time.Millisecond)
				net, err := simnet.New(simnet.Config{
					Seed: "upstream", History: 3000, Upstreams: 2, Release: test.release, Legacy: test.legacy,
					NoSignatures: true, MaxNodesPerHost: test.perHost,
					Host: func(name string) simnet.Transport { return mem.Host(name) },
				})
				if err != nil {
					t.Fatal(err)
				}
				if err := net.Start(); err != nil {
					t.Fatal(err)
				}
				defer net.Close()
				s := &sink{}
				d := upstream.New(upstream.Config{
					Peers: net.Addrs(), Dial: mem.Host("relay").Dial,
					ChainID: func() (wire.ID, bool) { return net.Chain.ID, true },
				})
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- d.Run(ctx, s) }()
				time.Sleep(2 * time.Second)
				if got := s.connected(); got != 2 {
					t.Fatalf("%d peers up, want 2; %+v", got, d.Statuses())
				}
				count := uint32(0)
				if err := d.Fetch(ctx, 11, 2900, func(f *wire.Frame) error {
					if num := uint32(11) + count; wire.ID(f.Body()[14:46]).Num() != num-1 {
						t.Errorf("block after %d delivered, want %d", wire.ID(f.Body()[14:46]).Num(), num)
					}
					count++
					return nil
				}); err != nil || count != 2890 {
					t.Errorf("%d blocks fetched, %v; want 2890", count, err)
				}
				time.Sleep(36 * time.Second)
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
				if lost := s.lost(); len(lost) != 2 {
					t.Errorf("connections lost: %v, want none before the end", lost)
				}
				// two peers, and 24 of 36 slots have a producer
				if got := len(s.blocks()); got < 2*24*36/18-8 {
					t.Errorf("%d live blocks in 36 s, want about 96", got)
				}
				if votes := s.seen(wire.TypeVote); (votes > 0) == test.legacy {
					t.Errorf("%d votes", votes)
				}
			})
		})
	}
}
