package cluster_test

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/thinrelay/thinrelay/cluster"
)

// A newcomer much further away than the others is reached by a leader that has started before: a connection may take as long as the distance asks for.
func TestFarNewcomer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "a")
		var rtt atomic.Int64
		far := &farLayer{takes: 560 * time.Millisecond}
		w.tune = func(c *cluster.Config) {
			c.RTT = func() time.Duration { return time.Duration(rtt.Load()) }
			if c.Node == "a" {
				far.StreamLayer, c.Layer = c.Layer, far
			}
		}
		w.startAll()
		defer w.close()
		l := w.leader()
		l.mustAdvance()
		rtt.Store(int64(far.takes / 2))
		w.expect = 0
		w.add("b").start()
		w.voters(l, "a", "b")
		far.mu.Lock()
		defer far.mu.Unlock()
		if far.least >= far.takes {
			t.Errorf("at first a connection may take %s: the test shows nothing", far.least)
		}
	})
}

// farLayer is a layer whose connections take their time.
type farLayer struct {
	raft.StreamLayer
	takes time.Duration

	mu    sync.Mutex
	least time.Duration // of the timeouts given
}

func (f *farLayer) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	f.mu.Lock()
	if f.least == 0 || timeout < f.least {
		f.least = timeout
	}
	f.mu.Unlock()
	time.Sleep(min(f.takes, timeout)) // fake time
	if f.takes > timeout {
		return nil, &net.DNSError{Err: "timeout", IsTimeout: true}
	}
	return f.StreamLayer.Dial(addr, timeout)
}
