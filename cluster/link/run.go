package link

import (
	"context"
	"math/rand/v2"
	"net"
	"time"
)

// Run keeps one feed to the leader until ctx ends, then waits for it and returns nil.
//
// target names the leader; an empty name or address means that there is none, or that it is us: then there is no feed. A
// receive from changed, or at the latest a second, makes Run ask again. handle owns the stream while it runs, and must
// return soon after its context ends (the stream is closed then, too). When it returns, the stream is closed and opened
// again: at once the first time, for the leader may be gone (see [Config]), after a pause from then on.
func (l *Link) Run(
	ctx context.Context,
	target func() (name, address string),
	changed <-chan struct{},
	handle func(ctx context.Context, conn net.Conn, name string) error,
) error {
	w := &watch{target: target, changed: changed, tick: time.NewTicker(lookAgain)}
	defer w.tick.Stop()
	w.look()
	pause := l.cfg.MinBackoff
	lost := false // the feed before was up, and ended by itself
	for ctx.Err() == nil {
		if !w.known() {
			w.wait(ctx, nil)
			pause, lost = l.cfg.MinBackoff, false
			continue
		}
		began := time.Now()
		over := make(chan struct{})
		feedCtx, cancel := context.WithCancelCause(ctx)
		name, address := w.name, w.address
		linked := false
		go func() {
			defer close(over)
			linked = l.feed(feedCtx, name, address, handle)
		}()
		moved := w.wait(ctx, over)
		cancel(ErrLeaderChanged)
		<-over
		switch {
		case moved || ctx.Err() != nil:
			pause, lost = l.cfg.MinBackoff, false
			continue
		case linked && !lost && time.Since(began) >= l.cfg.MinBackoff: // shorter: it was refused
			lost = true
			continue
		case lost && !linked && l.cfg.Gone != nil:
			l.cfg.Gone(name)
		}
		lost = false
		if time.Since(began) >= steadyAfter {
			pause = l.cfg.MinBackoff
		}
		if w.pause(ctx, pause/2+rand.N(pause/2+1)) {
			pause = l.cfg.MinBackoff
			continue
		}
		pause = min(2*pause, l.cfg.MaxBackoff)
	}
	return nil
}

// feed is one feed, from dial to end. It reports whether there was a stream.
func (l *Link) feed(ctx context.Context, name, address string, handle func(context.Context, net.Conn, string) error) bool {
	conn, err := l.Open(ctx, name, address, Feed)
	if err != nil {
		if ctx.Err() == nil {
			l.warn("cannot link to the leader", name, address, err)
		}
		return false
	}
	l.log.Debug("linked to the leader", "leader", name, "address", address)
	release := closeWith(ctx, conn)
	err = handle(ctx, conn, name)
	release()
	_ = conn.Close()
	if ctx.Err() == nil {
		l.warn("lost the link to the leader", name, address, err)
	}
	return true
}

func (l *Link) warn(message, name, address string, err error) {
	reason := ""
	if err != nil {
		reason = err.Error()
	}
	if ok, skipped := l.quiet.Allow(message + name + reason); ok {
		l.log.Warn(message, "leader", name, "address", address, "error", err, "skipped", skipped)
	}
}

// watch is Run's view of who leads.
type watch struct {
	target        func() (name, address string)
	changed       <-chan struct{}
	tick          *time.Ticker
	name, address string
}

func (w *watch) known() bool { return w.name != "" && w.address != "" }

// look asks for the target and reports whether it is another one.
func (w *watch) look() bool {
	name, address := w.target()
	if name == w.name && address == w.address {
		return false
	}
	w.name, w.address = name, address
	return true
}

// wait returns true when the target is another one, false when over is closed or ctx has ended.
func (w *watch) wait(ctx context.Context, over <-chan struct{}) bool {
	return w.until(ctx, over, nil)
}

// pause is wait for a time.
func (w *watch) pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	return w.until(ctx, nil, t.C)
}

func (w *watch) until(ctx context.Context, over <-chan struct{}, due <-chan time.Time) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case <-over:
			return false
		case <-due:
			return false
		case _, open := <-w.changed:
			if !open {
				w.changed = nil // nobody will tell any more: the ticker is left
			}
		case <-w.tick.C:
		}
		if w.look() {
			return true
		}
	}
}
