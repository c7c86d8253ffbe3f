package dedup

// Outcome is what Monotony says of a vote.
type Outcome uint8

const (
	// Fresh: the vote is the key's first for a slot later than all before.
	Fresh Outcome = iota
	// Repeat: the same vote again; harmless, need not be sent twice.
	Repeat
	// Conflict: the key has voted for this slot or a later one already, and
	// differently. Two live nodes hold one finalizer key.
	Conflict
)

// Monotony enforces, per finalizer key, that the slots voted for only ever
// increase (nodeos libraries/chain/finalizer.cpp:8: a finalizer votes only for
// a block later than its last vote's). A node alone keeps that rule; two nodes
// that share a key do not, and this is where it shows.
//
// K names a finalizer key, V a vote's content (block and strength).
type Monotony[K, V comparable] struct {
	last map[K]ballot[V]
	max  int
}

// ballot is a key's latest vote.
type ballot[V comparable] struct {
	slot uint32
	vote V
}

// NewMonotony returns a filter for at most max keys, since a block producer has a
// handful. One more takes the place of the one that has not voted for longest: keys
// are changed, and others' can get here, echoed by a replica when the leader changes.
func NewMonotony[K, V comparable](max int) *Monotony[K, V] {
	return &Monotony[K, V]{last: make(map[K]ballot[V], max), max: max}
}

// Judge says what vote, by key for a block of the given slot, is. Exact repeats of older votes must have been
// filtered before (by a Window): here they would look like conflicts. A Fresh vote
// is remembered as the key's latest.
func (m *Monotony[K, V]) Judge(key K, slot uint32, vote V) Outcome {
	last, known := m.last[key]
	switch {
	case !known && len(m.last) >= m.max:
		m.evict()
	case known && vote == last.vote:
		return Repeat
	case known && slot <= last.slot:
		return Conflict
	}
	m.last[key] = ballot[V]{slot: slot, vote: vote}
	return Fresh
}

// evict forgets the key whose latest vote is the oldest.
func (m *Monotony[K, V]) evict() {
	var oldest K
	slot, first := uint32(0), true
	for k, b := range m.last {
		if first || b.slot < slot {
			oldest, slot, first = k, b.slot, false
		}
	}
	delete(m.last, oldest)
}
