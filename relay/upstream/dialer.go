package upstream

import (
	"context"
	"fmt"
	"sync"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// Sink hears what the peers send. The calls for one peer come in order and one at a time: UpstreamUp, frames,
// UpstreamDown; those for different peers come at once. A call may block: it holds up that peer alone.
type Sink interface {
	// UpstreamUp is called when the peer's handshake is accepted and the echo queued, before any of its frames.
	UpstreamUp(*Peer)
	// UpstreamDown is called after the last frame, with the reason.
	UpstreamDown(*Peer, error)
	// UpstreamFrame takes over the reference to the frame. Later handshakes and notices come here too, already
	// answered; time and go_away do not.
	UpstreamFrame(*Peer, *wire.Frame)
}

// Dialer keeps connections to the configured peers and fetches blocks from them.
type Dialer struct {
	config  Config
	targets []*target

	mu      sync.Mutex
	running context.Context // nil while Run is not running; sync connections live in it
	changed chan struct{}   // closed and replaced when a source came, went or became free
	fetches int
	syncs   sync.WaitGroup
}

// New prepares a Dialer; nothing is dialled before Run.
func New(config Config) *Dialer {
	d := &Dialer{config: config.withDefaults(), changed: make(chan struct{})}
	for i, addr := range config.Peers {
		t := &target{dialer: d, index: i, addr: addr, log: d.config.Logger.With("peer", addr)}
		t.status.Addr = addr
		d.targets = append(d.targets, t)
	}
	return d
}

// Run dials every peer and keeps them connected until ctx ends; then it waits for every connection and fetch
// connection, and returns nil. It may be called again after it has returned. An ErrConfig is the only error.
func (d *Dialer) Run(ctx context.Context, sink Sink) error {
	if err := d.check(); err != nil {
		return err
	}
	d.mu.Lock()
	if d.running != nil {
		d.mu.Unlock()
		return fmt.Errorf("%w: already running", ErrConfig)
	}
	d.running = ctx
	d.mu.Unlock()

	var loops sync.WaitGroup
	for _, t := range d.targets {
		loops.Go(func() { t.run(ctx, sink) })
	}
	<-ctx.Done()
	loops.Wait()
	d.mu.Lock()
	d.running = nil
	d.mu.Unlock()
	d.wake()
	d.syncs.Wait()
	return nil
}

func (d *Dialer) check() error {
	if len(d.targets) > MaxPeers {
		return fmt.Errorf("%w: %d peers, at most %d", ErrConfig, len(d.targets), MaxPeers)
	}
	seen := make(map[string]bool)
	for _, t := range d.targets {
		if seen[t.addr] {
			return fmt.Errorf("%w: peer %s is listed twice", ErrConfig, t.addr)
		}
		seen[t.addr] = true
	}
	return nil
}

// wake tells waiting fetches to look again.
func (d *Dialer) wake() {
	d.mu.Lock()
	defer d.mu.Unlock()
	close(d.changed)
	d.changed = make(chan struct{})
}
