package proctest_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// kind is a kind of fault.
type kind struct {
	name string
	// inRound: it begins in a round of ours, where it hurts.
	inRound bool
	// inTheirs: it begins in a round of the network, where others' blocks are under way.
	inTheirs bool
	prepare  func(*chaos, *rand.Rand) *fault
}

// fault is a fault that is about to be.
type fault struct {
	what  string
	locks []string // what no other fault may touch while this one lasts
	lasts time.Duration
	begin func()
	heal  func() // nil: nothing is to be healed
	// struck reports, once it is healed (or the wave is over, where nothing is to be), whether
	// it had an effect, by what it was done to: a relay that is down has no disk that fails.
	struck func() bool
}

// kinds are all kinds of fault.
var kinds = slices.Concat(relayKinds, hostKinds, netKinds, nodeosKinds)

// deck deals kinds: each once before any comes again.
type deck struct {
	kinds []*kind
	left  []*kind
	back  []*kind
	rand  *rand.Rand
}

// newDeck is the deck of a seed: of all kinds, or of those named, as often as
// they are.
func newDeck(seed uint64, only string) *deck {
	d := &deck{rand: rand.New(rand.NewPCG(seed, 0))}
	for i := range kinds {
		if only == "" {
			d.kinds = append(d.kinds, &kinds[i])
		}
		for _, name := range strings.Split(only, ",") {
			if name == kinds[i].name {
				d.kinds = append(d.kinds, &kinds[i])
			}
		}
	}
	return d
}

// draw takes the next card. When there is none, all are shuffled again; those
// put back come first.
func (d *deck) draw() *kind {
	if len(d.left) == 0 {
		again := slices.Clone(d.kinds)
		d.rand.Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
		d.left, d.back = append(d.back, again...), nil
	}
	k := d.left[0]
	d.left = d.left[1:]
	return k
}

// putBack keeps a card that could not be played for the next deal.
func (d *deck) putBack(k *kind) { d.back = append(d.back, k) }

// lasting is a duration between two bounds, the shorter the likelier.
func lasting(r *rand.Rand, low, high time.Duration) time.Duration {
	high = min(high, *chaosPause)
	if high <= low {
		return high
	}
	return time.Duration(float64(low) * math.Exp(r.Float64()*math.Log(float64(high)/float64(low))))
}

// oneOf is one of a list.
func oneOf[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }
