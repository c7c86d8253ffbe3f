package main

import (
	"context"
	"net"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/memberlist"

	"github.com/thinrelay/thinrelay/cluster/storage"
	"github.com/thinrelay/thinrelay/fsm"
	"github.com/thinrelay/thinrelay/relay"
)

// parts are what a member takes from its surroundings: real sockets and files,
// or those of a demo or a test.
type parts struct {
	listen    func(addr string) (net.Listener, error)
	listenAPI func(Config, hclog.Logger) (net.Listener, error)                // may return nil: no API
	dial      func(ctx context.Context, addr string) (net.Conn, error)        // to upstreams
	dialGroup func(ctx context.Context, addr string) (net.Conn, error)        // to members; nil: TCP
	gossip    func(m *member, advertise string) (gossip, func() error, error) // nil: memberlist
	tune      func(*memberlist.Config)                                        // nil: as configured
	store     func() (*storage.Store, error)                                  // nil: data_dir
	chain     *relay.ChainID                                                  // nil: pinned in data_dir
	clock     relay.Clock                                                     // nil: the system's
	slot      time.Duration                                                   // 0: 500 ms
	observe   func(relay.Record)                                              // told every record beside the log; may be nil
	applied   func(fsm.State)                                                 // told every state of the mark before the node; may be nil
	patience  time.Duration                                                   // how long a stop waits for our round to end
}

// systemParts are real sockets and files.
func systemParts(cfg Config) parts {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	return afflicted(cfg, parts{
		listen:    func(addr string) (net.Listener, error) { return net.Listen("tcp", addr) },
		listenAPI: listenAPI,
		dial:      func(ctx context.Context, addr string) (net.Conn, error) { return dialer.DialContext(ctx, "tcp", addr) },
		patience:  leavePatience,
	})
}
