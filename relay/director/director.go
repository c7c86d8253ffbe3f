// Package director decides liveness: which replica is to speak, when it is
// late, and which one takes over.
//
// It guarantees that the choice is stable: it changes only when the active
// replica is gone, unfit or late, never for a mere preference, and a replica
// that was late is not chosen again for a while if another is fit. It is pure:
// time comes in as an argument, it does no I/O and starts no goroutine. It
// never decides safety: whatever it answers, the gate holds.
package director

import (
	"maps"
	"slices"
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// Mode is how standbys are kept from signing.
type Mode uint8

const (
	// Votes: other parties' votes are given to the active replica only, so
	// that the others pause themselves (Savanna).
	Votes Mode = iota
	// Passive: all replicas sign, one is listened to.
	Passive
)

// String returns the mode's name in the configuration.
func (m Mode) String() string {
	if m == Passive {
		return "passive"
	}
	return "votes"
}

// Cause says why the active replica changed.
type Cause string

// The causes of a change.
const (
	CauseFirst   Cause = "first"   // there was none
	CauseGone    Cause = "gone"    // its connection ended
	CauseUnfit   Cause = "unfit"   // it fell behind the chain
	CauseLate    Cause = "late"    // its block did not come in time
	CauseChosen  Cause = "chosen"  // another replica's block was taken instead
	CauseNobody  Cause = "nobody"  // no replica is left
	CauseLeading Cause = "leading" // a new leader went on with the mark's source
)

// Replica is what the director knows of a replica.
type Replica struct {
	ID   wire.ID
	Name string
	// Fit: connected, at the head of the chain, and a producer.
	Fit bool
}

// sulk is how long a late replica is passed over while another is fit.
const sulk = 30 * time.Second

// Director keeps the active replica.
type Director struct {
	prefer []string
	active wire.ID
	late   map[wire.ID]time.Time
}

// New returns a director that prefers replicas by name in the given order;
// names not listed come after, in alphabetical order.
func New(prefer []string) *Director {
	return &Director{prefer: prefer, late: make(map[wire.ID]time.Time)}
}

// Active returns the active replica, zero when there is none.
func (d *Director) Active() wire.ID { return d.active }

// Adopt makes id active without judging it: a new leader goes on with the
// replica that holds the mark, and passive mode follows the replica whose
// block was taken.
func (d *Director) Adopt(id wire.ID) { d.active = id }

// Late records that the active replica's block did not come in time. The next
// Choose passes it over if another is fit.
func (d *Director) Late(now time.Time) {
	maps.DeleteFunc(d.late, func(_ wire.ID, at time.Time) bool { return now.Sub(at) >= sulk }) // a replica that starts again has another id
	d.late[d.active] = now
}

// Forgive forgets that id was late: its blocks come again.
func (d *Director) Forgive(id wire.ID) { delete(d.late, id) }

// Next returns who would take over from the active replica, zero when nobody could.
func (d *Director) Next(replicas []Replica, now time.Time) wire.ID {
	return d.best(replicas, d.active, now)
}

// Choose keeps the active replica if it is fit and not late, else picks
// another. It returns the active replica and, when it changed, why.
func (d *Director) Choose(replicas []Replica, now time.Time) (wire.ID, Cause) {
	current := -1
	if (d.active != wire.ID{}) {
		current = slices.IndexFunc(replicas, func(r Replica) bool { return r.ID == d.active })
	}
	if current >= 0 && replicas[current].Fit && !d.isLate(d.active, now) {
		return d.active, ""
	}
	next := d.best(replicas, wire.ID{}, now)
	if next == d.active {
		return d.active, ""
	}
	cause := CauseNobody
	if (next != wire.ID{}) {
		cause = d.cause(current, replicas)
	}
	d.active = next
	return next, cause
}

// best returns the fit replica that is to be chosen before all others but except, zero when there is none.
func (d *Director) best(replicas []Replica, except wire.ID, now time.Time) wire.ID {
	var best Replica
	for _, r := range replicas {
		if r.Fit && r.ID != except && (!best.Fit || d.better(r, best, now)) {
			best = r
		}
	}
	return best.ID
}

// cause says why the current replica is given up.
func (d *Director) cause(current int, replicas []Replica) Cause {
	switch {
	case d.active == (wire.ID{}):
		return CauseFirst
	case current < 0:
		return CauseGone
	case !replicas[current].Fit:
		return CauseUnfit
	}
	return CauseLate
}

// better reports whether a is to be chosen before b.
func (d *Director) better(a, b Replica, now time.Time) bool {
	if la, lb := d.isLate(a.ID, now), d.isLate(b.ID, now); la != lb {
		return lb
	}
	if ra, rb := d.rank(a.Name), d.rank(b.Name); ra != rb {
		return ra < rb
	}
	if a.Name != b.Name {
		return a.Name < b.Name
	}
	return a.ID.String() < b.ID.String()
}

func (d *Director) rank(name string) int {
	for i, p := range d.prefer {
		if p == name {
			return i
		}
	}
	return len(d.prefer)
}

func (d *Director) isLate(id wire.ID, now time.Time) bool {
	at, ok := d.late[id]
	if ok && now.Sub(at) >= sulk {
		delete(d.late, id)
		return false
	}
	return ok
}
