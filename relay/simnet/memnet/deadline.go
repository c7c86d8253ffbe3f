package memnet

import (
	"net"
	"sync"
	"time"
)

// due is a deadline whose expiry wakes the waiters. The pipe's lock guards it.
type due struct {
	expired bool
	timer   *time.Timer
}

func (d *due) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}

func (d *due) set(t time.Time, waiters *sync.Cond) {
	d.stop()
	d.expired = false
	if t.IsZero() {
		return
	}
	wait := time.Until(t)
	if wait <= 0 {
		d.expired = true
		waiters.Broadcast()
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(wait, func() {
		waiters.L.Lock()
		defer waiters.L.Unlock()
		if d.timer == timer { // not replaced since
			d.expired = true
			waiters.Broadcast()
		}
	})
	d.timer = timer
}

func (p *pipe) setReadDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rclosed {
		return net.ErrClosed
	}
	p.readDue.set(t, &p.readers)
	return nil
}

func (p *pipe) setWriteDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.wclosed {
		return net.ErrClosed
	}
	p.writeDue.set(t, &p.writers)
	return nil
}
