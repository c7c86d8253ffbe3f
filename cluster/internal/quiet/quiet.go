// Package quiet keeps what strangers can cause out of the logs: one line per key and interval, with the number of
// lines left out. It holds a bounded number of keys, however many sources there are.
package quiet

import (
	"sync"
	"time"
)

// maxKeys bounds the memory a flood of different sources can take; beyond it all new keys share one entry.
const maxKeys = 1024

// Limiter says which events are worth a line. It is safe for concurrent use.
type Limiter struct {
	every time.Duration

	mu    sync.Mutex
	seen  map[string]*entry
	rest  entry
	swept time.Time
}

type entry struct {
	until   time.Time
	skipped int
}

// New returns a Limiter that lets one event per key pass in each interval.
func New(every time.Duration) *Limiter {
	return &Limiter{every: every, seen: make(map[string]*entry)}
}

// Allow reports whether this event of a key may be logged, and how many were left out since the last one that was.
func (l *Limiter) Allow(key string) (ok bool, skipped int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	e := l.entry(key, now)
	if now.Before(e.until) {
		e.skipped++
		return false, 0
	}
	skipped = e.skipped
	*e = entry{until: now.Add(l.every)}
	return true, skipped
}

func (l *Limiter) entry(key string, now time.Time) *entry {
	if e, ok := l.seen[key]; ok {
		return e
	}
	if len(l.seen) >= maxKeys && now.Sub(l.swept) >= l.every/8 { // a flood must not make us search for each of its packets
		l.swept = now
		for k, e := range l.seen {
			if !now.Before(e.until) {
				delete(l.seen, k)
			}
		}
	}
	if len(l.seen) >= maxKeys {
		return &l.rest
	}
	e := &entry{}
	l.seen[key] = e
	return e
}
