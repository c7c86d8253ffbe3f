package cluster

import (
	"context"
	"slices"
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

	better map[string]time.Time // since when each of them has been of a higher class and ready
}

func newChooser(self string, holdOff, minTenure time.Duration, from time.Time) *chooser {
	return &chooser{self: self, holdOff: holdOff, minTenure: minTenure, from: from, better: make(map[string]time.Time)}
}

// decide returns the member to hand over to, empty for none: of those that have been better for long enough the one of the highest class, and
// of these the most preferred. ready says who could take over.
func (c *chooser) decide(now time.Time, classes map[string]int, prefer []string, ready func(string) bool) string {
	for name := range c.better {
		if classes[name] <= classes[c.self] {
			delete(c.better, name)
		}
	}
	best := ""
	for name, class := range classes {
		if name == c.self || class <= classes[c.self] {
			continue
		}
		if !ready(name) {
			delete(c.better, name)
			continue
		}
		since, known := c.better[name]
		if !known {
			since = now
			c.better[name] = now
		}
		if now.Sub(since) < c.holdOff || now.Sub(c.from) < c.minTenure {
			continue
		}
		if best == "" || class > classes[best] || class == classes[best] && preferred(prefer, name, best) {
			best = name
		}
	}
	return best
}

// preferred says whether a comes before b: in the order of the list, then by name.
func preferred(list []string, a, b string) bool {
	i, j := slices.Index(list, a), slices.Index(list, b)
	if i != j {
		return i >= 0 && (j < 0 || i < j)
	}
	return a < b
}

// seekBetter hands leadership over when another member has been more useful for long enough.
func (g *Group) seekBetter(ctx context.Context, n *node) {
	if g.cfg.Usefulness == nil {
		return
	}
	c := newChooser(g.cfg.Node, g.cfg.HoldOff, g.cfg.MinTenure, time.Now())
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
