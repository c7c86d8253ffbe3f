package simnet

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// Oracle records what reaches the network from outside: what the network's own
// nodes receive, and what is seen leaving a relay (Sent), never what a relay claims. It checks the two promises that
// matter (one block per height; every block links to something the receiver
// had) and counts what became of each of our slots.
type Oracle struct {
	chain *Chain
	ours  map[wire.Name]bool

	mu       sync.Mutex
	begin    wire.Slot
	heights  map[uint32]wire.ID
	arrivals map[wire.Slot]map[wire.ID]arrival
	doubles  []Violation
	unlinked []Violation
	switches int
	undone   int
	signed   map[string]int
	signs    map[wire.Slot]int
	signer   map[wire.ID]string
	speaker  string
	invalid  int
	left     int
	polls    polls
}

type arrival struct {
	at  time.Time
	num uint32
}

// Violation is a broken promise.
type Violation struct {
	Node   string `json:"node"`  // the upstream that saw it
	Relay  string `json:"relay"` // the agent name of the peer that sent it
	Height uint32 `json:"height"`
	ID     string `json:"id"`
	Other  string `json:"other,omitempty"` // the first block seen at this height, or the parent that was missing
}

// Report is what an Oracle has counted, for the slots of our rounds that are
// final.
type Report struct {
	SlotsOurs int `json:"slots_ours"`
	// Emitted is the number of slots with a block of ours at an upstream.
	Emitted int `json:"emitted"`
	// Missed is the number of slots without a block of ours on the final chain.
	Missed int `json:"missed"`
	// Left is the number of blocks of ours that were seen leaving, to each upstream and
	// each time: 0 where nothing is given to Sent.
	Left int `json:"left,omitempty"`
	// Late is the number of slots whose block arrived after the slot's time. Late
	// is not lost.
	Late int `json:"late"`
	// OnChain and Orphaned are what became of the blocks that were emitted.
	OnChain  int `json:"on_chain"`
	Orphaned int `json:"orphaned"`
	// Double is the number of heights with two different blocks of ours (S1).
	Double int `json:"double"`
	// Unlinked is the number of blocks without a parent at the receiver (S2).
	Unlinked int `json:"unlinked"`
	// ForkSwitches is how often a node of the network went to another branch, and
	// BlocksUndone what that took back.
	ForkSwitches int `json:"fork_switches"`
	BlocksUndone int `json:"blocks_undone"`
	// Invalid is the number of blocks and votes for which an upstream closed.
	Invalid int `json:"invalid"`
	// Signed is what each replica has signed; SignedExtra what was signed beyond
	// one block per emitted slot: by standbys.
	Signed      map[string]int `json:"signed"`
	SignedExtra int            `json:"signed_extra"`
	// LeadMinMS and LeadAvgMS are how long before the slot's time blocks arrived.
	LeadMinMS float64 `json:"lead_min_ms"`
	LeadAvgMS float64 `json:"lead_avg_ms"`

	Slots []SlotOutcome `json:"slots,omitempty"`
	// Arrived are all blocks of ours that arrived, by height, also those that are not
	// final yet or never will be: for who has to compare what several oracles have seen.
	Arrived   []Arrived   `json:"arrived,omitempty"`
	Doubles   []Violation `json:"doubles,omitempty"`
	Unlinkeds []Violation `json:"unlinkeds,omitempty"`
}

// Arrived is a block of ours at an upstream.
type Arrived struct {
	Height uint32 `json:"height"`
	ID     string `json:"id"`
}

// SlotOutcome is what became of one slot of ours.
type SlotOutcome struct {
	Slot    wire.Slot `json:"slot"`
	Index   int       `json:"index"` // in its round
	Height  uint32    `json:"height,omitempty"`
	ID      string    `json:"id,omitempty"` // of the block on the chain
	LeadMS  float64   `json:"lead_ms"`
	Emitted bool      `json:"emitted"`
	OnChain bool      `json:"on_chain"`
	Signed  int       `json:"signed"` // blocks replicas signed for it
}

// NewOracle watches for blocks of our producers.
func NewOracle(c *Chain, ours []wire.Name) *Oracle {
	o := &Oracle{chain: c, ours: make(map[wire.Name]bool)}
	for _, name := range ours {
		o.ours[name] = true
	}
	o.Begin(0)
	return o
}

// Begin forgets everything and counts from a slot on.
func (o *Oracle) Begin(slot wire.Slot) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.begin, o.heights = slot, make(map[uint32]wire.ID)
	o.arrivals = make(map[wire.Slot]map[wire.ID]arrival)
	o.doubles, o.unlinked, o.switches, o.undone, o.invalid, o.left = nil, nil, 0, 0, 0, 0
	o.polls.cast, o.polls.left, o.polls.broken, o.polls.apart = make(map[poll]map[string]ballot), 0, nil, nil
	o.signed, o.signs, o.signer = make(map[string]int), make(map[wire.Slot]int), make(map[wire.ID]string)
}

// Upstream takes the events of a node of the network.
func (o *Oracle) Upstream(e Event) {
	if e.Block != nil && (e.Kind == Received || e.Kind == Produced) {
		o.mu.Lock()
		o.polls.knows(e.Block)
		o.mu.Unlock()
	}
	switch e.Kind {
	case Received, Duplicate:
		if !e.Inside {
			o.block(e)
		}
	case Switched:
		o.mu.Lock()
		o.switches++
		o.undone += e.Count
		o.mu.Unlock()
	case Invalid:
		if !e.Inside {
			o.mu.Lock()
			o.invalid++
			o.mu.Unlock()
		}
	default:
	}
}

// Replica takes the events of a replica of ours.
func (o *Oracle) Replica(e Event) {
	if e.Kind != Produced {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.signer[e.Block.ID] = e.Node
	if e.Block.Slot >= o.begin {
		o.signed[e.Node]++
		o.signs[e.Block.Slot]++
	}
}

// block is a block that a relay has sent to an upstream.
func (o *Oracle) block(e Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	b := e.Block
	v := Violation{Node: e.Node, Relay: e.Peer, Height: b.Num(), ID: b.ID.String()}
	if !e.Linked {
		v.Other = b.Previous.String()
		o.unlinked = append(o.unlinked, v)
	}
	if name := o.signer[b.ID]; name != "" {
		o.speaker = name
	}
	if !o.ours[b.Producer] || b.Slot < o.begin {
		return
	}
	o.one(b, v)
	if o.arrivals[b.Slot] == nil {
		o.arrivals[b.Slot] = make(map[wire.ID]arrival)
	}
	if _, ok := o.arrivals[b.Slot][b.ID]; !ok {
		o.arrivals[b.Slot][b.ID] = arrival{at: e.Time, num: b.Num()}
	}
}

// one holds a block of ours against S1. o.mu is held.
func (o *Oracle) one(b *Block, v Violation) {
	if first, ok := o.heights[b.Num()]; !ok {
		o.heights[b.Num()] = b.ID
	} else if first != b.ID {
		v.Other = first.String()
		o.doubles = append(o.doubles, v)
	}
}

// Violations are the broken promises so far: two blocks at one height, and
// blocks that did not link.
func (o *Oracle) Violations() (doubles, unlinked []Violation) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]Violation(nil), o.doubles...), append([]Violation(nil), o.unlinked...)
}

// Speaker is the replica that signed the last block of ours that an upstream
// got; of identical blocks, the last to sign.
func (o *Oracle) Speaker() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.speaker
}

// Report judges every slot of ours up to the end of main, the final chain of
// the network.
func (o *Oracle) Report(main []*Block) Report {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := Report{
		Double: o.doubleHeights(), Unlinked: len(o.unlinked), ForkSwitches: o.switches, BlocksUndone: o.undone,
		Invalid: o.invalid, Left: o.left, Signed: make(map[string]int), Doubles: o.doubles, Unlinkeds: o.unlinked,
	}
	for name, n := range o.signed {
		r.Signed[name] = n
	}
	for _, blocks := range o.arrivals {
		for id, a := range blocks {
			r.Arrived = append(r.Arrived, Arrived{a.num, id.String()})
		}
	}
	slices.SortFunc(r.Arrived, func(a, b Arrived) int { return cmp.Or(cmp.Compare(a.Height, b.Height), cmp.Compare(a.ID, b.ID)) })
	if len(main) == 0 {
		return r
	}
	final := make(map[wire.Slot]*Block)
	for _, b := range main {
		if b.Slot >= o.begin {
			final[b.Slot] = b
		}
	}
	first := max(o.begin, main[0].Slot)
	var leads, lead float64
	for s := first; s <= main[len(main)-1].Slot; s++ {
		if !o.ours[o.chain.ProducerAt(s)] {
			continue
		}
		out := o.outcome(s, final[s], &r)
		r.Slots = append(r.Slots, out)
		if out.Emitted {
			if leads++; leads == 1 || out.LeadMS < r.LeadMinMS {
				r.LeadMinMS = out.LeadMS
			}
			lead += out.LeadMS
		}
	}
	if leads > 0 {
		r.LeadAvgMS = lead / leads
	}
	return r
}

// outcome judges one slot and adds it to the report.
func (o *Oracle) outcome(s wire.Slot, onChain *Block, r *Report) SlotOutcome {
	out := SlotOutcome{Slot: s, Index: int(s % roundSlots), Signed: o.signs[s]}
	r.SlotsOurs++
	for id, a := range o.arrivals[s] {
		lead := o.chain.Clock.TimeOf(s).Sub(a.at).Seconds() * 1000
		if !out.Emitted || onChain != nil && id == onChain.ID {
			out.LeadMS, out.Height = lead, a.num
		}
		out.Emitted = true
		if onChain != nil && id == onChain.ID {
			r.OnChain++
			out.OnChain, out.ID = true, id.String()
		} else {
			r.Orphaned++
		}
	}
	if out.Emitted {
		r.Emitted++
		if out.LeadMS < 0 {
			r.Late++
		}
	}
	if onChain == nil {
		r.Missed++
	}
	if extra := out.Signed - 1; extra > 0 || out.Signed == 1 && !out.Emitted {
		r.SignedExtra += max(extra, 1)
	}
	return out
}

func (o *Oracle) doubleHeights() int {
	heights := make(map[uint32]bool)
	for _, v := range o.doubles {
		heights[v.Height] = true
	}
	return len(heights)
}
