package storage

import (
	"slices"
	"sync"
	"time"
)

// timesKept is the number of log writes that [WriteTimes] looks back: some four minutes at two blocks a second.
const timesKept = 512

// WriteTimes says how long recent log writes took. P99 leaves the slowest one out even of fewer than a hundred: one hiccup says nothing
// of a disk. A write that is still under way counts with its age, so that a disk that hangs shows before it is done hanging.
type WriteTimes struct {
	P50, P99, Max time.Duration
	// Pending is the age of the write under way, 0 when there is none.
	Pending time.Duration
	// Count is the number of writes since the start.
	Count uint64
}

// times collects write times.
type times struct {
	mu      sync.Mutex
	ring    [timesKept]time.Duration
	count   uint64
	pending time.Time
	wrote   func(took time.Duration) // told each; may be nil
}

func (t *times) begin(start time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pending = start
}

func (t *times) end(start, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ring[t.count%timesKept] = now.Sub(start)
	t.count++
	t.pending = time.Time{}
	if t.wrote != nil {
		t.wrote(now.Sub(start))
	}
}

func (t *times) read(now time.Time) WriteTimes {
	t.mu.Lock()
	w := WriteTimes{Count: t.count}
	sorted := append(make([]time.Duration, 0, timesKept+1), t.ring[:min(t.count, timesKept)]...)
	if !t.pending.IsZero() {
		w.Pending = now.Sub(t.pending)
		sorted = append(sorted, w.Pending)
	}
	t.mu.Unlock()
	if len(sorted) == 0 {
		return w
	}
	slices.Sort(sorted)
	at := func(percent int) time.Duration { return sorted[(len(sorted)*percent-1)/100] }
	w.P50, w.P99, w.Max = at(50), at(99), sorted[len(sorted)-1]
	if n := len(sorted); n > 1 && n < 100 {
		w.P99 = max(sorted[n-2], w.Pending)
	}
	return w
}
