package relay_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/upstream"
)

// A peer that answers nothing, not even with a refusal, must not hide one that
// accepts; and nothing is left behind.
func TestReachablePastASilentPeer(t *testing.T) {
	tests := map[string]struct {
		peers []string
		want  bool
	}{
		"silent, then good": {[]string{"silent:9876", "good:9876"}, true},
		"good, then silent": {[]string{"good:9876", "silent:9876"}, true},
		"silent":            {[]string{"silent:9876", "silent-too:9876"}, false},
		"none":              {nil, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var open atomic.Int32
				dial := func(ctx context.Context, addr string) (net.Conn, error) {
					open.Add(1)
					defer open.Add(-1)
					if addr != "good:9876" {
						<-ctx.Done()
						return nil, ctx.Err()
					}
					if ctx.Err() != nil {
						return nil, ctx.Err() // as net.Dialer does
					}
					near, far := net.Pipe()
					far.Close()
					return near, nil
				}
				n := relay.New(relay.Config{Upstream: upstream.Config{Peers: tt.peers, Dial: dial}})
				ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
				defer cancel()
				began := time.Now()
				if got := n.Reachable(ctx); got != tt.want {
					t.Errorf("reachable: got %v, want %v", got, tt.want)
				}
				if took := time.Since(began); tt.want && took != 0 {
					t.Errorf("it took %s with a peer that accepts at once", took)
				}
				if got := open.Load(); got != 0 {
					t.Errorf("%d probes are still under way", got)
				}
			})
		})
	}
}
