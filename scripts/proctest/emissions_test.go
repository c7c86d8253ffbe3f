package proctest_test

import (
	"sync"
	"time"

	"github.com/thinrelay/thinrelay/relay/simnet"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// roundSlots is how many slots a producer has in a row.
const roundSlots = 12

// emission is the first arrival of a block of ours at the network.
type emission struct {
	at   time.Time
	slot wire.Slot
}

// emissions is what has left the relays, as the network sees it.
type emissions struct {
	clock simnet.Clock

	mu   sync.Mutex
	seen map[[32]byte]bool
	list []emission
}

func (e *emissions) watch(ev simnet.Event) {
	if ev.Kind != simnet.Received && ev.Kind != simnet.Duplicate || ev.Inside || ev.Block == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if id := ev.Block.ID; !e.seen[id] {
		e.seen[id] = true
		e.list = append(e.list, emission{ev.Time, ev.Block.Slot})
	}
}

// after is the first block that left after a moment.
func (e *emissions) after(t time.Time) (emission, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, x := range e.list {
		if x.at.After(t) {
			return x, true
		}
	}
	return emission{}, false
}

// fresh is the first block of a slot that is due after a moment: not one that was held
// back until then.
func (e *emissions) fresh(t time.Time) (emission, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, x := range e.list {
		if e.clock.TimeOf(x.slot).After(t) {
			return x, true
		}
	}
	return emission{}, false
}

// between counts the blocks that left in a span of time.
func (e *emissions) between(from, to time.Time) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for _, x := range e.list {
		if x.at.After(from) && x.at.Before(to) {
			n++
		}
	}
	return n
}

// run is the length of the unbroken run of slots at the end.
func (e *emissions) run() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for i := len(e.list) - 1; i >= 0; i-- {
		if n > 0 && e.list[i].slot+1 != e.list[i+1].slot {
			break
		}
		n++
	}
	return n
}
