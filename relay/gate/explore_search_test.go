package gate_test

import (
	"fmt"
	"hash/maphash"
	"strings"
	"time"
)

// seeds make a 128-bit hash of a world.
var seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

// visited is a set of worlds by hash: two different worlds of ten million are taken for one with a probability of 1e-25.
type visited struct {
	table [][2]uint64
	n     int
}

func newVisited() *visited { return &visited{table: make([][2]uint64, 1<<16)} }

// add reports whether w is new.
func (v *visited) add(w *world) bool {
	h := [2]uint64{maphash.Comparable(seeds[0], *w), maphash.Comparable(seeds[1], *w) | 1}
	if 4*v.n >= 3*len(v.table) {
		old := v.table
		v.table = make([][2]uint64, 2*len(old))
		for _, o := range old {
			if o[1] != 0 {
				*v.slot(o) = o
			}
		}
	}
	s := v.slot(h)
	if *s == h {
		return false
	}
	*s = h
	v.n++
	return true
}

func (v *visited) slot(h [2]uint64) *[2]uint64 {
	mask := uint64(len(v.table) - 1)
	for i := h[0] & mask; ; i = (i + 1) & mask {
		if s := &v.table[i]; s[1] == 0 || *s == h {
			return s
		}
	}
}

// origin is how a world was reached.
type origin struct {
	from uint32
	act  act
}

// result is what an exploration found.
type result struct {
	states, transitions int
	depth               int
	took                time.Duration
	wrong               string // what is broken; empty: nothing
	trace               string // the shortest way there
	seen                coverage
	complete            bool // every world within the bounds was looked at
}

// explore looks at every world within the bounds, breadth first, until it finds something wrong, or until there are more than limit.
func explore(b bounds, limit int) result {
	e := newEngine(b)
	began := time.Now()
	v := newVisited()
	var from []origin
	var res result
	first := e.start()
	v.add(&first)
	type node struct {
		w  world
		id uint32
	}
	frontier, next := []node{{first, 0}}, []node{}
	from = append(from, origin{})
	for len(frontier) > 0 && res.wrong == "" && v.n <= limit {
		for i := range frontier {
			n := &frontier[i]
			e.steps(&n.w, func(w world, a act, wrong string) {
				res.transitions++
				if wrong != "" && res.wrong == "" {
					res.wrong = wrong
					res.trace = e.trace(append(path(from, n.id), a))
				}
				if v.add(&w) {
					from = append(from, origin{n.id, a})
					next = append(next, node{w, uint32(len(from) - 1)})
				}
			})
			if res.wrong != "" || v.n > limit {
				break
			}
		}
		frontier, next = next, frontier[:0]
		res.depth++
	}
	res.complete = len(frontier) == 0
	res.states, res.took, res.seen = v.n, time.Since(began), e.seen
	return res
}

// path returns the steps that lead to a world.
func path(from []origin, id uint32) []act {
	if id == 0 {
		return nil
	}
	return append(path(from, from[id].from), from[id].act)
}

// trace tells a path.
func (e *engine) trace(p []act) string {
	var out strings.Builder
	w := e.start()
	for i, a := range p {
		found := false
		e.steps(&w, func(n world, b act, wrong string) {
			if b != a || found {
				return
			}
			found = true
			fmt.Fprintf(&out, "%3d. %-52s | %s\n", i+1, e.tell(&w, a), e.describe(&n))
			if wrong != "" {
				fmt.Fprintf(&out, "     %s\n", wrong)
			}
			defer func() { w = n }()
		})
		if !found {
			fmt.Fprintf(&out, "%3d. %s: cannot be told again\n", i+1, e.tell(&w, a))
			break
		}
	}
	return out.String()
}

// tell says what a step is.
func (e *engine) tell(w *world, a act) string {
	who := relayName(a.relay)
	late := map[uint8]string{0: "", 0x80: " (replaces the one on its way)", 0xc0: " (overtakes the one on its way)", 0x20: " (raft has it)"}[a.b&0xe0]
	switch a.kind {
	case actElect:
		return fmt.Sprintf("%s is elected, term %d, with %d of the pending", who, w.term+1, a.a)
	case actLeadAgain:
		return fmt.Sprintf("hand-over failed: %s leads term %d anew", who, w.term)
	case actStop:
		return fmt.Sprintf("%s stops leading %d", who, w.lead[a.relay])
	case actAppend:
		return fmt.Sprintf("raft gets %s's proposal %s", who, e.proposal(w.hand[a.relay]))
	case actCommit:
		return fmt.Sprintf("committed: %s", e.proposal(w.queue[0]))
	case actApply:
		return fmt.Sprintf("%s applies %s", who, e.u.mark(e.states[w.log[w.pos[a.relay]+1]].Mark))
	case actWrite:
		return fmt.Sprintf("%s writes %s", who, e.u.blocks[a.a].name)
	case actCrash:
		return fmt.Sprintf("%s crashes and starts again", who)
	case actOthers:
		return fmt.Sprintf("the network builds %s", e.u.blocks[a.a].name)
	case actOffer:
		unheard := ""
		if a.b&1 == 0 {
			unheard = ", unwatched,"
		}
		return fmt.Sprintf("%s offers %s%s and is let%s", who, e.u.blocks[a.a].name, unheard, late)
	case actMove:
		return fmt.Sprintf("%s proposes (%s, %s)%s", who, e.u.blocks[a.a].name, [...]string{makerA: "A", makerB: "B"}[a.b&0xf], late)
	case actResolve:
		return fmt.Sprintf("%s resolves, for %s%s", who, [...]string{makerA: "A", makerB: "B"}[a.b&0xf], late)
	case actHalt:
		return fmt.Sprintf("%s can let nothing of %s go", who, [...]string{makerA: "A", makerB: "B"}[a.b])
	case actResend:
		return fmt.Sprintf("%s sends %s again", who, e.u.blocks[a.a].name)
	}
	return "?"
}

func (e *engine) proposal(t uint16) string {
	if t == 0 {
		return "none"
	}
	p := e.trans[t-1]
	unused := ""
	if p.Unused {
		unused = " unused"
	}
	return fmt.Sprintf("%s%s -> %s of %d", e.u.mark(p.From), unused, e.u.mark(p.To), p.Term)
}
