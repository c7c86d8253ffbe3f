package cluster

import (
	"context"
	"time"
)

// seekInterval is how often a leader looks for a more useful one.
const seekInterval = 100 * time.Millisecond

// chooser decides whether leadership should follow usefulness. Nothing moves between members of one class, nor on an impression
// that does not last for holdOff, nor before a leadership has lasted for minTenure: so members that are equal, or that
// take turns in being better, do not toss leadership between them.
type chooser struct {
	self      string
	holdOff   time.Duration
	minTenure time.Duration
	from      time.Time // begin of the leadership

	worse time.Time // since when somebody has been better; zero: nobody
}

// decide returns the member to hand over to, empty for none. ready says who could take over.
func (c *chooser) decide(now time.Time, classes map[string]int, prefer []string, ready func(string) bool) string {
	best, found := "", false
	rank := func(name string) int {
		for i, p := range prefer {
			if p == name {
				return i
			}
		}
		return len(prefer)
	}
	for name, class := range classes {
		if name == c.self || class <= classes[c.self] || !ready(name) {
			continue
		}
		better := !found || class > classes[best]
		if found && class == classes[best] {
			r, b := rank(name), rank(best)
			better = r < b || r == b && name < best
		}
		if better {
			best, found = name, true
		}
	}
	if !found {
		c.worse = time.Time{}
		return ""
	}
	if c.worse.IsZero() {
		c.worse = now
	}
	if now.Sub(c.worse) < c.holdOff || now.Sub(c.from) < c.minTenure {
		return ""
	}
	return best
}

// seekBetter hands leadership over when another member has been more useful for long enough.
func (g *Group) seekBetter(ctx context.Context, n *node) {
	if g.cfg.Usefulness == nil {
		return
	}
	c := &chooser{self: g.cfg.Node, holdOff: g.cfg.HoldOff, minTenure: g.cfg.MinTenure, from: time.Now()}
	tick := time.NewTicker(seekInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		to := c.decide(time.Now(), g.cfg.Usefulness(), g.cfg.Prefer(), func(name string) bool {
			_, err := g.targets(n, name)
			return err == nil
		})
		if to == "" {
			continue
		}
		g.log.Info("another member is more useful, handing over", "to", to)
		select {
		case g.handovers <- &handover{ctx: context.WithoutCancel(ctx), to: to, done: make(chan handedOver, 1)}:
		case <-ctx.Done():
		}
		return // the leadership ends with that; handOver logs the outcome
	}
}
