package upstream

import (
	"context"
	"errors"
	"time"
)

const (
	// singlePause is for how long a peer that refused a second connection is not asked for one.
	singlePause = 10 * time.Minute
	// latePause puts a source that stalled behind the others.
	latePause = 30 * time.Second
	// liarPause puts a source whose blocks did not follow behind all others, and one whose blocks were not
	// taken behind those that serve.
	liarPause = 5 * time.Minute
	// judged is how long a nodeos may take to find out that what it was given is not valid.
	judged = 10 * time.Second
	// lagging is how many blocks a source may be behind the most advanced one and still count as equal.
	lagging = 12
)

// standing is a source as a fetch sees it at one moment.
type standing struct {
	target             *target
	peer               *Peer
	height             uint32
	busy               bool
	single, late, liar bool
	doubts             int // see Doubt
	rtt                time.Duration
}

// standing is how the source stands now; false when it does not claim to have block num.
func (t *target) standing(num uint32, now time.Time) (standing, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.peer
	if p == nil || p.Height() < num || p.Start() > num {
		return standing{}, false
	}
	doubts := 0
	if now.Before(t.doubtedUntil) {
		doubts = t.doubts
	}
	return standing{
		target: t, peer: p, height: p.Height(), busy: t.busy,
		single: now.Before(t.singleUntil), late: now.Before(t.lateUntil), liar: now.Before(t.liarUntil),
		doubts: doubts, rtt: p.Conn().RTT(),
	}, true
}

// better orders sources: punctual, seldom doubted, up to date, able to open a second connection, near, first configured.
func (a standing) better(b standing, top uint32) bool {
	if a.late != b.late {
		return b.late
	}
	if a.doubts != b.doubts {
		return a.doubts < b.doubts
	}
	for _, bad := range [][2]bool{
		{top-a.height > lagging, top-b.height > lagging},
		{a.single, b.single},
	} {
		if bad[0] != bad[1] {
			return bad[1]
		}
	}
	if a.rtt != b.rtt {
		return a.rtt < b.rtt
	}
	return a.target.index < b.target.index
}

// acquire returns the best source for block num that no other fetch uses, and marks it used. While all that could serve
// are in use it waits. Sources in avoid have failed this fetch at this block. ErrNoSource: nobody can serve.
func (d *Dialer) acquire(ctx context.Context, num uint32, avoid map[*target]bool) (standing, error) {
	for {
		d.mu.Lock()
		changed, running := d.changed, d.running
		d.mu.Unlock()
		if running == nil || running.Err() != nil {
			return standing{}, ErrNoSource
		}
		best, any := d.choose(num, avoid)
		switch {
		case !any:
			return standing{}, ErrNoSource
		case best.target != nil && best.target.take():
			return best, nil
		case best.target != nil:
			continue // another fetch was faster
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return standing{}, context.Cause(ctx)
		}
	}
}

// choose picks the best free source; any reports whether there is one at all, free or not. A liar is chosen only when
// nobody else could ever serve, and one that is doubted only when nobody else has served of late.
func (d *Dialer) choose(num uint32, avoid map[*target]bool) (best standing, any bool) {
	now := time.Now()
	var all []standing
	var top uint32
	honest, sound := false, false
	for _, t := range d.targets {
		if s, ok := t.standing(num, now); ok && !avoid[t] {
			all = append(all, s)
			top = max(top, s.height)
			honest = honest || !s.liar
			sound = sound || !s.liar && !s.late && s.doubts == 0
		}
	}
	for _, s := range all {
		if s.busy || (s.liar && honest) || (s.doubts > 0 && sound) {
			continue
		}
		if best.target == nil || s.better(best, top) {
			best = s
		}
	}
	return best, len(all) > 0
}

// take marks the source used; false if it already is.
func (t *target) take() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.busy {
		return false
	}
	t.busy = true
	return true
}

// release frees the source for other fetches, and remembers how it did.
func (t *target) release(err error, delivered bool) {
	t.mu.Lock()
	t.busy = false
	now := time.Now()
	if delivered {
		t.delivered = now
	}
	switch {
	case err == nil:
	case errors.Is(err, ErrUnlinked):
		t.liarUntil = now.Add(liarPause)
	default:
		t.lateUntil = now.Add(latePause)
	}
	t.mu.Unlock()
	t.dialer.wake()
}

// suspect treats the source as a liar, on another one's word against it.
func (t *target) suspect() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.liarUntil = time.Now().Add(liarPause)
}

// Doubt has others asked before the sources that deliver blocks, and the one that did so last, just now: a replica that
// syncs has hung up. One that did so for reasons of its own costs little, as long as another source is there.
func (d *Dialer) Doubt() {
	now := time.Now()
	var last *target
	latest := now.Add(-judged)
	for _, t := range d.targets {
		if delivered, busy := t.fetched(); busy {
			t.doubt(now)
		} else if delivered.After(latest) {
			last, latest = t, delivered
		}
	}
	if last != nil {
		last.doubt(now)
	}
}

// fetched is when a fetch last got blocks from the source, and whether one is under way.
func (t *target) fetched() (time.Time, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.delivered, t.busy
}

func (t *target) doubt(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.After(t.doubtedUntil) {
		t.doubts = 0
	}
	t.doubts++
	t.doubtedUntil = now.Add(liarPause)
}

// alone remembers that the peer refused a second connection.
func (t *target) alone() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.singleUntil = time.Now().Add(singlePause)
}
