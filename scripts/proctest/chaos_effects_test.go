package proctest_test

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/thinrelay/thinrelay/relay/control"
	"github.com/thinrelay/thinrelay/relay/simnet"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// effects looks for what comes of faults, where others see it: a fault without an effect is
// none, however often it is begun.
type effects struct {
	loners  loners
	votes   beside // hosts of our finalizer's key that vote in one
	lags    lateness
	clocks  clocks
	twins   atomic.Uint64 // second blocks that bpb signed for a slot
	leftOut atomic.Uint64 // blocks of bpb that leave out what it had as its head

	mu       sync.Mutex
	lastSlot wire.Slot // of bpb's last block
	head     uint32    // bpb's
}

// event takes what happens in the network.
func (f *effects) event(e simnet.Event) {
	switch {
	case e.Block == nil:
	case e.Kind == simnet.Produced && slices.Contains(replicaNames, e.Node):
		f.loners.produced(e)
		f.lags.produced(e)
	case e.Kind == simnet.Produced:
		f.lags.produced(e)
		f.otherProduced(e)
	case e.Kind == simnet.Voted && (e.Node == "fin-1" || e.Node == "fin-2"):
		f.votes.did(e.Node, e.Block.Slot)
	case e.Kind == simnet.Applied && e.Node == "bpb":
		f.mu.Lock()
		f.head = e.Block.Num()
		f.mu.Unlock()
	case (e.Kind == simnet.Received || e.Kind == simnet.Duplicate) && e.Inside:
		f.lags.arrived(e)
	}
}

// otherProduced looks at a block of bpb.
func (f *effects) otherProduced(e simnet.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case e.Block.Slot == f.lastSlot:
		f.twins.Add(1)
	case e.Block.Num() <= f.head:
		f.leftOut.Add(1)
	}
	f.lastSlot = e.Block.Slot
}

// beside notices that two do something for one slot.
type beside struct {
	mu    sync.Mutex
	slots map[wire.Slot]map[string]bool // who did it
	found map[string]bool               // who is looked for, and was seen beside another
}

// begin looks for a party from now on.
func (b *beside) begin(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.found == nil {
		b.slots, b.found = make(map[wire.Slot]map[string]bool), make(map[string]bool)
	}
	b.found[name] = false
	for _, who := range b.slots {
		delete(who, name)
	}
}

func (b *beside) did(name string, slot wire.Slot) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.found == nil {
		return
	}
	if b.slots[slot] == nil {
		b.slots[slot] = make(map[string]bool)
	}
	b.slots[slot][name] = true
	for who := range b.slots[slot] {
		if _, wanted := b.found[who]; wanted && len(b.slots[slot]) > 1 {
			b.found[who] = true
		}
	}
	const kept = 10 * roundSlots
	for s := range b.slots {
		if s+kept < slot {
			delete(b.slots, s)
		}
	}
}

// seen reports whether the party did it beside another one.
func (b *beside) seen(name string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.found[name]
}

// aloneAfter is how long a nodeos that hears no votes may go on producing, and a bit.
const aloneAfter = 7 * time.Second

// loners notices replicas that sign although no relay has called them active for so long
// that they would have stopped if they heeded that they hear no votes.
type loners struct {
	mu     sync.Mutex
	active map[string]time.Time // when that was last so, of those that are looked for
	found  map[string]bool
}

// begin looks for a replica that starts now: it may have been active until now.
func (l *loners) begin(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.active == nil {
		l.active, l.found = make(map[string]time.Time), make(map[string]bool)
	}
	l.active[name], l.found[name] = time.Now(), false
}

// told takes what a relay says. Where votes are for all, all are active.
func (l *loners) told(s control.Status) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name := range l.active {
		if name == s.Active || s.Mode == control.ModePassive {
			l.active[name] = time.Now()
		}
	}
}

func (l *loners) produced(e simnet.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if last, wanted := l.active[e.Node]; wanted && e.Time.Sub(last) > aloneAfter {
		l.found[e.Node] = true
	}
}

// seen reports whether the replica did.
func (l *loners) seen(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.found[name]
}

// lateness notices that blocks arrive late inside the network.
type lateness struct {
	mu    sync.Mutex
	made  map[wire.ID]time.Time
	by    map[string]time.Duration // what is looked for, by upstream
	found map[string]bool
}

// begin looks for blocks that come so late to an upstream.
func (l *lateness) begin(name string, by time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.by == nil {
		l.made, l.by, l.found = make(map[wire.ID]time.Time), make(map[string]time.Duration), make(map[string]bool)
	}
	l.by[name], l.found[name] = by, false
	for id, at := range l.made {
		if time.Since(at) > time.Minute {
			delete(l.made, id)
		}
	}
}

func (l *lateness) produced(e simnet.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.made != nil {
		l.made[e.Block.ID] = e.Time
	}
}

func (l *lateness) arrived(e simnet.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if made, ok := l.made[e.Block.ID]; ok && l.by[e.Node] > 0 && e.Time.Sub(made) >= l.by[e.Node] {
		l.found[e.Node] = true
	}
}

// seen reports whether a block came that late.
func (l *lateness) seen(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.found[name]
}

// clocks are those that relays tell, against ours.
type clocks struct {
	mu   sync.Mutex
	off  map[string]time.Duration // what is looked for, by relay
	told map[string]bool
}

// tells looks for a clock that is off by so much; it reports whether the relay has told one.
func (k *clocks) tells(name string, off time.Duration) func() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.off == nil {
		k.off, k.told = make(map[string]time.Duration), make(map[string]bool)
	}
	k.off[name], k.told[name] = off, false
	return func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.told[name]
	}
}

// answer takes what a relay has answered, between two moments.
func (k *clocks) answer(name string, asked, told, got time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	off := k.off[name]
	if early, late := told.Sub(got), told.Sub(asked); off != 0 && late-early < off.Abs()/2 && (late-off).Abs() < off.Abs()/2 {
		k.told[name] = true
	}
}
