// Package dedup holds the pure filters that let each thing pass once: votes,
// transactions, and the rule that a finalizer key only ever votes forward.
//
// It guarantees that a filter's memory is bounded whatever peers send, and
// that in steady state it allocates nothing. It does no I/O, reads no clock,
// starts no goroutine and knows nothing of the wire; its caller owns a filter
// and uses it from one goroutine.
package dedup

// Window remembers keys for a while: a key added stays known for at least one
// generation and at most two. A generation ends when Rotate is called (on a
// clock that the caller keeps) or when it is full.
type Window[K comparable] struct {
	current, previous map[K]struct{}
	size              int
}

// NewWindow returns a window whose generations hold at most size keys each.
func NewWindow[K comparable](size int) *Window[K] {
	return &Window[K]{
		current:  make(map[K]struct{}, size),
		previous: make(map[K]struct{}, size),
		size:     size,
	}
}

// Add remembers key and reports whether it was new.
func (w *Window[K]) Add(key K) bool {
	if w.Has(key) {
		return false
	}
	if len(w.current) >= w.size {
		w.Rotate()
	}
	w.current[key] = struct{}{}
	return true
}

// Has reports whether key is known.
func (w *Window[K]) Has(key K) bool {
	if _, ok := w.current[key]; ok {
		return true
	}
	_, ok := w.previous[key]
	return ok
}

// Rotate ends the generation: keys of the one before it are forgotten.
func (w *Window[K]) Rotate() {
	w.current, w.previous = w.previous, w.current
	clear(w.current)
}

// Len returns how many keys are known.
func (w *Window[K]) Len() int { return len(w.current) + len(w.previous) }
