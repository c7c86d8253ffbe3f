package cluster

import (
	"sync"
	"time"
)

// tenures remembers how long the members led, as far as it was seen from here. A member that is unable to lead hands leadership over at
// once; two of them must not hand it to one another while a third, that is able, looks on.
type tenures struct {
	mu     sync.Mutex
	leader string
	since  time.Time
	last   map[string]tenure
}

// tenure is the last time a member led.
type tenure struct {
	lasted time.Duration
	ended  time.Time
}

// observe is told who leads, empty for nobody, whenever that may have changed.
func (t *tenures) observe(leader string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if leader == t.leader {
		return
	}
	if t.leader != "" {
		if t.last == nil {
			t.last = make(map[string]tenure)
		}
		t.last[t.leader] = tenure{now.Sub(t.since), now}
	}
	t.leader, t.since = leader, now
}

// passing says whether the named member took up leadership and left it again within the last moments: it is hardly able to lead now.
func (t *tenures) passing(name string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	l, led := t.last[name]
	return led && l.lasted < unableRetry && now.Sub(l.ended) < unableRetry
}
